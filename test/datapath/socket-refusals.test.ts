// What is told of a socket that is refused, because its service has nobody: a flow event
// and a count, as of a packet, though there is none.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { RingBuffer } from '../../src/bpf/index.ts'
import { cidr, formatIp, ip } from '../../src/ip/index.ts'
import { decodeFlowEvent, ipcacheKey, readPacketCounters, toAddress, worldEntries } from '../../src/maps/index.ts'
import type { Namespace } from '../../src/net/index.ts'
import { needsRoot } from '../bpf/support.ts'
import type { Name, SocketProcess, Transport } from './socket-calls.ts'
import { SocketNode } from './socket-node.ts'

const POD = ['10.244.0.7', 'fd00:10:244::7'] as const
const POD_IDENTITY = 300
/** `SocketNode.setPod` gives it. */
const POD_ENDPOINT = 1
/** Of a namespace that is nobody's. */
const OTHER = { 4: '10.9.0.1', 6: 'fd00:9::1' } as const
const OTHER_IDENTITY = 400
const HOST = 1
const SERVICE_NUMBER = 7
const FRONTENDS = { 4: { address: '10.96.0.20', port: 80 }, 6: { address: 'fd00:96::20', port: 80 } } as const
const UNBOUND = { 4: '0.0.0.0', 6: '::' } as const
const REFUSED = 'ECONNREFUSED'

describe('sockets that are refused', { skip: needsRoot, timeout: 60_000 }, () => {
  let node: SocketNode
  let pod: Namespace
  let ring: RingBuffer
  let processes: Record<'node' | 'pod' | 'other', SocketProcess>

  before(async () => {
    node = new SocketNode()
    ring = RingBuffer.open(node.datapath.maps.events)
    pod = await node.addressed(POD)
    const other = await node.addressed([OTHER[4], OTHER[6]])
    processes = { node: node.process(), pod: node.process(pod), other: node.process(other) }
    const { maps, schema } = node.datapath
    maps.ipcache.updateBatch(worldEntries(schema.reservedIdentity))
    for (const address of [OTHER[4], OTHER[6]])
      maps.ipcache.set(ipcacheKey(cidr(`${address}/${address.includes(':') ? 128 : 32}`)), {
        identity: OTHER_IDENTITY,
        flags: 0,
      })
    for (const address of POD)
      maps.endpoints.set(toAddress(ip(address)), {
        ifindex: 1,
        id: POD_ENDPOINT,
        identity: POD_IDENTITY,
        policy: 1,
        mac: new Uint8Array(6),
        flags: 0,
      })
  })
  after(async () => {
    ring?.close()
    await node?.[Symbol.asyncDispose]()
  })

  /** Neither has a backend. @param without what becomes of whoever asks */
  const given = (t: { after(run: () => void): void }, without: 'REJECT' | 'DROP' = 'REJECT'): void => {
    for (const protocol of ['TCP', 'UDP'] as const)
      node.setService({ number: SERVICE_NUMBER, protocol, frontends: Object.values(FRONTENDS), backends: [], without })
    node.setPod(pod, POD)
    told()
    t.after(() => {
      node.clearServices()
      node.datapath.maps.pod_namespaces.clear()
    })
  }
  const told = () => {
    const { flowEvent } = node.datapath.schema
    const events: ReturnType<typeof decodeFlowEvent>[] = []
    ring.drain((view, offset, length) => events.push(decodeFlowEvent(flowEvent, view, offset, length)))
    return events.map(event => ({
      ...event,
      time_ns: undefined,
      source: `${formatIp(event.source.bytes)} ${event.source_port}`,
      destination: `${formatIp(event.destination.bytes)} ${event.destination_port}`,
      source_port: undefined,
      destination_port: undefined,
    }))
  }
  const counted = (): bigint => {
    const { schema, maps } = node.datapath
    const found = readPacketCounters(schema, maps.packet_counts).filter(({ reason }) => reason === 'NO_SERVICE')
    for (const { verdict, direction, bytes } of found)
      assert.deepEqual([verdict, direction, bytes], ['DROPPED', 'EGRESS', 0n])
    return found[0]?.packets ?? 0n
  }
  const world = (family: 4 | 6): number => {
    const { WORLD_IPV4, WORLD_IPV6 } = node.datapath.schema.reservedIdentity.number
    return family === 4 ? WORLD_IPV4 : WORLD_IPV6
  }
  /** The record of a refusal; by default of one who is the host. */
  const record = (change: { readonly protocol: Transport; readonly family: 4 | 6 }, more: object) => {
    const { eventKind, verdict, trafficDirection, dropReason } = node.datapath.schema
    const { family, protocol } = change
    return {
      family,
      protocol: protocol === 'TCP' ? 6 : 17,
      tcp_flags: protocol === 'TCP' ? 2 : 0,
      destination: `${FRONTENDS[family].address} ${FRONTENDS[family].port}`,
      kind: eventKind.number.DROP,
      verdict: verdict.number.DROPPED,
      direction: trafficDirection.number.EGRESS,
      drop_reason: dropReason.number.NO_SERVICE,
      service: SERVICE_NUMBER,
      identity: [HOST, world(family)],
      endpoint: [0, 0],
      packets: [0n, 0n],
      bytes: [0n, 0n],
      icmp_type: 0,
      icmp_code: 0,
      observation: 0,
      is_reply: 0,
      flow_flags: 0,
      egress_rule: 0,
      ingress_rule: 0,
      length: 0,
      ifindex: 0,
      proxy: 0,
      time_ns: undefined,
      source_port: undefined,
      destination_port: undefined,
      ...more,
    }
  }

  for (const family of [4, 6] as const) {
    const to: Name = FRONTENDS[family]
    const about = (text: string) => `${text}, IPv${family}`

    test(about('a connection of a pod comes from its address'), async t => {
      given(t)
      const before = counted()
      const socket = await processes.pod.open('TCP', family)
      assert.equal(await socket.connect(to), REFUSED)
      const source = `${POD[family === 4 ? 0 : 1]} 0`
      const more = { source, identity: [POD_IDENTITY, world(family)], endpoint: [POD_ENDPOINT, 0] }
      assert.deepEqual(told(), [record({ protocol: 'TCP', family }, more)])
      assert.equal(counted() - before, 1n)
    })

    test(about('one of the node is the host’s'), async t => {
      given(t)
      for (const protocol of ['TCP', 'UDP'] as const) {
        assert.equal(await (await processes.node.open(protocol, family)).connect(to), REFUSED)
        assert.deepEqual(told(), [record({ protocol, family }, { source: `${UNBOUND[family]} 0` })], protocol)
      }
    })

    test(about('each datagram that is refused is told, with the port of its socket'), async t => {
      given(t, 'DROP')
      const before = counted()
      const socket = await processes.node.open('UDP', family)
      assert.equal(await socket.bind({ address: UNBOUND[family], port: 4242 }), 'ok')
      for (let sent = 0; sent < 2; sent++) assert.equal(await socket.send('hello', to), 'EHOSTUNREACH')
      const one = record({ protocol: 'UDP', family }, { source: `${UNBOUND[family]} 4242` })
      assert.deepEqual(told(), [one, one])
      assert.equal(counted() - before, 2n)
    })

    test(about('a namespace that is nobody’s is known by the address of its socket'), async t => {
      given(t)
      const bound = await processes.other.open('TCP', family)
      assert.equal(await bound.bind({ address: OTHER[family], port: 4242 }), 'ok')
      assert.equal(await bound.connect(to), REFUSED)
      assert.equal(await (await processes.other.open('TCP', family)).connect(to), REFUSED)
      assert.deepEqual(told(), [
        record(
          { protocol: 'TCP', family },
          { source: `${OTHER[family]} 4242`, identity: [OTHER_IDENTITY, world(family)] },
        ),
        record({ protocol: 'TCP', family }, { source: `${UNBOUND[family]} 0`, identity: [0, world(family)] }),
      ])
    })

    test(about('a pod without an address of the family is known by its other one'), async t => {
      given(t)
      node.setPod(pod, family === 4 ? ['::', POD[1]] : [POD[0], '::'])
      assert.equal(await (await processes.pod.open('TCP', family)).connect(to), REFUSED)
      const more = { source: `${UNBOUND[family]} 0`, identity: [POD_IDENTITY, world(family)], endpoint: [1, 0] }
      assert.deepEqual(told(), [record({ protocol: 'TCP', family }, more)])
    })
  }

  test('an IPv6 socket that speaks IPv4 is told of as an IPv4 one', async t => {
    given(t)
    const socket = await processes.pod.open('TCP', 6)
    assert.equal(await socket.connect({ ...FRONTENDS[4], address: `::ffff:${FRONTENDS[4].address}` }), REFUSED)
    const more = { source: `${POD[0]} 0`, identity: [POD_IDENTITY, world(4)], endpoint: [POD_ENDPOINT, 0] }
    assert.deepEqual(told(), [record({ protocol: 'TCP', family: 4 }, more)])
  })

  test('what is not refused here is told by nobody: datagrams of pods, pods by the packet, other addresses', async t => {
    given(t)
    const datagrams = await processes.pod.open('UDP')
    assert.equal(await datagrams.send('hello', FRONTENDS[4]), 'ENETUNREACH')
    node.setPod(pod, POD, { byPacket: true })
    assert.equal(await (await processes.pod.open('TCP')).connect(FRONTENDS[4]), 'ENETUNREACH')
    const elsewhere = { ...FRONTENDS[4], port: 81 }
    assert.equal(await (await processes.node.open('TCP')).connect(elsewhere), 'ENETUNREACH')
    assert.deepEqual(told(), [])
  })
})
