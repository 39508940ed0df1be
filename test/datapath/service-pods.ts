// A node with two pods and somebody outside, each a namespace with real processes on a
// real device, the pod program on the pods' devices and the socket programs on their
// control group. Everybody may talk to everybody.

import assert from 'node:assert/strict'
import { attachTcx, type Link, RingBuffer } from '../../src/bpf/index.ts'
import { cidr, formatMac, ip, mac } from '../../src/ip/index.ts'
import {
  decodeFlowEvent,
  type FlowEvent,
  ipcacheKey,
  type PolicyTerm,
  policyElement,
  toAddress,
  worldEntries,
} from '../../src/maps/index.ts'
import {
  addAddress,
  addRoute,
  createLink,
  linkOf,
  type Namespace,
  NetlinkSocket,
  replaceNeighbour,
  setLink,
  withNamespace,
  writeSysctls,
} from '../../src/net/index.ts'
import { HOST_MAC, openPolicy } from './node.ts'
import type { SocketProcess, Transport } from './socket-calls.ts'
import { SocketNode, type TestBackend } from './socket-node.ts'

type Place = {
  readonly name: string
  /** Of its device in the node. */
  readonly index: number
  readonly mac: string
  readonly 4: string
  readonly 6: string
}
const pod = (name: string, number: number): Place => ({
  name,
  index: 100 + number,
  mac: `0a:00:00:00:01:${number}`,
  4: `10.244.0.${number}`,
  6: `fd00:10:244::${number}`,
})
export const PLACES = {
  a: pod('a', 10),
  b: pod('b', 11),
  outside: { name: 'outside', index: 100, mac: '0a:00:00:00:99:01', 4: '198.51.100.7', 6: '2001:db8::7' },
} as const
export type PlaceName = keyof typeof PLACES
const PODS = ['a', 'b'] as const
/** The node's own, towards outside. */
export const NODE = { 4: '198.51.100.2', 6: '2001:db8::2' } as const
export const FRONTEND = { 4: '10.96.0.10', 6: 'fd00:10:96::10' } as const
export const SERVICE_NUMBER = 5
/** On which each pod says who it is. */
export const POD_PORT = 8080

export class ServicePods implements AsyncDisposable {
  readonly node = new SocketNode()
  readonly namespaces = new Map<PlaceName, Namespace>()
  readonly #processes = new Map<PlaceName, SocketProcess>()
  readonly #servers = new Map<PlaceName, SocketProcess>()
  readonly #events: RingBuffer
  readonly #links: Link[] = []

  constructor() {
    this.#events = RingBuffer.open(this.node.datapath.maps.events)
    writeSysctls(this.node.namespace, { 'net/ipv4/ip_forward': 1, 'net/ipv6/conf/all/forwarding': 1 })
    this.#writePolicy()
  }

  async start(): Promise<this> {
    for (const name of ['a', 'b', 'outside'] as const) {
      const namespace = await this.node.addressed([])
      this.namespaces.set(name, namespace)
      connect(this.node.namespace, namespace, PLACES[name])
      this.#processes.set(name, this.node.process(namespace))
    }
    using netlink = NetlinkSocket.open({ namespace: this.node.namespace })
    const { index } = PLACES.outside
    for (const family of [4, 6] as const) {
      const prefixLength = family === 4 ? 32 : 128
      netlink.run(addAddress({ index, address: NODE[family], prefixLength, noDad: true }))
    }
    for (const name of PODS) await this.#startPod(name)
    return this
  }

  process(name: PlaceName): SocketProcess {
    return this.#processes.get(name) ?? assert.fail(`${name} has no process`)
  }

  /** What answers in a pod. */
  server(name: (typeof PODS)[number]): SocketProcess {
    return this.#servers.get(name) ?? assert.fail(`${name} has no server`)
  }

  async #startPod(name: (typeof PODS)[number]): Promise<void> {
    const { maps, programs } = this.node.datapath
    // Not the process that asks: that one waits for answers, and could give none.
    const server = this.node.process(this.namespaces.get(name))
    this.#servers.set(name, server)
    const { index, mac: address, ...place } = PLACES[name]
    const endpoint = { ifindex: index, id: index, identity: 1000 + index, policy: 1, mac: mac(address), flags: 0 }
    for (const family of [4, 6] as const) {
      maps.endpoints.set(toAddress(ip(place[family])), endpoint)
      const prefix = cidr(`${place[family]}/${family === 4 ? 32 : 128}`)
      maps.ipcache.set(ipcacheKey(prefix), { identity: endpoint.identity, flags: 0 })
      for (const transport of ['TCP', 'UDP'] as const)
        await server.serve(`pod ${name}`, transport, { address: place[family], port: POD_PORT })
    }
    withNamespace(this.node.namespace, () => {
      this.#links.push(attachTcx(programs.from_pod, index, 'ingress'), attachTcx(programs.to_pod, index, 'egress'))
    })
  }

  #writePolicy(): void {
    const { maps, schema } = this.node.datapath
    const any = { identity: 0, protocol: 0, port: 0, portPrefixLength: 0, precedence: 0, verdict: 'allow' } as const
    using policy = this.node.datapath.createPolicyMap(
      openPolicy().map(({ rule, direction }) =>
        policyElement(schema, { ...any, direction } satisfies PolicyTerm, rule),
      ),
    )
    maps.policy_maps.set(1, policy)
    maps.ipcache.updateBatch(worldEntries(schema.reservedIdentity))
    maps.runtime.set(0, { revision: 1, proxies: 0 })
  }

  /** As it is after `start`: no services, no connections, whatever the socket programs translate. */
  reset(options: { readonly byPacket: boolean }): void {
    const { maps } = this.node.datapath
    this.node.clearServices()
    maps.flows.clear()
    maps.translations.clear()
    for (const name of PODS) {
      const namespace = this.namespaces.get(name) ?? assert.fail(`${name} has no namespace`)
      this.node.setPod(namespace, [PLACES[name][4], PLACES[name][6]], options)
    }
    this.events()
  }

  /** One service on a port, for all of its backends. */
  setService(protocol: Transport, family: 4 | 6, port: number, backends: readonly (typeof PODS)[number][]): void {
    this.node.setService({
      number: SERVICE_NUMBER,
      protocol,
      frontends: [{ address: FRONTEND[family], port }],
      backends: backends.map(
        (name): TestBackend => ({ id: PLACES[name].index, address: PLACES[name][family], port: POD_PORT }),
      ),
    })
  }

  events(): FlowEvent[] {
    const events: FlowEvent[] = []
    this.#events.drain((view, offset, length) => {
      events.push(decodeFlowEvent(this.node.datapath.schema.flowEvent, view, offset, length))
    })
    return events
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const link of this.#links) link.close()
    this.#events.close()
    await this.node[Symbol.asyncDispose]()
  }
}

/** By a device of the node, which all its routes lead to. */
function connect(node: Namespace, namespace: Namespace, { name, index, mac, ...place }: Place): void {
  using outer = NetlinkSocket.open({ namespace: node })
  const peer = { name: 'eth0', mac, namespace }
  outer.run(createLink({ kind: 'veth', name, index, mac: formatMac(HOST_MAC), peer }), setLink({ index }, { up: true }))
  using inner = NetlinkSocket.open({ namespace })
  inner.run(setLink({ name: 'eth0' }, { up: true }))
  const eth0 = inner.get(linkOf({ name: 'eth0' }))?.index ?? assert.fail('no eth0')
  for (const family of [4, 6] as const) {
    const bits = family === 4 ? 32 : 128
    const gateway = family === 4 ? '169.254.1.1' : 'fe80::1'
    inner.run(
      addAddress({ index: eth0, address: place[family], prefixLength: bits, noDad: true }),
      addRoute({ destination: `${gateway}/${bits}`, index: eth0 }),
      addRoute({ destination: family === 4 ? '0.0.0.0/0' : '::/0', index: eth0, gateway }),
      replaceNeighbour({ index: eth0, address: gateway, mac: formatMac(HOST_MAC) }),
    )
    outer.run(
      addRoute({ destination: `${place[family]}/${bits}`, index }),
      replaceNeighbour({ index, address: place[family], mac }),
    )
  }
}
