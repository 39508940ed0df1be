// ICMP errors: those about a connection pass with it; forged ones, and those about
// nothing that is known, are judged by themselves, which here means: dropped.

import { back, between, type Case, echo, frameOf, icmpError, sctp, tcp, testCases, udp } from './cases.ts'
import { ACK, bytes, icmp, PROTOCOL, SYN } from './frames.ts'
import { A, B, C, HOST, nodeForTests, OUTSIDE, ROUTER, type Rule } from './node.ts'

const node = nodeForTests()

const ask = between(A, OUTSIDE, 40000, 53)
const local = between(A, B, 40000, 53)
/** No ICMP by itself in or out. */
const policy: { [Name in 'a' | 'b' | 'c']: Rule[] } = {
  a: [
    { direction: 'egress', protocol: PROTOCOL.udp, rule: 1 },
    { direction: 'egress', protocol: PROTOCOL.tcp, rule: 2 },
    { direction: 'egress', protocol: PROTOCOL.sctp, rule: 3 },
    { direction: 'egress', protocol: PROTOCOL.icmp, port: 8, rule: 4 },
    { direction: 'egress', protocol: PROTOCOL.icmpv6, port: 128, rule: 4 },
  ],
  b: [{ direction: 'ingress', protocol: PROTOCOL.udp, rule: 5 }],
  c: [],
}

const cases: Case[] = [
  {
    name: 'from a router on the way, about a packet that the pod sent',
    policy,
    steps: [
      { send: icmpError(ROUTER, A, udp(ask)), want: 'drop POLICY_DENIED' },
      { send: udp(ask), want: 'to stack', report: 'NEW' },
      { send: icmpError(ROUTER, A, udp(ask)), want: 'to pod', report: 'RELATED', rules: [1, 0] },
      // Time exceeded, parameter problem, and IPv6's packet too big.
      { send: icmpError(ROUTER, A, udp(ask), {}, { 4: 11, 6: 3 }), want: 'to pod', report: 'RELATED' },
      { send: icmpError(ROUTER, A, udp(ask), {}, { 4: 12, 6: 4 }), want: 'to pod', report: 'RELATED' },
      { send: icmpError(ROUTER, A, udp(ask), {}, { 4: 3, 6: 2 }), want: 'to pod', report: 'RELATED' },
      // Not an error in either family: source quench was one once; 127 is reserved.
      { send: icmpError(ROUTER, A, udp(ask), {}, { 4: 4, 6: 127 }), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'about TCP, SCTP and echoes',
    policy,
    steps: [
      { send: tcp(between(A, OUTSIDE, 40000, 443), SYN), want: 'to stack' },
      { send: icmpError(ROUTER, A, tcp(between(A, OUTSIDE, 40000, 443), SYN)), want: 'to pod', report: 'RELATED' },
      { send: sctp(between(A, OUTSIDE, 40000, 9000)), want: 'to stack' },
      { send: icmpError(ROUTER, A, sctp(between(A, OUTSIDE, 40000, 9000))), want: 'to pod', report: 'RELATED' },
      { send: echo(A, OUTSIDE, 'request', 77), want: 'to stack' },
      { send: icmpError(ROUTER, A, echo(A, OUTSIDE, 'request', 77)), want: 'to pod', report: 'RELATED' },
      { send: icmpError(ROUTER, A, echo(A, OUTSIDE, 'request', 78)), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'from the receiving pod to the sending one',
    policy,
    steps: [
      { send: udp(local), want: 'to pod', report: 'NEW', rules: [1, 5] },
      { send: icmpError(B, A, udp(local)), want: 'to pod', report: 'RELATED' },
    ],
  },
  {
    name: 'about a reply, to the one who replied',
    policy,
    steps: [
      { send: udp(local), want: 'to pod' },
      { send: udp(back(local)), want: 'to pod' },
      { send: icmpError(A, B, udp(back(local))), want: 'to pod', report: 'RELATED' },
    ],
  },
  {
    name: 'forged: quotes a packet that somebody else sent',
    policy,
    steps: [
      { send: udp(ask), want: 'to stack' },
      { send: udp(local), want: 'to pod' },
      { send: icmpError(ROUTER, B, udp(ask)), want: 'drop POLICY_DENIED' },
      { send: icmpError(ROUTER, A, udp(back(ask))), want: 'drop POLICY_DENIED' },
      { send: icmpError(ROUTER, A, udp(back(local))), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'forged: a pod is no router, it reports only about what was sent to it',
    policy,
    steps: [
      { send: udp(ask), want: 'to stack' },
      { send: udp(local), want: 'to pod' },
      { send: udp(back(local)), want: 'to pod' },
      { send: icmpError(C, A, udp(local)), want: 'drop POLICY_DENIED' },
      { send: icmpError(C, A, udp(ask)), want: 'drop POLICY_DENIED' },
      { send: icmpError(C, OUTSIDE, udp(back(ask))), want: 'drop POLICY_DENIED' },
      { send: icmpError(C, B, udp(back(local))), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'forged: other ports, another protocol',
    policy,
    steps: [
      { send: udp(ask), want: 'to stack' },
      { send: icmpError(ROUTER, A, udp(between(A, OUTSIDE, 40001, 53))), want: 'drop POLICY_DENIED' },
      { send: icmpError(ROUTER, A, tcp(ask, ACK)), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'about an error, or any other ICMP message: about nothing',
    policy,
    steps: [
      { send: udp(ask), want: 'to stack' },
      { send: icmpError(ROUTER, A, icmpError(A, OUTSIDE, udp(back(ask)))), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'the quoted packet was a first fragment; a later one names no connection',
    policy,
    steps: [
      { send: udp(ask), want: 'to stack' },
      {
        send: icmpError(ROUTER, A, udp(ask, { ip: { fragment: { id: 5, offset: 0, more: true } } })),
        want: 'to pod',
        report: 'RELATED',
      },
      {
        send: icmpError(ROUTER, A, udp(ask, { ip: { fragment: { id: 5, offset: 8, more: true } } })),
        want: 'drop POLICY_DENIED',
      },
    ],
  },
  ...[0, 7, 8, 19, 20, 27, 39, 47].map(
    (length): Case => ({
      name: `quotes only ${length} bytes`,
      families: length < 28 ? [4, 6] : [6],
      policy,
      steps: [
        { send: udp(ask), want: 'to stack' },
        {
          send: {
            ...icmpError(ROUTER, A, udp(ask)),
            payload: (ends, family) =>
              icmp(ends, family === 4 ? 3 : 1, 0, bytes(0, 0, 0, 0, quotedStart(family).subarray(0, length))),
          },
          want: 'drop POLICY_DENIED',
        },
      ],
    }),
  ),
  {
    name: 'quotes just enough',
    policy,
    steps: [
      { send: udp(ask), want: 'to stack' },
      {
        send: {
          ...icmpError(ROUTER, A, udp(ask)),
          payload: (ends, family) =>
            icmp(
              ends,
              family === 4 ? 3 : 1,
              0,
              bytes(0, 0, 0, 0, quotedStart(family).subarray(0, family === 4 ? 28 : 48)),
            ),
        },
        want: 'to pod',
        report: 'RELATED',
      },
    ],
  },
  {
    name: 'after a change of policy the connection is judged again, not the error',
    policy,
    steps: [
      { send: udp(ask), want: 'to stack', report: 'NEW', rules: [1, 0] },
      {
        first: node => {
          node.setPolicy(A, [{ direction: 'egress', protocol: PROTOCOL.udp, port: 53, rule: 60 }])
          node.raiseRevision()
        },
        send: icmpError(ROUTER, A, udp(ask)),
        want: 'to pod',
        report: 'RELATED',
        rules: [60, 0],
      },
      {
        first: node => {
          node.setPolicy(A, [])
          node.raiseRevision()
        },
        send: icmpError(ROUTER, A, udp(ask)),
        want: 'drop POLICY_DENIED',
      },
    ],
  },
  {
    name: "the node's own errors always pass",
    policy,
    steps: [{ send: icmpError(HOST, C, udp(between(C, OUTSIDE, 1, 2))), want: 'to pod' }],
  },
]

/** What `ask` looks like from its IP header on. */
function quotedStart(family: 4 | 6): Uint8Array {
  return frameOf(udp(ask), family).subarray(14)
}

testCases(node, cases)
