// What the kernel tells: one event for a new connection, one for its end, one for
// every drop, one now and then while packets flow; and what its counters say.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatIp } from '../../src/ip/index.ts'
import { type FlowEvent, type PacketCounter, readPacketCounters } from '../../src/maps/index.ts'
import {
  back,
  between,
  type Case,
  echo,
  type Family,
  icmpError,
  longUnreported,
  type Packet,
  runStep,
  sentOf,
  tcp,
  testCases,
  udp,
  type Want,
} from './cases.ts'
import { ACK, FIN, PSH, SYN } from './frames.ts'
import { A, B, needsRoot, nodeForTests, OUTSIDE, ROUTER, TestNode, UPLINK } from './node.ts'

/** Every so often a flowing connection is reported; the machine has been up longer than that. */
const REPORT_SECONDS = 20
const node = nodeForTests({ constants: { report_interval_seconds: REPORT_SECONDS } })
const web = between(A, B, 40000, 80)

const aggregation: Case[] = [
  {
    name: 'a connection makes two events, however many packets it has',
    steps: [
      { send: tcp(web, SYN), want: 'to pod', report: 'NEW' },
      { send: tcp(back(web), SYN | ACK), want: 'to pod', report: 'none' },
      ...Array.from({ length: 20 }, (_, index) => ({
        send: tcp(index % 2 ? web : back(web), PSH | ACK),
        want: 'to pod' as const,
        report: 'none' as const,
      })),
      { send: tcp(web, FIN | ACK), want: 'to pod', report: 'none' },
      { send: tcp(back(web), FIN | ACK), want: 'to pod', report: 'CLOSED' },
      { send: tcp(web, ACK), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'a sign of life now and then, once',
    steps: [
      { send: udp(web), want: 'to pod', report: 'NEW' },
      { send: udp(web), want: 'to pod', report: 'none' },
      { first: longUnreported, send: udp(web), want: 'to pod', report: 'ACTIVE' },
      { send: udp(web), want: 'to pod', report: 'none' },
      { first: longUnreported, send: udp(back(web)), want: 'to pod', report: 'ACTIVE' },
    ],
  },
  {
    name: 'the end is told rather than the sign of life',
    steps: [
      { send: tcp(web, SYN), want: 'to pod', report: 'NEW' },
      { send: tcp(web, FIN), want: 'to pod', report: 'none' },
      { first: longUnreported, send: tcp(back(web), FIN), want: 'to pod', report: 'CLOSED' },
      { send: tcp(web, ACK), want: 'to pod', report: 'ACTIVE' },
    ],
  },
  {
    name: 'every drop is told',
    policy: { b: [] },
    steps: Array.from({ length: 5 }, () => ({
      send: tcp(web, SYN),
      want: 'drop POLICY_DENIED' as const,
      report: 'DROP' as const,
    })),
  },
]
testCases(node, aggregation)

/** Fields of an event in words. */
function inWords(event: FlowEvent | undefined) {
  if (!event) return undefined
  const { schema } = node().world
  return {
    kind: schema.eventKind.text(event.kind),
    verdict: schema.verdict.text(event.verdict),
    reason: schema.dropReason.text(event.drop_reason),
    direction: schema.trafficDirection.text(event.direction),
    observation: schema.observationPoint.text(event.observation),
    source: `${formatIp(event.source.bytes)} ${event.source_port}`,
    destination: `${formatIp(event.destination.bytes)} ${event.destination_port}`,
    protocol: event.protocol,
    family: event.family,
    tcp_flags: event.tcp_flags,
    icmp: [event.icmp_type, event.icmp_code],
    is_reply: event.is_reply,
    identity: event.identity,
    endpoint: event.endpoint,
    rules: [event.egress_rule, event.ingress_rule],
    packets: event.packets,
    bytes: event.bytes,
    length: event.length,
    ifindex: event.ifindex,
  }
}

type Content = {
  name: string
  before?: Packet[]
  send: Packet
  want: Want
  event: (family: Family, length: number) => unknown
}
const address = (party: { 4: Uint8Array; 6: Uint8Array }, family: Family): string => formatIp(party[family])
const contents: Content[] = [
  {
    name: 'a new connection',
    send: tcp(web, SYN),
    want: 'to pod',
    event: (family, length) => ({
      kind: 'NEW',
      verdict: 'FORWARDED',
      reason: 'NONE',
      direction: 'EGRESS',
      observation: 'TO_ENDPOINT',
      source: `${address(A, family)} 40000`,
      destination: `${address(B, family)} 80`,
      protocol: 6,
      family,
      tcp_flags: SYN,
      icmp: [0, 0],
      is_reply: 0,
      identity: [1010, 1011],
      endpoint: [10, 11],
      rules: [2, 1],
      packets: [1n, 0n],
      bytes: [BigInt(length), 0n],
      length,
      ifindex: A.ifindex,
    }),
  },
  {
    name: 'the end, told by the responder’s packet: sides are the packet’s, counts the opener’s',
    before: [tcp(web, SYN), tcp(back(web), SYN | ACK), tcp(web, FIN | ACK)],
    send: tcp(back(web), FIN | ACK),
    want: 'to pod',
    event: (family, length) => ({
      kind: 'CLOSED',
      verdict: 'FORWARDED',
      reason: 'NONE',
      direction: 'EGRESS',
      observation: 'TO_ENDPOINT',
      source: `${address(B, family)} 80`,
      destination: `${address(A, family)} 40000`,
      protocol: 6,
      family,
      tcp_flags: FIN | ACK,
      icmp: [0, 0],
      is_reply: 1,
      identity: [1011, 1010],
      endpoint: [11, 10],
      rules: [2, 1],
      packets: [2n, 2n],
      bytes: [BigInt(2 * length), BigInt(2 * length)],
      length,
      ifindex: B.ifindex,
    }),
  },
  {
    name: 'from outside',
    send: udp(between(OUTSIDE, A, 5000, 53)),
    want: 'to pod',
    event: (family, length) => ({
      kind: 'NEW',
      verdict: 'FORWARDED',
      reason: 'NONE',
      direction: 'INGRESS',
      observation: 'TO_ENDPOINT',
      source: `${address(OUTSIDE, family)} 5000`,
      destination: `${address(A, family)} 53`,
      protocol: 17,
      family,
      tcp_flags: 0,
      icmp: [0, 0],
      is_reply: 0,
      identity: [family === 4 ? 9 : 10, 1010],
      endpoint: [0, 10],
      rules: [0, 1],
      packets: [1n, 0n],
      bytes: [BigInt(length), 0n],
      length,
      ifindex: A.ifindex,
    }),
  },
  {
    name: 'an echo to the outside',
    send: echo(A, OUTSIDE, 'request', 0x1234),
    want: 'to stack',
    event: (family, length) => ({
      kind: 'NEW',
      verdict: 'FORWARDED',
      reason: 'NONE',
      direction: 'EGRESS',
      observation: 'TO_STACK',
      source: `${address(A, family)} 4660`,
      destination: `${address(OUTSIDE, family)} 0`,
      protocol: family === 4 ? 1 : 58,
      family,
      tcp_flags: 0,
      icmp: [family === 4 ? 8 : 128, 0],
      is_reply: 0,
      identity: [1010, family === 4 ? 9 : 10],
      endpoint: [10, 0],
      rules: [2, 0],
      packets: [1n, 0n],
      bytes: [BigInt(length), 0n],
      length,
      ifindex: A.ifindex,
    }),
  },
  {
    name: 'an error about a connection',
    before: [udp(between(A, OUTSIDE, 1, 2))],
    send: icmpError(OUTSIDE, A, udp(between(A, OUTSIDE, 1, 2))),
    want: 'to pod',
    event: (family, length) => ({
      kind: 'RELATED',
      verdict: 'FORWARDED',
      reason: 'NONE',
      direction: 'INGRESS',
      observation: 'TO_ENDPOINT',
      source: `${address(OUTSIDE, family)} 0`,
      destination: `${address(A, family)} 0`,
      protocol: family === 4 ? 1 : 58,
      family,
      tcp_flags: 0,
      icmp: [family === 4 ? 3 : 1, 3],
      // It goes to the opener: against the direction of the connection.
      is_reply: 1,
      identity: [family === 4 ? 9 : 10, 1010],
      endpoint: [0, 10],
      rules: [2, 0],
      packets: [1n, 0n],
      bytes: [BigInt(family === 4 ? 45 : 65), 0n],
      length,
      ifindex: A.ifindex,
    }),
  },
  {
    name: 'an error from a router on the way: its own identity',
    before: [udp(between(A, OUTSIDE, 1, 2))],
    send: icmpError(ROUTER, A, udp(between(A, OUTSIDE, 1, 2))),
    want: 'to pod',
    event: (family, length) => ({
      kind: 'RELATED',
      verdict: 'FORWARDED',
      reason: 'NONE',
      direction: 'INGRESS',
      observation: 'TO_ENDPOINT',
      source: `${address(ROUTER, family)} 0`,
      destination: `${address(A, family)} 0`,
      protocol: family === 4 ? 1 : 58,
      family,
      tcp_flags: 0,
      icmp: [family === 4 ? 3 : 1, 3],
      is_reply: 1,
      identity: [777, 1010],
      endpoint: [0, 10],
      rules: [2, 0],
      packets: [1n, 0n],
      bytes: [BigInt(family === 4 ? 45 : 65), 0n],
      length,
      ifindex: A.ifindex,
    }),
  },
  {
    name: 'a drop before anything is known of the packet but its addresses',
    send: udp(between(OUTSIDE, A, 1, 2), { hook: 'from_pod', at: A.ifindex, cameBy: A.ifindex }),
    want: 'drop INVALID_SOURCE_IP',
    event: (family, length) => ({
      kind: 'DROP',
      verdict: 'DROPPED',
      reason: 'INVALID_SOURCE_IP',
      direction: 'EGRESS',
      observation: 'NOWHERE',
      source: `${address(OUTSIDE, family)} 1`,
      destination: `${address(A, family)} 2`,
      protocol: 17,
      family,
      tcp_flags: 0,
      icmp: [0, 0],
      is_reply: 0,
      identity: [0, 0],
      endpoint: [0, 0],
      rules: [0, 0],
      packets: [1n, 0n],
      bytes: [BigInt(length), 0n],
      length,
      ifindex: A.ifindex,
    }),
  },
]
for (const { name, before: earlier = [], send, want, event } of contents)
  for (const family of [4, 6] as const)
    test(`event of ${name}, IPv${family}`, { skip: needsRoot }, () => {
      node().reset()
      node().setIpcache('198.51.100.1/32', 777)
      node().setIpcache('2001:db8::1/128', 777)
      const startedAt = process.hrtime.bigint()
      for (const packet of earlier) node().send(sentOf(packet, family))
      const observed = runStep(node(), { send, want }, family, name)
      assert.deepEqual(inWords(observed.event), event(family, sentOf(send, family).frame.length))
      const time = observed.event?.time_ns ?? 0n
      assert.ok(time >= startedAt - 10_000_000n && time <= process.hrtime.bigint(), 'time of CLOCK_MONOTONIC')
    })

test('counters: packets and bytes by reason and direction', { skip: needsRoot }, () => {
  node().reset({ b: [] })
  const before = counters(node())
  const send = (packet: Packet): void => void node().send(sentOf(packet, 4))
  send(udp(web))
  send(udp(web))
  send(udp(between(A, OUTSIDE, 1, 2)))
  send(udp(between(OUTSIDE, A, 2, 1)))
  send(udp(between(OUTSIDE, B, 2, 1)))
  send(udp(web, { ethernet: { source: B.mac } }))
  send(udp(between(A, OUTSIDE, 1, 2)))
  const audited = { verdict: 'deny', audit: true } as const
  node().setPolicy(B, [{ direction: 'egress', rule: 9, ...audited }])
  send(udp(between(B, OUTSIDE, 1, 2)))
  send(udp(between(B, OUTSIDE, 1, 2)))
  const length = sentOf(udp(web), 4).frame.length
  const want: [string, number][] = [
    ['NONE EGRESS', 2],
    ['NONE INGRESS', 1],
    // Two on their way out of A, because of the policy of B: it is B's ingress that dropped them.
    ['POLICY_DENIED INGRESS', 3],
    ['INVALID_SOURCE_MAC EGRESS', 1],
    ['AUDIT POLICY_DENY EGRESS', 2],
  ]
  const found = counters(node())
  for (const [name, packets] of want) {
    assert.equal((found.get(name)?.packets ?? 0n) - (before.get(name)?.packets ?? 0n), BigInt(packets), name)
    assert.equal((found.get(name)?.bytes ?? 0n) - (before.get(name)?.bytes ?? 0n), BigInt(packets * length), name)
  }
})

function counters({ datapath }: TestNode): Map<string, PacketCounter> {
  return new Map(
    readPacketCounters(datapath.schema, datapath.maps.packet_counts).map(counter => [
      `${counter.verdict === 'AUDIT' ? 'AUDIT ' : ''}${counter.reason} ${counter.direction}`,
      counter,
    ]),
  )
}

test('a full buffer loses events, counts them, and lets the packets pass', { skip: needsRoot }, () => {
  using small = new TestNode({ sizes: { events: 4096 } })
  const { datapath } = small
  const sent = 60
  small.inside(() => {
    for (let port = 1; port <= sent; port++) {
      const { frame, ifindex } = sentOf(udp(between(A, B, port, 53)), 4)
      const { returnValue } = datapath.programs.from_pod.testRun({
        packet: frame,
        context: { ifindex, ingress_ifindex: UPLINK },
      })
      assert.equal(returnValue, 7)
    }
  })
  const read = small.drainEvents().length
  const counts = datapath.maps.event_counts.get(0) ?? []
  const total = (field: 'sent' | 'lost') => counts.reduce((sum, count) => sum + Number(count[field]), 0)
  assert.ok(read > 0 && read < sent)
  assert.equal(total('sent'), read)
  assert.equal(total('lost'), sent - read)
})

test('with flow events off there are none, drops included', { skip: needsRoot }, () => {
  using silent = new TestNode({ constants: { flow_events: false } })
  silent.setPolicy(B, [])
  assert.equal(silent.send(sentOf(udp(web), 4)).event, undefined)
  assert.equal(silent.send(sentOf(udp(between(A, OUTSIDE, 1, 2)), 4)).event, undefined)
  assert.equal(counters(silent).get('POLICY_DENIED INGRESS')?.packets, 1n)
})
