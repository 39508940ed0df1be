// Services in the kernel's maps, put there by the agent's own controller and reconciler,
// without sources, devices or pods: for measurements of what services cost. The maps are
// attached to nothing and pinned nowhere; they go with this process.

import fs from 'node:fs'
import path from 'node:path'
import { createServices } from '../../src/agent/services.ts'
import { volatileMemory } from '../../src/controllers/index.ts'
import { mac } from '../../src/ip/index.ts'
import { type Datapath, loadDatapath } from '../../src/maps/index.ts'
import { systemClock } from '../../src/state/index.ts'
import { createTables, type EndpointSlice, type Service, type Tables } from '../../src/tables/index.ts'
import { BUILD_FOLDER } from './load.ts'

const NODE = { name: 'node1', addresses: ['172.30.0.2'] } as const
const origin = { file: 'services.yaml', line: 1 }

/** The cluster address of a service, which it has at port 80. */
export const clusterIpOf = (index: number): string => `10.96.${(index >> 8) & 255}.${index & 255}`

export const serviceName = (index: number): string => `service-${index}`

/** A service with one cluster address and port. */
export function serviceRow(index: number): Service {
  return {
    namespace: 'default',
    name: serviceName(index),
    labels: {},
    annotations: {},
    type: 'ClusterIP',
    headless: false,
    clusterIps: [clusterIpOf(index)],
    ipFamilies: [4],
    ports: [{ name: '', protocol: 'TCP', port: 80, targetPort: 8080 }],
    externalIps: [],
    loadBalancerAddresses: [],
    loadBalancerSourceRanges: [],
    allocateNodePorts: true,
    internalTrafficPolicy: 'Cluster',
    externalTrafficPolicy: 'Cluster',
    publishNotReadyAddresses: false,
    origin,
  }
}

/** Its slice, with so many endpoints; those of another generation have other addresses. */
export function sliceRow(index: number, endpoints: number, generation = 0): EndpointSlice {
  return {
    namespace: 'default',
    name: `${serviceName(index)}-1`,
    service: serviceName(index),
    family: 4,
    ports: [{ name: '', protocol: 'TCP', port: 8080 }],
    endpoints: Array.from({ length: endpoints }, (_, i) => {
      const number = index * endpoints + i
      // The last one alone changes from generation to generation.
      const net = i === endpoints - 1 ? 128 + (generation % 64) : 64
      const address = `10.${net + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`
      return { addresses: [address], ready: true, serving: true, terminating: false, node: NODE.name }
    }),
    weight: 1,
    origin,
  }
}

export class ProgrammedServices implements AsyncDisposable {
  readonly datapath: Datapath
  readonly tables: Tables
  readonly #services: ReturnType<typeof createServices>
  readonly #stop = new AbortController()
  readonly #running: Promise<unknown>

  /** @param datapath with what an agent of before has left in its maps; default: empty maps */
  constructor(datapath = emptyDatapath()) {
    this.datapath = datapath
    this.tables = createTables()
    this.#services = createServices({
      tables: this.tables,
      node: NODE,
      settings: {
        algorithm: 'random',
        forwarding: 'snat',
        maglevTableSize: 16_381,
        nodePortAddresses: NODE.addresses,
        externalIpRanges: [],
        clusterIpsFromOutside: false,
      },
      datapath,
      memory: volatileMemory(),
      clock: systemClock,
      onChanged: () => undefined,
      common: { database: this.tables.database },
    })
    const { services, endpointSlices, pods, endpoints, nodes } = this.tables
    for (const table of [services, endpointSlices, pods, endpoints, nodes]) table.registerInitializer('bench')()
    const { signal } = this.#stop
    this.#running = Promise.all([this.#services.run(signal), this.#services.reconciler.run(signal)])
  }

  /** Declares rows, and resolves when the kernel has what follows from them. @throws when it does not take it */
  async declare(services: readonly Service[], slices: readonly EndpointSlice[]): Promise<void> {
    const { tables } = this
    tables.database.write(tx => {
      for (const service of services) tx.put(tables.services, service)
      for (const slice of slices) tx.put(tables.endpointSlices, slice)
    })
    await this.#services.caughtUp()
    await this.#services.reconciler.attempted()
    const [failed] = this.#services.reconciler.status.by('kind', 'failed')
    if (failed?.kind === 'failed') throw failed.error
  }

  /** Bytes of kernel memory that the maps of services take, those of slots counted each. */
  memoryBytes(): number {
    const { maps } = this.datapath
    const named = [maps.frontends, maps.backends, maps.affinity_backends, maps.source_ranges, maps.slot_pages]
    const pages = Array.from(maps.slot_pages.keys(), key => {
      using page = this.datapath.openSlotPage(key)
      return page?.memoryBytes ?? 0
    })
    return [...named.map(map => map.memoryBytes), ...pages].reduce((sum, bytes) => sum + bytes, 0)
  }

  /** A full compare with the kernel. */
  async compare(): Promise<void> {
    this.#services.reconciler.refresh()
    await this.#services.reconciler.settled()
  }

  /** Until nothing is left to do. */
  async settled(): Promise<void> {
    await this.#services.reconciler.settled()
  }

  /** Ends what runs; the maps stay. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    this.datapath.close()
  }
}

function emptyDatapath(): Datapath {
  const object = fs.readFileSync(path.join(BUILD_FOLDER, 'pod.o'))
  return loadDatapath({ object, hostMac: mac('02:61:78:6f:6e:65') })
}
