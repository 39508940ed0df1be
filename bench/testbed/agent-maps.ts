// The maps of a sandbox's agent, seen from outside: opened where it pins them.

import fs from 'node:fs'
import path from 'node:path'
import { type KernelMap, openPinnedMap } from '../../src/bpf/index.ts'
import { ip } from '../../src/ip/index.ts'
import { type FrontendKey, readDatapathObject, toAddress } from '../../src/maps/index.ts'
import { BUILD_FOLDER } from './load.ts'
import type { Destination } from './service-load.ts'

const PROTOCOLS = { tcp: 6, udp: 17 } as const
/** What `frontends` leads to. */
const SERVICE_MAPS = [
  'frontends',
  'backends',
  'slot_pages',
  'affinities',
  'affinity_backends',
  'source_ranges',
] as const

export type MapMemory = { readonly name: string; readonly bytes: number }

export class AgentMaps implements Disposable {
  readonly #folder: string
  readonly #frontends: KernelMap<FrontendKey>
  readonly #spec = readDatapathObject(fs.readFileSync(path.join(BUILD_FOLDER, 'pod.o'))).spec

  /** @param pid of the agent, whose mounts have the folder @param bpf where it pins */
  constructor(pid: number, bpf: string) {
    const root = `/proc/${pid}/root${bpf}`
    const version = fs.readdirSync(root).find(name => /^v\d+$/.test(name))
    if (version === undefined) throw new Error(`the agent pins nothing in ${bpf}`)
    this.#folder = path.join(root, version)
    this.#frontends = openPinnedMap(path.join(this.#folder, 'frontends'), this.#spec.maps.get('frontends'))
  }

  /** Whether an address stands for a service. */
  hasFrontend({ address, port }: Destination, protocol: keyof typeof PROTOCOLS): boolean {
    const key = { address: toAddress(ip(address)), port, protocol: PROTOCOLS[protocol] }
    return this.#frontends.get(key) !== undefined
  }

  /** Kernel memory of the maps of services; pages of slots are counted as what they hold. */
  memory(): MapMemory[] {
    return SERVICE_MAPS.map(name => {
      using map = openPinnedMap<number, number>(path.join(this.#folder, name), this.#spec.maps.get(name))
      if (name !== 'slot_pages') return { name, bytes: map.memoryBytes }
      const page = this.#spec.maps.get(name)?.inner
      const pages = Array.from({ length: map.maxEntries }, (_, i) => map.get(i)).filter(id => id !== undefined).length
      return { name, bytes: map.memoryBytes + pages * (page?.maxEntries ?? 0) * 8 }
    })
  }

  [Symbol.dispose](): void {
    this.#frontends.close()
  }
}
