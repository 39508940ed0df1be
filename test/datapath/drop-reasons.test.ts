// Every reason for which the datapath drops a packet, by a packet that it drops for
// it: the reasons seen here are the reasons there are.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { MapSpec, ObjectSpec } from '../../src/bpf/index.ts'
import { ip } from '../../src/ip/index.ts'
import { type DropReason, readDatapathObject } from '../../src/maps/index.ts'
import { between, type Family, frameOf, type Packet, sctp, sentOf, tcp, udp } from './cases.ts'
import { Edge, FAR } from './edge.ts'
import { bytes, PROTOCOL, udp as udpPayload } from './frames.ts'
import { A, B, HOST, needsRoot, nodeForTests, OBJECT, OUTSIDE, type Rule, type Sent, TestNode } from './node.ts'
import { DNS, dns } from './service-exchange.ts'
import { answerEntry, answersToOutside, OTHER_SERVICE, type Service, ServiceMaps } from './services.ts'

const node = nodeForTests()
const seen = new Set<DropReason>()
const sent = between(A, B, 1, 2)
const plain = (packet: Packet, family: Family = 4): Sent => sentOf(packet, family)
const SYN = 0x02
const ACK = 0x10
const syn = tcp(sent, SYN)
const judged = (direction: Rule['direction'], proxy: 'HTTP' | 'DNS' | 'KAFKA'): Rule => ({
  direction,
  rule: 1,
  l7: { proxy, rules: 1 },
})
const retyped = (type: number): Sent => {
  const whole = plain(udp(sent))
  return { ...whole, frame: bytes(whole.frame.subarray(0, 12), type >> 8, type & 0xff, whole.frame.subarray(14)) }
}

const offences: {
  reason: Exclude<DropReason, 'NONE' | 'CT_INSERT_FAILED'>
  first?: (node: TestNode) => void
  send: Sent
}[] = [
  { reason: 'INVALID_SOURCE_MAC', send: plain(udp(sent, { ethernet: { source: B.mac } })) },
  { reason: 'INVALID_DESTINATION_MAC', send: plain(udp(sent, { ethernet: { destination: B.mac } })) },
  { reason: 'INVALID_SOURCE_IP', send: plain(udp(sent, { at: B.ifindex })) },
  { reason: 'POLICY_DENIED', first: node => node.setPolicy(B, []), send: plain(udp(sent)) },
  {
    reason: 'POLICY_DENY',
    first: node => node.setPolicy(B, [{ direction: 'ingress', verdict: 'deny', rule: 1 }]),
    send: plain(udp(sent)),
  },
  { reason: 'POLICY_MISSING', first: node => node.removePolicy(B.policy), send: plain(udp(sent)) },
  { reason: 'INVALID_PACKET', send: plain(udp(sent, { ip: { length: 20 } })) },
  { reason: 'UNKNOWN_L4', send: plain({ ...udp(sent), protocol: 58 }) },
  { reason: 'UNSUPPORTED_L3', send: retyped(0x88b5) },
  { reason: 'VLAN_FILTERED', send: retyped(0x8100) },
  { reason: 'STALE_IP', first: node => node.removeEndpoint(A), send: plain(udp(between(OUTSIDE, A, 1, 2))) },
  { reason: 'FRAGMENT_NOT_FOUND', send: plain(udp(sent, { ip: { fragment: { id: 1, offset: 8, more: false } } })) },
  { reason: 'SOCKET_LOOKUP_FAILED', first: node => node.setPolicy(A, [judged('egress', 'HTTP')]), send: plain(syn) },
  {
    reason: 'SOCKET_ASSIGN_FAILED',
    first: node => node.setPolicy(A, [judged('egress', 'DNS')]),
    send: plain(udp(sent, { ip: { fragment: { id: 1, offset: 0, more: true } } })),
  },
  {
    reason: 'PROXY_MIDSTREAM',
    first: node => {
      node.send(plain(syn))
      node.setPolicy(A, [judged('egress', 'HTTP')])
      node.raiseRevision()
    },
    send: plain(tcp(sent, ACK)),
  },
  {
    reason: 'PROXY_CONFLICT',
    first: node => {
      node.setPolicy(A, [judged('egress', 'HTTP')])
      node.setPolicy(B, [judged('ingress', 'KAFKA')])
    },
    send: plain(syn),
  },
  {
    reason: 'IPV4_MAPPED_ADDRESS',
    send: plain(udp(between(A, { ...B, 6: ip('10.244.0.11').bytes }, 1, 2)), 6),
  },
]
for (const { reason, first, send } of offences)
  test(`dropped: ${reason}`, { skip: needsRoot }, () => {
    node().reset()
    first?.(node())
    observe(node(), send, reason)
  })

/** The connection table as one that does not make room by itself. */
function withoutEviction(): ObjectSpec {
  const { spec } = readDatapathObject(OBJECT)
  const flows = spec.maps.get('flows') ?? assert.fail('no map flows')
  return { ...spec, maps: new Map<string, MapSpec>([...spec.maps, ['flows', { ...flows, type: 'hash' }]]) }
}

test('dropped: CT_INSERT_FAILED', { skip: needsRoot }, () => {
  using full = new TestNode({ object: withoutEviction(), sizes: { flows: 1 } })
  const { from_pod } = full.datapath.programs
  const run = (port: number) => {
    const { frame, ifindex } = plain(udp(between(A, B, port, 53)))
    return full.inside(() => from_pod.testRun({ packet: frame, context: { ifindex, ingress_ifindex: ifindex } }))
      .returnValue
  }
  assert.equal(run(1), 7)
  full.drainEvents()
  assert.equal(run(2), 2, 'a connection that cannot be remembered does not pass')
  const [event] = full.drainEvents()
  assert.equal(event && full.world.schema.dropReason.name(event.drop_reason), 'CT_INSERT_FAILED')
  assert.equal(event && full.world.schema.eventKind.name(event.kind), 'DROP')
  assert.equal(run(1), 7, 'the one that is known goes on')
  seen.add('CT_INSERT_FAILED')
})

test('dropped: NO_SERVICE', { skip: needsRoot }, () => {
  node().reset()
  new ServiceMaps(node()).set({ ...DNS, backends: [], without: 'DROP' }, 4)
  observeRun(node(), plain(udp(dns.asked)), 'NO_SERVICE')
})

test('dropped: CSUM_L4', { skip: needsRoot }, () => {
  node().reset()
  new ServiceMaps(node()).set({ ...DNS, protocol: PROTOCOL.sctp }, 4)
  const fragment = { id: 7, offset: 0, more: true }
  observeRun(node(), plain(sctp(dns.asked, { ip: { fragment } })), 'CSUM_L4')
})

test('dropped: NO_FIB', { skip: needsRoot }, () => {
  node().reset()
  answersToOutside(node(), 4)
  assert.equal(node().send(plain(udp(between(OUTSIDE, B, 40000, 5353)))).action, 'pass')
  // The node of these tests has no routes.
  observeRun(node(), plain(udp(between(B, OUTSIDE, 5353, 40000))), 'NO_FIB')
})

test('dropped: NAT_NO_MAPPING', { skip: needsRoot }, () => {
  using full = new TestNode({ sizes: { translations: 131072 } })
  new ServiceMaps(full).set(DNS, 4)
  const taken = (port: number) => {
    const { key, value } = answerEntry(full, between(B, A, 5353, port), between(OTHER_SERVICE, A, 53, port), 4)
    return [key, value] as const
  }
  const ports = [dns.asked.sourcePort, ...Array.from({ length: 28976 }, (_, index) => 1024 + index)]
  full.datapath.maps.translations.updateBatch(ports.map(taken))
  // By chance alone: the predictor takes another port to be found.
  const { action, event } = full.run(plain(udp(dns.asked)))
  assert.equal(action, 'drop')
  assert.equal(event && full.world.schema.dropReason.name(event.drop_reason), 'NAT_NO_MAPPING')
  seen.add('NAT_NO_MAPPING')
})

const FAR_BACKEND = { party: FAR, port: 8080 }
const askedOutside = between(OUTSIDE, HOST, 5000, 30080)
const offencesOutside: { reason: DropReason; service?: Partial<Service>; mtu?: number; send: Packet }[] = [
  { reason: 'IS_CLUSTER_IP', service: { flags: [] }, send: udp(askedOutside) },
  { reason: 'NOT_IN_SOURCE_RANGE', service: { flags: ['OUTSIDE', 'SOURCE_RANGES'] }, send: udp(askedOutside) },
  { reason: 'TTL_EXCEEDED', send: udp(askedOutside, { ip: { timeToLive: 1 } }) },
  {
    reason: 'PACKET_TOO_BIG',
    mtu: 1280,
    send: udp(askedOutside, { payload: ends => udpPayload(ends, askedOutside, new Uint8Array(1400)) }),
  },
]
for (const { reason, service, mtu, send } of offencesOutside)
  test(`dropped: ${reason}`, { skip: needsRoot }, () => {
    using edge = new Edge()
    edge.reset()
    edge.services.set({ frontend: HOST, port: 30080, backends: [FAR_BACKEND], flags: ['OUTSIDE'], ...service }, 4)
    if (mtu) edge.setMtu(mtu)
    assert.equal(edge.receive(frameOf(send, 4)).reason, reason)
    seen.add(reason)
  })

function observeRun(node: TestNode, send: Sent, want: DropReason): void {
  const { action, event } = node.send(send)
  assert.equal(action, 'drop')
  assert.equal(event && node.world.schema.dropReason.name(event.drop_reason), want)
  seen.add(want)
}

function observe(node: TestNode, send: Sent, want: DropReason): void {
  const { action, event } = node.send(send)
  // A refusal goes back by the device.
  assert.equal(action, want === 'SOCKET_LOOKUP_FAILED' || want === 'PROXY_MIDSTREAM' ? 'redirect' : 'drop')
  const reason = event && node.world.schema.dropReason.name(event.drop_reason)
  assert.equal(reason, want)
  if (reason) seen.add(reason)
}

after(() => {
  if (needsRoot) return
  const { schema } = readDatapathObject(OBJECT)
  const missing = schema.dropReason.names.filter(name => name !== 'NONE' && !seen.has(name))
  assert.deepEqual(missing, [], 'reasons that no packet of this file is dropped for')
})
