// Headers, whole and broken: what can be described safely is judged by what the
// receiver will see in it; the rest is dropped with a reason.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ip } from '../../src/ip/index.ts'
import {
  between,
  type Case,
  echo,
  type Family,
  frameOf,
  icmp,
  type Packet,
  type Step,
  sctp,
  sentOf,
  tcp,
  testCases,
  udp,
} from './cases.ts'
import { ACK, bytes, type Extension, type IpFields, PROTOCOL, padding, SYN } from './frames.ts'
import { A, B, needsRoot, nodeForTests, type Party, type Rule } from './node.ts'

const node = nodeForTests()

/** Only the right ports pass: so a packet that passes was read right. */
const webOnly: { b: Rule[] } = {
  b: [
    { direction: 'ingress', protocol: PROTOCOL.tcp, port: 80, rule: 1 },
    { direction: 'ingress', protocol: PROTOCOL.udp, port: 80, rule: 2 },
  ],
}
const web = between(A, B, 40000, 80)
const other = between(A, B, 80, 81)

/** The same fields with the right port and with a wrong one. */
const readRight = (fields: Partial<IpFields>): Step[] => [
  { send: tcp(web, SYN, { ip: fields }), want: 'to pod', rules: [2, 1] },
  { send: tcp(other, SYN, { ip: fields }), want: 'drop POLICY_DENIED' },
  { send: udp(web, { ip: fields }), want: 'to pod', rules: [2, 2] },
  { send: udp(other, { ip: fields }), want: 'drop POLICY_DENIED' },
]
const invalid = (fields: Partial<IpFields>): Step[] => [{ send: udp(web, { ip: fields }), want: 'drop INVALID_PACKET' }]

const NOP = 1
const routerAlert = bytes(148, 4, 0, 0)
const recordRoute = bytes(7, 7, 4, 0, 0, 0, 0, NOP)
const looseRoute = bytes(131, 7, 4, 198, 51, 100, 7, 0)
const strictRoute = bytes(137, 7, 4, 198, 51, 100, 7, 0)
/** Hides a source route's number inside another option. */
const timestamp = bytes(68, 8, 5, 0, 131, 137, 131, 137)

/** Fragment header of a whole packet. */
const atomic: Extension = { kind: 44, body: bytes(0, 0, 0, 0, 0, 0, 9) }

const options: Case[] = [
  { name: 'IPv4: router alert', families: [4], policy: webOnly, steps: readRight({ options: routerAlert }) },
  { name: 'IPv4: record route', families: [4], policy: webOnly, steps: readRight({ options: recordRoute }) },
  { name: 'IPv4: a timestamp', families: [4], policy: webOnly, steps: readRight({ options: timestamp }) },
  {
    name: 'IPv4: 40 bytes of nothing',
    families: [4],
    policy: webOnly,
    steps: readRight({ options: new Uint8Array(40).fill(NOP) }),
  },
  {
    name: 'IPv4: behind the end of options nothing counts',
    families: [4],
    policy: webOnly,
    steps: readRight({ options: bytes(0, looseRoute.subarray(0, 7)) }),
  },
  { name: 'IPv4: loose source route', families: [4], steps: invalid({ options: looseRoute }) },
  { name: 'IPv4: strict source route', families: [4], steps: invalid({ options: strictRoute }) },
  {
    name: 'IPv4: source route behind other options',
    families: [4],
    steps: [
      ...invalid({ options: bytes(NOP, strictRoute.subarray(0, 7)) }),
      ...invalid({ options: bytes(timestamp, recordRoute, looseRoute) }),
      ...invalid({ options: bytes(new Uint8Array(32).fill(NOP), looseRoute) }),
      ...invalid({ options: bytes(new Uint8Array(39).fill(NOP), 131) }),
    ],
  },
  {
    name: 'IPv4: source route behind an option of impossible length',
    families: [4],
    steps: [
      ...invalid({ options: bytes(7, 0, looseRoute.subarray(0, 6)) }),
      ...invalid({ options: bytes(7, 1, looseRoute.subarray(0, 6)) }),
    ],
  },
  {
    name: 'IPv4: wrong versions and header lengths',
    families: [4],
    steps: [
      ...[0, 3, 5, 6, 15].flatMap(version => invalid({ version })),
      ...[0, 1, 2, 3, 4].flatMap(headerWords => invalid({ headerWords })),
      // A header longer than the packet; a header longer than the frame.
      ...invalid({ headerWords: 8, length: 31 }),
      ...invalid({ headerWords: 15 }),
    ],
  },
  {
    name: 'IPv4: wrong total lengths',
    families: [4],
    steps: [0, 1, 19, 27, 32, 33, 1000, 0xffff].flatMap(length => invalid({ length })),
  },
  {
    name: 'the header is there, but behind the end of the packet',
    steps: family => {
      const head = family === 4 ? 20 : 0
      return [
        { send: udp(web, { ip: { length: head + 7 } }), want: 'drop INVALID_PACKET' },
        { send: udp(web, { ip: { length: head + 8 } }), want: 'to pod' },
        { send: tcp(web, ACK, { ip: { length: head + 19 } }), want: 'drop INVALID_PACKET' },
        { send: tcp(web, ACK, { ip: { length: head + 20 } }), want: 'to pod' },
        { send: sctp(web, { ip: { length: head + 11 } }), want: 'drop INVALID_PACKET' },
        { send: sctp(web, { ip: { length: head + 12 } }), want: 'to pod' },
        { send: echo(A, B, 'request', 1, { ip: { length: head + 7 } }), want: 'drop INVALID_PACKET' },
        { send: echo(A, B, 'request', 1, { ip: { length: head + 8 } }), want: 'to pod' },
      ]
    },
  },
  {
    name: 'IP headers behind the end of the packet, where no transport header would miss them',
    steps: family =>
      (family === 4
        ? [{ options: routerAlert, length: 23 }]
        : [
            { extensions: [padding(60)], length: 7 },
            { extensions: [atomic], length: 7 },
          ]
      ).map(fields => ({ send: { ...udp(web, { ip: fields }), protocol: 253 }, want: 'drop INVALID_PACKET' as const })),
  },
  {
    name: 'ICMP of the other family',
    steps: family => [
      { send: { ...icmp(A, B, { 4: 8, 6: 128 }), protocol: family === 4 ? 58 : 1 }, want: 'drop UNKNOWN_L4' },
    ],
  },
  {
    name: 'a protocol that nobody knows is judged by its number',
    policy: { b: [{ direction: 'ingress', protocol: 253, rule: 3 }] },
    steps: [
      { send: { ...udp(web), protocol: 253 }, want: 'to pod', rules: [2, 3] },
      { send: { ...udp(web), protocol: 254 }, want: 'drop POLICY_DENIED' },
      { send: { ...udp(web), protocol: 253, payload: () => new Uint8Array(0) }, want: 'to pod' },
    ],
  },
]

const routing = (type: number, segmentsLeft: number): Extension => ({
  kind: 43,
  body: bytes(2, type, segmentsLeft, 0, 0, 0, 0, ip('2001:db8::99').bytes),
})
/** Its length counts in units of 4 bytes, less 2 (RFC 4302). */
const authentication: Extension = { kind: 51, body: bytes(4, new Uint8Array(22)) }
const hopByHop = padding(0)
const destination = padding(60, 3)
const times = (count: number, header: Extension): Extension[] => Array.from({ length: count }, () => header)

const extensions: Case[] = [
  ...(
    [
      ['hop-by-hop options', [hopByHop]],
      ['destination options', [destination]],
      ['a routing header that has arrived', [routing(0, 0)]],
      ['an authentication header', [authentication]],
      ['an atomic fragment', [atomic]],
      ['all kinds', [hopByHop, destination, routing(2, 0), atomic, authentication, padding(60)]],
      ['eight', times(8, padding(60))],
      ['the longest', [padding(60, 256)]],
      ['the longest and others', [hopByHop, padding(60, 256), routing(0, 0)]],
    ] as const
  ).map(
    ([name, headers]): Case => ({
      name: `IPv6: ${name}`,
      families: [6],
      policy: webOnly,
      steps: readRight({ extensions: headers }),
    }),
  ),
  {
    name: 'IPv6: more extension headers than are followed',
    families: [6],
    steps: [9, 10, 20].map(count => ({
      send: udp(web, { ip: { extensions: times(count, padding(60)) } }),
      want: 'drop UNKNOWN_L4',
    })),
  },
  {
    name: 'IPv6: a routing header that leads on',
    families: [6],
    steps: [0, 2, 3, 4].flatMap(type => [
      ...invalid({ extensions: [routing(type, 1)] }),
      ...invalid({ extensions: [hopByHop, routing(type, 255)] }),
    ]),
  },
  {
    name: 'IPv6: nothing follows',
    families: [6],
    steps: [
      { send: { ...udp(web), protocol: 59 }, want: 'drop UNKNOWN_L4' },
      { send: { ...udp(web, { ip: { extensions: [destination] } }), protocol: 59 }, want: 'drop UNKNOWN_L4' },
    ],
  },
  {
    name: 'IPv6: a second fragment header',
    families: [6],
    steps: [
      ...invalid({ extensions: [atomic, atomic] }),
      ...invalid({ extensions: [atomic], fragment: { id: 1, offset: 0, more: true } }),
      ...invalid({ extensions: [atomic, destination], fragment: { id: 1, offset: 8, more: true } }),
      ...invalid({ fragment: { id: 1, offset: 0, more: true }, inner: [atomic] }),
    ],
  },
  {
    name: 'IPv6: an extension header that reaches behind the end',
    families: [6],
    steps: [
      ...[hopByHop, destination, authentication, routing(0, 0)].flatMap(({ kind, body }) =>
        invalid({ extensions: [{ kind, body: bytes(100, body.subarray(1)) }] }),
      ),
      // It would fit into the frame, but not into the packet.
      ...invalid({ extensions: [padding(60)], length: 7 }),
      ...invalid({ extensions: [atomic], length: 7 }),
    ],
  },
  {
    name: 'IPv6: wrong versions and payload lengths',
    families: [6],
    steps: [
      ...[0, 4, 5, 7, 15].flatMap(version => invalid({ version })),
      ...[0, 7, 12, 1000, 0xffff].flatMap(length => invalid({ length })),
    ],
  },
  {
    name: 'IPv6: a jumbogram says its length elsewhere',
    families: [6],
    policy: webOnly,
    steps: readRight({ length: 0, extensions: [hopByHop] }),
  },
  {
    name: 'IPv6: IPv4-mapped addresses',
    families: [6],
    steps: [
      {
        send: udp(between(mapped(A, '10.244.0.10'), B, 1, 2)),
        want: 'drop IPV4_MAPPED_ADDRESS',
      },
      { send: udp(between(A, mapped(B, '10.244.0.11'), 1, 2)), want: 'drop IPV4_MAPPED_ADDRESS' },
      { send: udp(between(A, mapped(B, '172.30.0.2'), 1, 2)), want: 'drop IPV4_MAPPED_ADDRESS' },
      // ::10.244.0.11 is another thing, and long out of use.
      { send: udp(between(A, { ...B, 6: ip('::af4:b').bytes }, 1, 2)), want: 'to stack' },
    ],
  },
]

function mapped(party: Party, address: string): Party {
  return { ...party, 6: ip(address).bytes }
}

testCases(node, [...options, ...extensions])

const whole: { name: string; packet: Packet; header: number }[] = [
  { name: 'TCP', packet: tcp(web, SYN), header: 20 },
  { name: 'UDP', packet: udp(web), header: 8 },
  { name: 'SCTP', packet: sctp(web), header: 12 },
  { name: 'ICMP', packet: echo(A, B, 'request', 5), header: 8 },
]
for (const { name, packet, header } of whole)
  for (const family of [4, 6] as Family[])
    test(`${name}, IPv${family}: cut short at every length, with and without a matching length field`, {
      skip: needsRoot,
    }, () => {
      node().reset()
      const start = family === 4 ? 34 : 54
      const sent = sentOf(packet, family)
      const reasonOf = (frame: Uint8Array) => {
        const { event } = node().send({ ...sent, frame })
        return node().world.schema.dropReason.text(event?.drop_reason ?? 0)
      }
      // A test run takes no frame without a whole IP header; test/datapath/wire.test.ts sends those.
      for (let length = start; length < sent.frame.length; length++) {
        assert.equal(reasonOf(sent.frame.subarray(0, length)), 'INVALID_PACKET', `${length} bytes`)
        const shorter = frameOf({ ...packet, ip: { length: length - (family === 4 ? 14 : 54) } }, family)
        const want = length - start < header ? 'INVALID_PACKET' : 'NONE'
        assert.equal(reasonOf(shorter.subarray(0, length)), want, `${length} bytes, and it says so`)
      }
    })
