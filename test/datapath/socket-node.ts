// The socket programs on a control group of the test's own, with services written into
// their maps by hand, and namespaces in which backends answer on loopback addresses: no
// packet leaves its namespace.

import fs from 'node:fs'
import { attachCgroup, type Link } from '../../src/bpf/index.ts'
import { ip } from '../../src/ip/index.ts'
import { loadDatapath, loadSocketPrograms, toAddress } from '../../src/maps/index.ts'
import {
  createNamespace,
  linkOf,
  type Namespace,
  NetlinkSocket,
  namespaceCookie,
  replaceAddress,
  setLink,
  whenLocal,
} from '../../src/net/index.ts'
import { temporaryCgroup } from '../bpf/support.ts'
import { HOST_MAC } from './node.ts'
import { type Name, SocketProcess, type Transport } from './socket-calls.ts'

const readObject = (name: string): Buffer => fs.readFileSync(new URL(`../../build/${name}.o`, import.meta.url))
export const SOCK_OBJECT = readObject('sock')
export const POD_OBJECT = readObject('pod')
const NUMBER = { TCP: 6, UDP: 17 } as const
const SLOTS_EACH = 16

/** What `serveAll` serves, by family. Each says its address. */
export const SERVERS = { 4: ['10.1.0.1', '10.1.0.2'], 6: ['fd00:1::1', 'fd00:1::2'] } as const
export const SERVER_PORT = 8080

/** Servers that answer, each on one address, in the namespace of the process. */
export async function serveAll(
  server: SocketProcess,
  addresses: readonly string[] = [...SERVERS[4], ...SERVERS[6]],
): Promise<void> {
  for (const address of addresses)
    for (const protocol of ['TCP', 'UDP'] as const)
      await server.serve(address, protocol, { address, port: SERVER_PORT })
}

export type TestBackend = Name & { readonly id: number }

export type TestService = {
  readonly number: number
  readonly protocol: Transport
  readonly frontends: readonly Name[]
  readonly backends: readonly TestBackend[]
  readonly affinitySeconds?: number
  readonly without?: 'REJECT' | 'DROP'
  readonly flags?: number
}

export class SocketNode implements AsyncDisposable {
  readonly datapath
  readonly sockets
  readonly namespace = createNamespace()
  readonly #cgroup = temporaryCgroup()
  readonly #links: readonly Link[]
  readonly #processes: SocketProcess[] = []
  readonly #namespaces: Namespace[] = [this.namespace]

  constructor(options: { readonly attach?: boolean } = {}) {
    this.datapath = loadDatapath({ object: POD_OBJECT, hostMac: HOST_MAC, sizes: SIZES })
    this.sockets = loadSocketPrograms(this.datapath, {
      object: SOCK_OBJECT,
      nodeNamespace: namespaceCookie(this.namespace),
    })
    const programs = options.attach === false ? [] : Object.values(this.sockets.programs)
    this.#links = programs.map(program => {
      const attachType = this.sockets.spec.programs.get(program.name)?.attachType
      if (!attachType) throw new Error(`${program.name} has no attach type`)
      return attachCgroup(program, this.cgroup, attachType)
    })
    using page = this.datapath.createSlotPage()
    this.datapath.maps.slot_pages.set(0, page)
  }

  get cgroup(): string {
    return this.#cgroup.path
  }

  /** A namespace whose loopback device has the addresses. @param of an existing one to give them to */
  async addressed(addresses: readonly string[], of?: Namespace): Promise<Namespace> {
    const namespace = of ?? createNamespace()
    if (!of) this.#namespaces.push(namespace)
    using netlink = NetlinkSocket.open({ namespace })
    const lo = netlink.get(linkOf({ name: 'lo' }))
    netlink.run(
      setLink({ name: 'lo' }, { up: true }),
      ...addresses.map(address => replaceAddress({ index: lo?.index ?? 1, address, noDad: true })),
    )
    await Promise.all(addresses.map(address => whenLocal(namespace, address)))
    return namespace
  }

  /** A process in the namespace; its sockets are those of the control group, unless it is another one. */
  process(namespace: Namespace = this.namespace, cgroup = this.cgroup): SocketProcess {
    const started = new SocketProcess(namespace, cgroup)
    this.#processes.push(started)
    return started
  }

  setService(service: TestService): void {
    const { maps, schema } = this.datapath
    const { number, protocol, frontends, backends, affinitySeconds = 0, without = 'REJECT', flags = 0 } = service
    const first = number * SLOTS_EACH
    using page = this.datapath.openSlotPage(0)
    for (const [index, { id, ...name }] of backends.entries()) {
      maps.backends.set(id, { ...keyOf(name, protocol), service: 1 })
      page?.set(first + index, id)
      if (affinitySeconds > 0)
        maps.affinity_backends.set({ service: number, backend: id }, 1 << schema.clientKind.number.CLUSTER)
    }
    const range = { first, count: backends.length }
    for (const name of frontends)
      maps.frontends.set(keyOf(name, protocol), {
        backends: [range, range],
        service: number,
        affinity_seconds: affinitySeconds,
        without: new Uint8Array(2).fill(schema.withoutBackend.number[without]),
        flags,
      })
  }

  removeService({ number, protocol, frontends, backends }: TestService): void {
    const { maps } = this.datapath
    for (const name of frontends) maps.frontends.delete(keyOf(name, protocol))
    for (const { id } of backends) {
      maps.backends.delete(id)
      maps.affinity_backends.delete({ service: number, backend: id })
    }
  }

  clearServices(): void {
    const { frontends, backends, affinities, affinity_backends } = this.datapath.maps
    for (const map of [frontends, backends, affinities, affinity_backends]) map.clear()
  }

  /** Says that the namespace is a pod's. */
  setPod(namespace: Namespace, addresses: readonly [string, string], options: { readonly byPacket?: boolean } = {}) {
    this.datapath.maps.pod_namespaces.set(namespaceCookie(namespace), {
      address: [toAddress(ip(addresses[0])), toAddress(ip(addresses[1]))],
      flags: options.byPacket ? this.datapath.schema.podNamespaceFlags.number.BY_PACKET : 0,
      endpoint: 1,
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map(process => process.end()))
    for (const link of this.#links) link.close()
    this.sockets[Symbol.dispose]()
    this.datapath.close()
    for (const namespace of this.#namespaces) namespace.close()
    this.#cgroup[Symbol.dispose]()
  }
}

const SIZES = { flows: 1_000, translations: 1_000, ipcache: 1_000, endpoints: 100 }

const keyOf = ({ address, port }: Name, protocol: Transport) => ({
  address: toAddress(ip(address)),
  port,
  protocol: NUMBER[protocol],
})
