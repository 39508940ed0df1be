// The edge of a node, for tests: the device program in the kernel over the maps of a
// TestNode, with routes to outside clients and to the pods of another node. Packets go in
// where a device would receive or send them, and come out as they would leave.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before } from 'node:test'
import { attachXdp, type Link, type LoadedObject } from '../../src/bpf/index.ts'
import { formatIp, formatMac, ip, mac } from '../../src/ip/index.ts'
import type { FlowEvent } from '../../src/maps/index.ts'
import {
  addAddress,
  addRoute,
  NetlinkSocket,
  replaceNeighbour,
  setLink,
  withNamespace,
  writeSysctls,
} from '../../src/net/index.ts'

import { HOST, needsRoot, OUTSIDE, type Party, TestNode, UPLINK } from './node.ts'
import { ServiceMaps } from './services.ts'

const XDP_OBJECT = readFileSync(new URL('../../build/xdp.o', import.meta.url))
const OBJECT = readFileSync(new URL('../../build/netdev.o', import.meta.url))

const party = (name: string, four: string, six: string, ether: string): Party => ({
  name,
  4: ip(four).bytes,
  6: ip(six).bytes,
  mac: mac(ether),
})
/** The next node, and a pod there. */
export const NEXT = party('next node', '172.30.0.3', 'fd00:172:30::3', '0a:00:00:00:99:03')
export const FAR = party('far pod', '10.244.1.20', 'fd00:10:244:1::20', '0a:00:00:00:99:03')
export const OTHER_CLIENT = party('other client', '198.51.100.8', '2001:db8::8', '0a:00:00:00:99:01')

export type Passed = {
  readonly action: 'pass' | 'drop' | 'redirect'
  readonly frame: Uint8Array
  /** Name of the reason that its event tells; undefined where there is none. */
  readonly reason: string | undefined
  readonly event: FlowEvent | undefined
}

const XDP_ACTIONS: Readonly<Record<number, 'pass' | 'drop' | 'sent back'>> = { 1: 'drop', 2: 'pass', 3: 'sent back' }
const ACTIONS: Readonly<Record<number, Passed['action']>> = { 0: 'pass', 2: 'drop', 7: 'redirect' }

/** An edge for all tests of a file. */
export function edgeForTests(): () => Edge {
  let edge: Edge | undefined
  before(() => {
    if (!needsRoot) edge = new Edge()
  })
  after(() => edge?.[Symbol.dispose]())
  return () => edge ?? assert.fail('there is no edge before the tests run')
}

export class Edge implements Disposable {
  readonly node: TestNode
  readonly services: ServiceMaps
  readonly object: LoadedObject
  readonly #xdp: LoadedObject
  /** On a veth device, a test run needs the queues that an attached program brings. */
  readonly #xdpLink: Link

  /** @param rodata constants of the device program */
  constructor(rodata: Readonly<Record<string, unknown>> = {}) {
    this.node = new TestNode()
    const options = { rodata: { node_ipv4: HOST[4].subarray(12), node_ipv6: HOST[6], ...rodata } }
    this.object = this.node.datapath.load(OBJECT, options)
    this.#xdp = this.node.datapath.load(XDP_OBJECT, options)
    this.services = new ServiceMaps(this.node)
    const { namespace } = this.node
    writeSysctls(namespace, {
      'net/ipv4/ip_forward': 1,
      'net/ipv6/conf/all/forwarding': 1,
      'net/ipv6/conf/all/accept_dad': 0,
      'net/ipv6/conf/default/accept_dad': 0,
    })
    using netlink = NetlinkSocket.open({ namespace })
    const index = UPLINK
    this.#xdpLink = withNamespace(namespace, () => attachXdp(this.#xdp.program('xdp_netdev'), index, 'native'))
    netlink.run(
      setLink({ index }, { up: true }),
      setLink({ name: `${OUTSIDE.name}-peer` }, { up: true }),
      addAddress({ index, address: formatIp(HOST[4]), prefixLength: 24 }),
      addAddress({ index, address: formatIp(HOST[6]), prefixLength: 64, noDad: true }),
      ...['198.51.100.0/24', '2001:db8::/64'].map(destination => addRoute({ destination, index })),
      ...[OUTSIDE, OTHER_CLIENT].flatMap(client =>
        ([4, 6] as const).flatMap(family => [
          replaceNeighbour({ index, address: formatIp(client[family]), mac: formatMac(client.mac) }),
        ]),
      ),
      ...([4, 6] as const).flatMap(family => [
        replaceNeighbour({ index, address: formatIp(NEXT[family]), mac: formatMac(NEXT.mac) }),
        addRoute({
          destination: family === 4 ? '10.244.1.0/24' : 'fd00:10:244:1::/64',
          gateway: formatIp(NEXT[family]),
          index,
        }),
      ]),
    )
  }

  reset(): void {
    this.node.reset()
    const { maps } = this.node.datapath
    for (const map of [maps.frontends, maps.backends, maps.translations, maps.affinities, maps.affinity_backends])
      (map as { clear(): void }).clear()
  }

  /** Of a device: the node's unless another is given. */
  setMtu(mtu: number, index = UPLINK): void {
    using netlink = NetlinkSocket.open({ namespace: this.node.namespace })
    netlink.run(setLink({ index }, { mtu }))
  }

  /** As the device receives it. */
  receive(frame: Uint8Array): Passed {
    return this.#run('from_netdev', frame, UPLINK)
  }

  /** As the node sends it by the device. */
  leave(frame: Uint8Array): Passed {
    return this.#run('to_netdev', frame, 0)
  }

  /** As the driver receives it. */
  atDriver(packet: Uint8Array): { readonly action: 'pass' | 'drop' | 'sent back'; readonly frame: Uint8Array } {
    const context = Buffer.alloc(24) // struct xdp_md
    context.writeUInt32LE(packet.length, 4)
    context.writeUInt32LE(UPLINK, 12)
    const run = this.node.inside(() => this.#xdp.program('xdp_netdev').testRun({ packet, context }))
    const action = XDP_ACTIONS[run.returnValue] ?? assert.fail(`unknown action ${run.returnValue}`)
    return { action, frame: run.packet }
  }

  #run(program: string, packet: Uint8Array, ingress: number): Passed {
    const run = this.node.inside(() =>
      this.object.program(program).testRun({ packet, context: { ifindex: UPLINK, ingress_ifindex: ingress } }),
    )
    const { schema } = this.node.world
    const events = this.node.drainEvents()
    assert.ok(events.length <= 1, 'one packet makes at most one event')
    const [event] = events
    return {
      action: ACTIONS[run.returnValue] ?? assert.fail(`unknown action ${run.returnValue}`),
      frame: run.packet,
      event,
      reason: event && schema.dropReason.text(event.drop_reason),
    }
  }

  [Symbol.dispose](): void {
    this.#xdpLink.close()
    this.#xdp.close()
    this.object.close()
    this.node[Symbol.dispose]()
  }
}
