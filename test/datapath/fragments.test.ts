// Fragments: the first one is judged by its ports and speaks for those behind it;
// whatever cannot be told from its first one is dropped.

import {
  back,
  between,
  type Case,
  echo,
  icmpError,
  type Packet,
  type Step,
  sctp,
  tcp,
  testCases,
  udp,
} from './cases.ts'
import { ACK, bytes, type Extension, PROTOCOL, padding, SYN } from './frames.ts'
import { A, B, C, nodeForTests, OUTSIDE, type Rule } from './node.ts'

const node = nodeForTests()

const dns = between(A, B, 40000, 53)
const forbidden = between(A, B, 40000, 54)
const policy: { b: Rule[] } = {
  b: [
    { direction: 'ingress', protocol: PROTOCOL.udp, port: 53, rule: 1 },
    { direction: 'ingress', protocol: PROTOCOL.tcp, port: 53, rule: 2 },
    { direction: 'ingress', protocol: PROTOCOL.icmp, port: 8, rule: 3 },
    { direction: 'ingress', protocol: PROTOCOL.icmpv6, port: 128, rule: 3 },
    { direction: 'ingress', protocol: PROTOCOL.sctp, port: 53, rule: 4 },
  ],
}

type Place = { readonly id?: number; readonly offset?: number; readonly more?: boolean }
const first = (packet: Packet, { id = 1 }: Place = {}): Packet => ({
  ...packet,
  ip: { ...packet.ip, fragment: { id, offset: 0, more: true } },
})
/** 16 bytes of anything, of the same protocol. */
const later = (packet: Packet, { id = 1, offset = 1000, more = false }: Place = {}): Packet => ({
  ...packet,
  payload: () => new Uint8Array(16).fill(0xee),
  ip: { ...packet.ip, fragment: { id, offset, more } },
})

const cases: Case[] = [
  {
    name: 'a packet in three',
    policy,
    steps: [
      { send: first(udp(dns)), want: 'to pod', report: 'NEW', rules: [2, 1] },
      { send: later(udp(dns), { offset: 8, more: true }), want: 'to pod', report: 'none' },
      { send: later(udp(dns), { offset: 24 }), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'those behind come first: dropped until the first one is seen',
    policy,
    steps: [
      { send: later(udp(dns)), want: 'drop FRAGMENT_NOT_FOUND' },
      { send: first(udp(dns)), want: 'to pod' },
      { send: later(udp(dns)), want: 'to pod' },
    ],
  },
  {
    name: 'a first one that policy drops speaks for those behind it',
    policy,
    steps: [
      { send: first(udp(forbidden)), want: 'drop POLICY_DENIED' },
      { send: later(udp(forbidden)), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'the last first one counts',
    policy,
    steps: [
      { send: first(udp(dns)), want: 'to pod' },
      { send: first(udp(forbidden)), want: 'drop POLICY_DENIED' },
      { send: later(udp(dns)), want: 'drop POLICY_DENIED' },
      { send: first(udp(dns)), want: 'to pod' },
      { send: later(udp(dns)), want: 'to pod' },
    ],
  },
  {
    name: 'another packet’s, another receiver’s, another sender’s',
    policy,
    steps: [
      { send: first(udp(dns)), want: 'to pod' },
      { send: later(udp(dns), { id: 2 }), want: 'drop FRAGMENT_NOT_FOUND' },
      { send: later(udp(between(A, C, 40000, 53))), want: 'drop FRAGMENT_NOT_FOUND' },
      { send: later(udp(between(C, B, 40000, 53))), want: 'drop FRAGMENT_NOT_FOUND' },
      { send: later(udp(back(dns))), want: 'drop FRAGMENT_NOT_FOUND' },
    ],
  },
  {
    name: 'IPv4: another protocol is another packet',
    families: [4],
    policy,
    steps: [
      { send: first(udp(dns)), want: 'to pod' },
      { send: later(tcp(dns, ACK)), want: 'drop FRAGMENT_NOT_FOUND' },
    ],
  },
  {
    name: 'IPv6: the protocol of those behind does not count',
    families: [6],
    policy,
    steps: [
      { send: first(udp(dns)), want: 'to pod' },
      { send: later(tcp(dns, ACK)), want: 'to pod', report: 'none' },
      { send: later({ ...udp(dns), protocol: 59 }), want: 'to pod', report: 'none' },
      // Nor does it let a TCP header be written anew in the guise of UDP.
      { send: first(tcp(dns, SYN), { id: 2 }), want: 'to pod', report: 'NEW' },
      { send: later(udp(dns), { id: 2, offset: 8 }), want: 'drop INVALID_PACKET' },
      { send: later(udp(dns), { id: 2, offset: 24 }), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'a fragment that reaches into the header that was judged (RFC 3128)',
    policy,
    steps: [
      { send: first(tcp(dns, SYN)), want: 'to pod' },
      { send: later(tcp(dns, ACK), { offset: 8 }), want: 'drop INVALID_PACKET' },
      { send: later(tcp(dns, ACK), { offset: 16 }), want: 'drop INVALID_PACKET' },
      { send: later(tcp(dns, ACK), { offset: 24 }), want: 'to pod' },
      { send: first(sctp(dns), { id: 2 }), want: 'to pod' },
      { send: later(sctp(dns), { id: 2, offset: 8 }), want: 'drop INVALID_PACKET' },
      { send: later(sctp(dns), { id: 2, offset: 16 }), want: 'to pod' },
    ],
  },
  {
    name: 'a first one too small for its header (RFC 1858)',
    policy,
    steps: [
      ...[0, 8, 16, 19].map(
        (length): Step => ({
          send: first({
            ...tcp(dns, SYN),
            payload: (...given) =>
              tcp(dns, SYN)
                .payload(...given)
                .subarray(0, length),
          }),
          want: 'drop INVALID_PACKET',
        }),
      ),
      { send: later(tcp(dns, SYN)), want: 'drop FRAGMENT_NOT_FOUND' },
    ],
  },
  {
    name: 'a first one whose header is there, but behind its end',
    policy,
    steps: family => [
      {
        send: first({ ...tcp(dns, SYN), ip: { length: family === 4 ? 28 : 16 } }),
        want: 'drop INVALID_PACKET',
      },
      { send: later(tcp(dns, SYN), { offset: 8 }), want: 'drop FRAGMENT_NOT_FOUND' },
    ],
  },
  {
    name: 'IPv6: one whose header does not fit into the packet',
    families: [6],
    policy,
    steps: [
      { send: first(udp(dns)), want: 'to pod' },
      {
        send: { ...later(udp(dns)), ip: { fragment: { id: 1, offset: 1000, more: false }, length: 7 } },
        want: 'drop INVALID_PACKET',
      },
    ],
  },
  {
    name: 'a SYN in fragments is an attempt to open as any other',
    policy,
    steps: [
      { send: first(tcp(dns, SYN)), want: 'to pod', report: 'NEW' },
      { send: first(tcp(back(dns), ACK), { id: 8 }), want: 'to pod', report: 'none' },
      { send: first(tcp(back(dns), SYN), { id: 9 }), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'replies in fragments',
    policy: { ...policy, a: [{ direction: 'egress', rule: 5 }] },
    steps: [
      { send: later(udp(back(dns)), { id: 7 }), want: 'drop FRAGMENT_NOT_FOUND' },
      { send: udp(dns), want: 'to pod', report: 'NEW' },
      { send: first(udp(back(dns)), { id: 7 }), want: 'to pod', report: 'none' },
      { send: later(udp(back(dns)), { id: 7 }), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'an echo in fragments, and its answer',
    policy: { ...policy, a: [{ direction: 'egress', rule: 5 }] },
    steps: [
      { send: first(echo(A, B, 'request', 3)), want: 'to pod', report: 'NEW', rules: [5, 3] },
      { send: later(echo(A, B, 'request', 3)), want: 'to pod', report: 'none' },
      { send: first(echo(B, A, 'reply', 3)), want: 'to pod', report: 'none' },
      { send: later(echo(B, A, 'reply', 3)), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'an ICMP error in fragments: the rest of it names no connection',
    policy: { a: [{ direction: 'egress', protocol: PROTOCOL.udp, rule: 5 }] },
    steps: [
      { send: udp(between(A, OUTSIDE, 1, 2)), want: 'to stack' },
      { send: first(icmpError(OUTSIDE, A, udp(between(A, OUTSIDE, 1, 2)))), want: 'to pod', report: 'RELATED' },
      { send: later(icmpError(OUTSIDE, A, udp(between(A, OUTSIDE, 1, 2)))), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'from outside',
    policy,
    steps: [
      { send: first(udp(between(OUTSIDE, B, 40000, 53))), want: 'to pod' },
      { send: later(udp(between(OUTSIDE, B, 40000, 53))), want: 'to pod' },
      { send: first(udp(between(OUTSIDE, B, 40000, 54))), want: 'drop POLICY_DENIED' },
      { send: later(udp(between(OUTSIDE, B, 40000, 54))), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'a protocol without ports',
    policy: { b: [{ direction: 'ingress', protocol: PROTOCOL.gre, rule: 6 }] },
    steps: [
      { send: first({ ...udp(dns), protocol: PROTOCOL.gre }), want: 'to pod', rules: [2, 6] },
      { send: later({ ...udp(dns), protocol: PROTOCOL.gre }, { offset: 8 }), want: 'to pod' },
    ],
  },
  {
    name: 'with a changed policy, the fragments under way are judged by it',
    policy,
    steps: [
      { send: first(udp(dns)), want: 'to pod' },
      {
        first: node => {
          node.setPolicy(B, [])
          node.raiseRevision()
        },
        send: later(udp(dns)),
        want: 'drop POLICY_DENIED',
      },
    ],
  },
  {
    name: 'IPv6: a whole packet with a fragment header (RFC 6946)',
    families: [6],
    policy,
    steps: [
      { send: { ...udp(dns), ip: { fragment: { id: 1, offset: 0, more: false } } }, want: 'to pod', rules: [2, 1] },
      { send: later(udp(dns)), want: 'drop FRAGMENT_NOT_FOUND' },
      { send: { ...udp(forbidden), ip: { fragment: { id: 1, offset: 0, more: false } } }, want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'IPv6: headers before and behind the fragment header',
    families: [6],
    policy,
    steps: [
      { send: withHeaders(first(udp(dns)), [padding(0)], [padding(60)]), want: 'to pod', rules: [2, 1] },
      // In the fragmented part stand 8 bytes of options and 8 of UDP.
      { send: laterBehindOptions(8), want: 'drop INVALID_PACKET' },
      { send: laterBehindOptions(16), want: 'to pod' },
      { send: withHeaders(first(udp(forbidden), { id: 2 }), [padding(0)], [padding(60)]), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'IPv6: a first one that does not bring all headers',
    families: [6],
    policy,
    steps: [
      {
        send: { ...withHeaders(first(udp(dns)), [], [padding(60)]), payload: () => new Uint8Array(0) },
        want: 'drop INVALID_PACKET',
      },
      {
        send: {
          ...udp(dns),
          payload: () => new Uint8Array(8),
          ip: {
            fragment: { id: 1, offset: 0, more: true, next: 60 },
            inner: [{ kind: 60, body: bytes(9, new Uint8Array(6)) }],
          },
        },
        want: 'drop INVALID_PACKET',
      },
    ],
  },
]

function withHeaders(packet: Packet, extensions: readonly Extension[], inner: readonly Extension[]): Packet {
  return { ...packet, ip: { ...packet.ip, extensions, inner } }
}

/** All fragments of a packet name the first header of the fragmented part. */
function laterBehindOptions(offset: number): Packet {
  return {
    ...udp(dns),
    payload: () => new Uint8Array(16),
    ip: { extensions: [padding(0)], fragment: { id: 1, offset, more: false, next: 60 } },
  }
}

testCases(node, cases)
