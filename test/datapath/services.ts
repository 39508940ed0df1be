// Services for the tests of the datapath: frontends, slots and backends, written into
// the kernel's maps and the predictor's alike.

import { ip } from '../../src/ip/index.ts'
import type { FrontendFlag, Translation, Tuple } from '../../src/maps/index.ts'
import { between, type Conversation, type Family } from './cases.ts'
import { PROTOCOL } from './frames.ts'
import { B, HOST, HOST_MAC, OUTSIDE, type Party, type TestNode } from './node.ts'

const service = (name: string, four: string, six: string): Party => ({
  name,
  4: ip(four).bytes,
  6: ip(six).bytes,
  mac: HOST_MAC,
})

/** Addresses that stand for services. */
export const SERVICE = service('service', '10.96.0.10', 'fd00:10:96::10')
export const OTHER_SERVICE = service('other service', '10.96.0.11', 'fd00:10:96::11')
export const SERVICES: readonly Party[] = [SERVICE, OTHER_SERVICE]
/** Where a pod's packets come from when a service gives it to itself. */
export const LOOPBACK = service('loopback', '169.254.42.1', 'fd61:786f:6e65::1')

export type ServiceBackend = { readonly party: Party; readonly port: number }

export type Service = {
  readonly frontend: Party
  readonly port: number
  readonly protocol?: number
  readonly backends: readonly ServiceBackend[]
  /** For random choice, each backend once; for Maglev, what the table says: indices of backends. */
  readonly table?: readonly number[]
  readonly number?: number
  readonly affinitySeconds?: number
  readonly flags?: readonly FrontendFlag[]
  readonly without?: 'REJECT' | 'DROP'
}

export class ServiceMaps {
  readonly #node: TestNode
  readonly #ids = new Map<string, number>()
  #slots = 0

  constructor(node: TestNode) {
    this.#node = node
    const { datapath, memory } = node
    using page = datapath.createSlotPage()
    datapath.maps.slot_pages.set(0, page)
    memory.maps.slot_pages.set(0, memory.createSlotPage())
  }

  /** Ids stay with address, port and protocol. */
  idOf({ party, port }: ServiceBackend, family: Family, protocol: number): number {
    const key = [Buffer.from(party[family]).toString('hex'), port, protocol].join()
    const id = this.#ids.get(key) ?? this.#ids.size + 1
    this.#ids.set(key, id)
    return id
  }

  /** A service in force, or another choice of backends for one that is. */
  set(service: Service, family: Family): void {
    const { frontend, port, protocol = PROTOCOL.udp, backends, number = 1, affinitySeconds = 0 } = service
    const { schema } = this.#node.world
    const table = service.table ?? backends.map((_, index) => index)
    const ids = backends.map(backend => this.idOf(backend, family, protocol))
    const first = this.#slots
    this.#slots += table.length
    const range = { first, count: table.length }
    const flags = (service.flags ?? []).reduce((all, flag) => all | schema.frontendFlags.number[flag], 0)
    const without = schema.withoutBackend.number[service.without ?? 'REJECT']
    using page = this.#node.datapath.openSlotPage(0)
    for (const slots of [page, this.#node.memory.openSlotPage(0)])
      for (const [index, slot] of table.entries()) slots?.set(first + index, ids[slot] ?? 0)
    for (const datapath of [this.#node.datapath, this.#node.memory]) {
      for (const [index, { party, port }] of backends.entries())
        datapath.maps.backends.set(ids[index] ?? 0, {
          address: { bytes: party[family] },
          port,
          protocol,
          service: number,
        })
      for (const backend of affinitySeconds ? ids : [])
        datapath.maps.affinity_backends.set({ service: number, backend }, 3)
      datapath.maps.frontends.set(
        { address: { bytes: frontend[family] }, port, protocol },
        {
          backends: [range, range],
          service: number,
          affinity_seconds: affinitySeconds,
          without: Uint8Array.of(without, without),
          flags,
        },
      )
    }
  }

  remove({ frontend, port, protocol = PROTOCOL.udp }: Service, family: Family): void {
    for (const { maps } of [this.#node.datapath, this.#node.memory])
      maps.frontends.delete({ address: { bytes: frontend[family] }, port, protocol })
  }

  /** No frontends; backends stay known. */
  clear(): void {
    for (const { maps } of [this.#node.datapath, this.#node.memory]) maps.frontends.clear()
  }

  removeBackend(backend: ServiceBackend, family: Family, protocol: number = PROTOCOL.udp, number = 1): void {
    const id = this.idOf(backend, family, protocol)
    for (const { maps } of [this.#node.datapath, this.#node.memory]) {
      maps.backends.delete(id)
      maps.affinity_backends.delete({ service: number, backend: id })
    }
  }
}

/** What is remembered for answers: `answer` as the backend sends it, `target` as the client is to get it. */
export function answerEntry(
  node: TestNode,
  answer: Conversation,
  target: Conversation,
  family: Family,
  protocol: number = PROTOCOL.udp,
): { readonly key: Tuple; readonly value: Translation } {
  const value = {
    target: tupleOf(target, family, protocol),
    expires_ns: process.hrtime.bigint() + 1_000_000_000_000n,
    backend: 1,
    service: 9,
    tcp_flags: new Uint8Array(2),
    flags: node.world.schema.translationFlags.number.REPLY,
  }
  return { key: tupleOf(answer, family, protocol), value }
}

/** As if a device's program had translated what a client outside sent to a port of the node. */
export function answersToOutside(node: TestNode, family: Family, protocol: number = PROTOCOL.udp): void {
  const answer = between(B, OUTSIDE, 5353, 40000)
  const { key, value } = answerEntry(node, answer, between(HOST, OUTSIDE, 30053, 40000), family, protocol)
  for (const { maps } of [node.datapath, node.memory]) maps.translations.set(key, value)
}

const tupleOf = ({ from, to, sourcePort, destinationPort }: Conversation, family: Family, protocol: number): Tuple => ({
  source: { bytes: from[family] },
  destination: { bytes: to[family] },
  source_port: sourcePort,
  destination_port: destinationPort,
  protocol,
})
