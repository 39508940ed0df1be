// The lives of connections: who opened one, what counts as its reply, when it ends,
// and what is not part of it although it looks so.

import { test } from 'node:test'
import {
  back,
  between,
  type Case,
  echo,
  icmp,
  icmpError,
  runStep,
  type Step,
  sctp,
  tcp,
  testCases,
  udp,
} from './cases.ts'
import { ACK, FIN, PROTOCOL, PSH, RST, SYN } from './frames.ts'
import { A, B, HOST, needsRoot, nodeForTests, OUTSIDE, type Pod, type Rule, TestNode, UPLINK } from './node.ts'

const node = nodeForTests()

const web = between(A, B, 40000, 80)
/** What the web server may never do by itself: everything. */
const serverOnly: Rule[] = [
  { direction: 'ingress', protocol: PROTOCOL.tcp, port: 80, rule: 10 },
  { direction: 'ingress', protocol: PROTOCOL.udp, port: 53, rule: 11 },
  { direction: 'ingress', protocol: PROTOCOL.sctp, port: 9000, rule: 12 },
  { direction: 'ingress', protocol: PROTOCOL.icmp, port: 8, portPrefixLength: 16, rule: 13 },
  { direction: 'ingress', protocol: PROTOCOL.icmpv6, port: 128, portPrefixLength: 16, rule: 13 },
]
/** A client that nobody may talk to first. */
const clientOnly: Rule[] = [{ direction: 'egress', rule: 20 }]

/** Of the node, or of somebody outside who comes under its address. */
const fromNode = between(HOST, A, 50000, 8080)
const cameByUplink = { cameBy: UPLINK }

/** The address, the device and the policy are another pod's. */
const succeed = (pod: Pod) => (node: TestNode) => {
  node.addEndpoint(pod, { id: 99 })
  node.raiseRevision()
}

/** Both ends isolated, so that whatever passes passes as part of the connection. */
const isolated = { a: clientOnly, b: serverOnly }

const handshake: Step[] = [
  { send: tcp(web, SYN), want: 'to pod', report: 'NEW', rules: [20, 10] },
  { send: tcp(back(web), SYN | ACK), want: 'to pod', report: 'none' },
  { send: tcp(web, ACK), want: 'to pod', report: 'none' },
]

/** Sets the clock of all connections forward, by moving their ends. */
const letTimePass = ({ datapath, memory }: TestNode): void => {
  for (const { flows } of [datapath.maps, memory.maps])
    for (const [key, flow] of flows.lookupBatch()) flows.set(key, { ...flow, expires_ns: 1n })
}

const cases: Case[] = [
  {
    name: 'TCP: a whole conversation, closed from both sides',
    policy: isolated,
    steps: [
      ...handshake,
      { send: tcp(web, PSH | ACK), want: 'to pod', report: 'none' },
      { send: tcp(back(web), PSH | ACK), want: 'to pod', report: 'none' },
      { send: tcp(web, FIN | ACK), want: 'to pod', report: 'none' },
      { send: tcp(back(web), ACK), want: 'to pod', report: 'none' },
      { send: tcp(back(web), FIN | ACK), want: 'to pod', report: 'CLOSED' },
      { send: tcp(web, ACK), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'TCP: a reset closes it, once',
    policy: isolated,
    steps: [
      ...handshake,
      { send: tcp(back(web), RST | ACK), want: 'to pod', report: 'CLOSED' },
      { send: tcp(web, RST), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'TCP: the server may not open a connection to the port it was called from',
    policy: isolated,
    steps: [
      ...handshake,
      { send: tcp(back(web), SYN), want: 'drop POLICY_DENIED', rules: [0, 0] },
      { send: tcp(back(web), PSH | ACK), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'TCP: a SYN from the server with flags of no meaning is still an attempt to open',
    policy: isolated,
    steps: [
      ...handshake,
      { send: tcp(back(web), SYN | PSH), want: 'drop POLICY_DENIED' },
      { send: tcp(back(web), SYN | 0xc0), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'TCP: where policy allows it, a SYN from the other side opens a connection of its own',
    steps: [
      { send: tcp(web, SYN), want: 'to pod', report: 'NEW' },
      { send: tcp(back(web), SYN), want: 'to pod', report: 'NEW' },
      { send: tcp(web, SYN | ACK), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'TCP: a repeated SYN is the same attempt',
    policy: isolated,
    steps: [
      { send: tcp(web, SYN), want: 'to pod', report: 'NEW' },
      { send: tcp(web, SYN), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'TCP: ports are used again after the end',
    policy: isolated,
    steps: [
      ...handshake,
      { send: tcp(web, FIN | ACK), want: 'to pod' },
      { send: tcp(back(web), FIN | ACK), want: 'to pod', report: 'CLOSED' },
      ...handshake,
    ],
  },
  {
    name: 'TCP: after the end the other side may use the ports only if policy says so',
    policy: isolated,
    steps: [
      ...handshake,
      { send: tcp(web, RST), want: 'to pod', report: 'CLOSED' },
      { send: tcp(back(web), SYN), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'TCP: picked up in mid-stream, it is judged as opened by whoever is heard first',
    policy: isolated,
    steps: [
      { send: tcp(back(web), PSH | ACK), want: 'drop POLICY_DENIED', rules: [0, 0] },
      { send: tcp(web, PSH | ACK), want: 'to pod', report: 'NEW', rules: [20, 10] },
      { send: tcp(back(web), PSH | ACK), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'TCP: an expired connection is none',
    policy: isolated,
    steps: [
      ...handshake,
      { first: letTimePass, send: tcp(back(web), PSH | ACK), want: 'drop POLICY_DENIED' },
      { send: tcp(web, PSH | ACK), want: 'to pod', report: 'NEW' },
    ],
  },
  {
    name: 'UDP: question and answer',
    policy: isolated,
    steps: [
      { send: udp(between(A, B, 40000, 53)), want: 'to pod', report: 'NEW', rules: [20, 11] },
      { send: udp(between(B, A, 53, 40000)), want: 'to pod', report: 'none' },
      { send: udp(between(A, B, 40000, 53)), want: 'to pod', report: 'none' },
      { send: udp(between(B, A, 53, 40001)), want: 'drop POLICY_DENIED' },
      { send: udp(between(B, A, 54, 40000)), want: 'drop POLICY_DENIED' },
      { first: letTimePass, send: udp(between(B, A, 53, 40000)), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'the same ports of another protocol are another connection',
    policy: isolated,
    steps: [
      { send: udp(between(A, B, 40000, 53)), want: 'to pod', report: 'NEW' },
      { send: tcp(between(B, A, 53, 40000), ACK), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'SCTP: both directions',
    policy: isolated,
    steps: [
      { send: sctp(between(B, A, 9000, 40000)), want: 'drop POLICY_DENIED' },
      { send: sctp(between(A, B, 40000, 9000)), want: 'to pod', report: 'NEW', rules: [20, 12] },
      { send: sctp(between(B, A, 9000, 40000)), want: 'to pod', report: 'none' },
      { send: sctp(between(A, B, 40000, 9001)), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'a protocol without ports is one connection for each pair of hosts',
    policy: { b: [{ direction: 'ingress', protocol: PROTOCOL.gre, rule: 30 }] },
    steps: [
      {
        send: { from: B, to: A, protocol: PROTOCOL.gre, payload: () => new Uint8Array(0) },
        want: 'drop POLICY_DENIED',
      },
      {
        send: { from: A, to: B, protocol: PROTOCOL.gre, payload: () => new Uint8Array(4) },
        want: 'to pod',
        rules: [2, 30],
      },
      {
        send: { from: B, to: A, protocol: PROTOCOL.gre, payload: () => new Uint8Array(4) },
        want: 'to pod',
        report: 'none',
      },
    ],
  },
  ...[0, 1, 8, 128, 0x0800, 0x8000].map(
    (id): Case => ({
      name: `ICMP echo ${id}: the answer passes, a question from the other side does not`,
      policy: isolated,
      steps: [
        { send: echo(B, A, 'reply', id), want: 'drop POLICY_DENIED' },
        { send: echo(A, B, 'request', id), want: 'to pod', report: 'NEW', rules: [20, 13] },
        { send: echo(B, A, 'reply', id), want: 'to pod', report: 'none' },
        { send: echo(A, B, 'request', id), want: 'to pod', report: 'none' },
        { send: echo(B, A, 'request', id), want: 'drop POLICY_DENIED' },
        { send: echo(B, A, 'reply', id + 1), want: 'drop POLICY_DENIED' },
        { send: echo(B, A, 'reply', id), want: 'to pod', report: 'none' },
      ],
    }),
  ),
  {
    name: 'ICMP echo: an answer that nobody asked for is judged by itself, and opens nothing',
    policy: { a: clientOnly, b: serverOnly },
    steps: [
      { send: echo(A, B, 'reply', 0), want: 'drop POLICY_DENIED' },
      { send: echo(A, B, 'request', 0), want: 'to pod', report: 'NEW' },
      { send: echo(A, B, 'reply', 0), want: 'drop POLICY_DENIED' },
    ],
  },
  ...[0, 7].map(
    (id): Case => ({
      name: `ICMP: no other message passes in the shadow of echo ${id}`,
      policy: isolated,
      steps: [
        { send: echo(A, B, 'request', id), want: 'to pod', report: 'NEW' },
        // Redirect, timestamp; packet too big unquoted, node information.
        { send: icmp(B, A, { 4: 5, 6: 137 }), want: 'drop POLICY_DENIED' },
        { send: icmp(B, A, { 4: 13, 6: 139 }), want: 'drop POLICY_DENIED' },
        { send: icmp(B, A, { 4: 3, 6: 1 }), want: 'drop POLICY_DENIED' },
        { send: icmp(A, B, { 4: 13, 6: 139 }), want: 'drop POLICY_DENIED' },
      ],
    }),
  ),
  {
    name: 'ICMP: other messages are judged one by one, by their type',
    policy: {
      b: [
        { direction: 'ingress', protocol: PROTOCOL.icmp, port: 13, rule: 40 },
        { direction: 'ingress', protocol: PROTOCOL.icmpv6, port: 139, rule: 41 },
        { direction: 'egress', rule: 42 },
      ],
    },
    steps: family => [
      { send: icmp(A, B, { 4: 13, 6: 139 }), want: 'to pod', report: 'NEW', rules: [2, family === 4 ? 40 : 41] },
      { send: icmp(A, B, { 4: 13, 6: 139 }), want: 'to pod', report: 'NEW' },
      { send: icmp(A, B, { 4: 17, 6: 140 }), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'from the outside and back',
    policy: { a: serverOnly },
    steps: [
      { send: tcp(between(OUTSIDE, A, 50000, 80), SYN), want: 'to pod', report: 'NEW', rules: [0, 10] },
      { send: tcp(between(A, OUTSIDE, 80, 50000), SYN | ACK), want: 'to stack', report: 'none' },
      { send: tcp(between(OUTSIDE, A, 50000, 80), ACK), want: 'to pod', report: 'none' },
      { send: tcp(between(A, OUTSIDE, 80, 50000), SYN), want: 'drop POLICY_DENIED' },
      { send: tcp(between(A, OUTSIDE, 80, 50001), ACK), want: 'drop POLICY_DENIED' },
      { send: tcp(between(OUTSIDE, A, 50000, 81), SYN), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'to the outside and back',
    policy: { a: [{ direction: 'egress', protocol: PROTOCOL.tcp, port: 443, rule: 50 }] },
    steps: [
      { send: tcp(between(A, OUTSIDE, 50000, 443), SYN), want: 'to stack', report: 'NEW', rules: [50, 0] },
      { send: tcp(between(OUTSIDE, A, 443, 50000), SYN | ACK), want: 'to pod', report: 'none' },
      { send: tcp(between(OUTSIDE, A, 443, 50000), SYN), want: 'drop POLICY_DENIED' },
      { send: tcp(between(OUTSIDE, A, 443, 50001), SYN | ACK), want: 'drop POLICY_DENIED' },
      { send: tcp(between(A, OUTSIDE, 50000, 80), SYN), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'a pod that talks to itself',
    steps: [
      { send: tcp(between(A, A, 40000, 80), SYN), want: 'to pod', report: 'NEW' },
      { send: tcp(between(A, A, 80, 40000), SYN | ACK), want: 'to pod', report: 'none' },
      { send: tcp(between(A, A, 80, 80), SYN), want: 'to pod', report: 'NEW' },
    ],
  },
  {
    name: 'the last hop goes to the stack, which answers it',
    steps: [
      { send: udp(between(A, B, 1, 2), { ip: { timeToLive: 2 } }), want: 'to pod' },
      { send: udp(between(A, B, 1, 2), { ip: { timeToLive: 1 } }), want: 'to stack' },
      { send: udp(between(A, B, 1, 2), { ip: { timeToLive: 0 } }), want: 'to stack' },
      { send: udp(between(A, B, 1, 2), { ip: { timeToLive: 255 } }), want: 'to pod' },
    ],
  },
  {
    name: 'the node opens: always allowed in, and so are the answers',
    policy: { a: [] },
    steps: [
      { send: tcp(between(HOST, A, 50000, 8080), SYN), want: 'to pod', report: 'NEW', rules: [0, 0] },
      { send: tcp(between(A, HOST, 8080, 50000), SYN | ACK), want: 'to stack', report: 'none' },
      { send: tcp(between(HOST, A, 50000, 8080), ACK), want: 'to pod', report: 'none' },
      {
        first: node => node.raiseRevision(),
        send: tcp(between(A, HOST, 8080, 50000), ACK),
        want: 'to stack',
        report: 'none',
      },
      { send: tcp(between(A, HOST, 8080, 50000), SYN), want: 'drop POLICY_DENIED' },
      { send: echo(HOST, A, 'request', 9), want: 'to pod', report: 'NEW' },
      { send: echo(A, HOST, 'reply', 9), want: 'to stack', report: 'none' },
    ],
  },
  {
    name: 'a pod that gets the address of another one does not go on with its connections',
    policy: { a: [{ direction: 'ingress', rule: 61 }] },
    steps: [
      { send: udp(between(B, A, 40000, 53)), want: 'to pod', report: 'NEW' },
      { send: tcp(between(B, A, 40000, 80), SYN), want: 'to pod', report: 'NEW' },
      { send: udp(fromNode), want: 'to pod', report: 'NEW' },
      { first: succeed(A), send: udp(between(A, B, 53, 40000)), want: 'drop POLICY_DENIED', rules: [0, 0] },
      { send: tcp(between(A, B, 80, 40000), ACK), want: 'drop POLICY_DENIED' },
      { send: udp(back(fromNode)), want: 'drop POLICY_DENIED' },
      { send: icmpError(A, B, udp(between(B, A, 40000, 53))), want: 'drop POLICY_DENIED' },
      { send: udp(between(B, A, 40000, 53)), want: 'to pod', report: 'NEW' },
      { send: udp(between(A, B, 53, 40000)), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'nobody goes on with what the node opened by having its address',
    policy: { a: [] },
    steps: [
      { send: udp(fromNode), want: 'to pod', report: 'NEW' },
      { send: udp(fromNode, cameByUplink), want: 'drop POLICY_DENIED' },
      { send: udp(fromNode), want: 'to pod', report: 'none' },
      { send: tcp(fromNode, SYN), want: 'to pod', report: 'NEW' },
      { send: tcp(fromNode, SYN, cameByUplink), want: 'drop POLICY_DENIED' },
      { send: tcp(fromNode, ACK, cameByUplink), want: 'drop POLICY_DENIED' },
      { send: tcp(back(fromNode), SYN | ACK), want: 'to stack', report: 'none' },
      { send: tcp(fromNode, ACK), want: 'to pod', report: 'none' },
      { send: icmpError(A, HOST, udp(fromNode)), want: 'to stack', report: 'RELATED' },
      { send: echo(HOST, A, 'request', 9), want: 'to pod', report: 'NEW' },
      { send: echo(HOST, A, 'request', 9, cameByUplink), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'the node does not go on with what somebody opened who has its address',
    policy: { a: [{ direction: 'ingress', rule: 60 }] },
    steps: [
      { send: udp(fromNode, cameByUplink), want: 'to pod', report: 'NEW', rules: [0, 60] },
      { send: udp(fromNode), want: 'to pod', report: 'NEW', rules: [0, 0] },
      { send: udp(back(fromNode)), want: 'to stack', report: 'none' },
      { send: udp(fromNode), want: 'to pod', report: 'none' },
    ],
  },
]

testCases(node, cases)

/** Lifetimes by the kernel's own clock: with one of 0 s, that state of a connection is over at once, and no other. */
const short = { tcp_open_seconds: 0, tcp_established_seconds: 100, tcp_closing_seconds: 0, other_seconds: 0 }
test('every state of a connection has its own lifetime', { skip: needsRoot }, () => {
  using node = new TestNode({ constants: short })
  const run = (steps: readonly Step[]): void => {
    node.reset(isolated)
    for (const [index, step] of steps.entries()) runStep(node, step, 4, `step ${index + 1}`)
  }
  // Not yet answered; no connection at all; closed.
  run([
    { send: tcp(web, SYN), want: 'to pod', report: 'NEW' },
    { send: tcp(back(web), SYN | ACK), want: 'drop POLICY_DENIED' },
  ])
  run([
    { send: udp(between(A, B, 40000, 53)), want: 'to pod', report: 'NEW' },
    { send: udp(between(B, A, 53, 40000)), want: 'drop POLICY_DENIED' },
  ])
  run([
    { send: tcp(web, ACK), want: 'to pod', report: 'NEW' },
    { send: tcp(back(web), ACK), want: 'to pod', report: 'none' },
    { send: tcp(web, RST), want: 'to pod', report: 'CLOSED' },
    { send: tcp(back(web), ACK), want: 'drop POLICY_DENIED' },
  ])
})
