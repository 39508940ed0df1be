// Policy in both directions: what allows, what denies, which entry decides, and what
// a change of policy does to connections that are open.

import { ip, mac } from '../../src/ip/index.ts'
import { back, between, type Case, change, echo, type Step, tcp, testCases, udp } from './cases.ts'
import { ACK, PROTOCOL, PSH, RST, SYN } from './frames.ts'
import { A, B, C, HOST, nodeForTests, OUTSIDE, openPolicy, type Party, type Rule, type TestNode } from './node.ts'

const node = nodeForTests()

const web = between(A, B, 40000, 80)
const send = (rule: 'to pod' | 'POLICY_DENIED' | 'POLICY_DENY' | 'POLICY_MISSING', rules: [number, number]): Step => ({
  send: tcp(web, SYN),
  want: rule === 'to pod' ? rule : `drop ${rule}`,
  rules,
})
const ingress = (rule: number, term: Partial<Rule> = {}): Rule => ({ direction: 'ingress', rule, ...term })
const egress = (rule: number, term: Partial<Rule> = {}): Rule => ({ direction: 'egress', rule, ...term })
const WEB = { protocol: PROTOCOL.tcp, port: 80 }

/** One packet from A to port 80 of B. The open policy's rules are 1 (ingress) and 2 (egress). */
const decisions: { name: string; policy: { a?: Rule[]; b?: Rule[] }; want: Step }[] = [
  { name: 'nothing isolates', policy: {}, want: send('to pod', [2, 1]) },
  { name: 'an empty policy denies, egress first', policy: { a: [], b: [] }, want: send('POLICY_DENIED', [0, 0]) },
  { name: 'ingress alone denies', policy: { b: [] }, want: send('POLICY_DENIED', [2, 0]) },
  { name: 'by identity', policy: { b: [ingress(5, { identity: A.identity })] }, want: send('to pod', [2, 5]) },
  {
    name: 'by another identity',
    policy: { b: [ingress(5, { identity: C.identity })] },
    want: send('POLICY_DENIED', [2, 0]),
  },
  { name: 'by protocol', policy: { b: [ingress(5, { protocol: 6 })] }, want: send('to pod', [2, 5]) },
  { name: 'by another protocol', policy: { b: [ingress(5, { protocol: 17 })] }, want: send('POLICY_DENIED', [2, 0]) },
  { name: 'by port', policy: { b: [ingress(5, WEB)] }, want: send('to pod', [2, 5]) },
  { name: 'by another port', policy: { b: [ingress(5, { ...WEB, port: 81 })] }, want: send('POLICY_DENIED', [2, 0]) },
  { name: 'an egress rule is no ingress rule', policy: { b: [egress(5)] }, want: send('POLICY_DENIED', [2, 0]) },
  {
    name: 'a range of ports that it is in',
    policy: { b: [ingress(5, { ...WEB, portPrefixLength: 12 })] },
    want: send('to pod', [2, 5]),
  },
  {
    name: 'a range of ports that it is not in',
    policy: { b: [ingress(5, { ...WEB, port: 96, portPrefixLength: 12 })] },
    want: send('POLICY_DENIED', [2, 0]),
  },
  {
    name: 'every port of a protocol',
    policy: { b: [ingress(5, { protocol: 6, port: 0, portPrefixLength: 0 })] },
    want: send('to pod', [2, 5]),
  },
  { name: 'a rule that denies', policy: { b: [ingress(5, { verdict: 'deny' })] }, want: send('POLICY_DENY', [2, 5]) },
  {
    name: 'an entry that stands for the default of an isolated pod',
    policy: { b: [ingress(5, { verdict: 'deny', byDefault: true })] },
    want: send('POLICY_DENIED', [2, 5]),
  },
  {
    name: 'a rule that denies egress',
    policy: { a: [egress(5, { verdict: 'deny' })] },
    want: send('POLICY_DENY', [5, 0]),
  },
  {
    name: 'the longest port prefix decides, whatever the precedence',
    policy: {
      b: [ingress(5, { ...WEB, portPrefixLength: 12, precedence: 9 }), ingress(6, { ...WEB, verdict: 'deny' })],
    },
    want: send('POLICY_DENY', [2, 6]),
  },
  {
    name: 'one identity or any: the higher precedence decides, here of any',
    policy: {
      b: [ingress(5, { identity: A.identity, precedence: 1 }), ingress(6, { verdict: 'deny', precedence: 2 })],
    },
    want: send('POLICY_DENY', [2, 6]),
  },
  {
    name: 'one identity or any: the higher precedence decides, here of the identity',
    policy: {
      b: [ingress(5, { identity: A.identity, precedence: 2 }), ingress(6, { verdict: 'deny', precedence: 1 })],
    },
    want: send('to pod', [2, 5]),
  },
  {
    name: 'one identity or any, a tie: the entry of the identity, here it allows',
    policy: {
      b: [ingress(5, { identity: A.identity, precedence: 7 }), ingress(6, { verdict: 'deny', precedence: 7 })],
    },
    want: send('to pod', [2, 5]),
  },
  {
    name: 'one identity or any, a tie: the entry of the identity, here it denies',
    policy: {
      b: [ingress(5, { identity: A.identity, precedence: 7, verdict: 'deny' }), ingress(6, { precedence: 7 })],
    },
    want: send('POLICY_DENY', [2, 5]),
  },
  {
    name: 'precedence is unsigned',
    policy: {
      b: [
        ingress(5, { identity: A.identity, precedence: 0x7fff_ffff }),
        ingress(6, { verdict: 'deny', precedence: 0xffff_ffff }),
      ],
    },
    want: send('POLICY_DENY', [2, 6]),
  },
  {
    name: 'the same in egress, towards the identity of the receiver',
    policy: {
      a: [egress(5, { identity: B.identity, ...WEB, precedence: 1 }), egress(6, { verdict: 'deny', precedence: 0 })],
    },
    want: send('to pod', [5, 1]),
  },
]

const HIDDEN: Party = {
  ...OUTSIDE,
  4: ip('203.0.113.9').bytes,
  6: ip('2001:db8:ffff::9').bytes,
  mac: mac('0a:00:00:00:99:03'),
}

/** For all connections: their ends are moved. */
const elevenSecondsLater = ({ datapath, memory }: TestNode): void => {
  for (const { flows } of [datapath.maps, memory.maps])
    for (const [key, flow] of flows.lookupBatch())
      flows.set(key, { ...flow, expires_ns: flow.expires_ns - 11_000_000_000n })
}
const openConnection: Step[] = [
  { send: tcp(web, SYN), want: 'to pod', report: 'NEW', rules: [2, 1] },
  { send: tcp(back(web), SYN | ACK), want: 'to pod' },
  { send: tcp(web, ACK), want: 'to pod' },
]

/** VRRP, IGMP, GRE, IPv4 and IPv6 in IP, ESP. AH of IPv6 is looked through. */
const PORTLESS = [112, PROTOCOL.igmp, PROTOCOL.gre, 4, 41, 50] as const
const bare = (protocol: number): Step['send'] => ({ from: A, to: B, protocol, payload: () => new Uint8Array(16) })

const cases: Case[] = [
  ...decisions.map(({ name, policy, want }): Case => ({ name, policy, steps: [want] })),
  {
    name: 'no policy map: fail closed, in both directions',
    steps: [
      { first: node => node.removePolicy(B.policy), send: tcp(web, SYN), want: 'drop POLICY_MISSING', rules: [2, 0] },
      { send: tcp(back(web), SYN), want: 'drop POLICY_MISSING', rules: [0, 0] },
    ],
  },
  {
    name: 'protocols without ports, by their numbers',
    policy: { b: PORTLESS.map(protocol => ingress(protocol, { protocol })) },
    steps: [
      ...PORTLESS.map((protocol): Step => ({ send: bare(protocol), want: 'to pod', rules: [2, protocol] })),
      { send: bare(103), want: 'drop POLICY_DENIED', rules: [2, 0] },
      { send: tcp(web, SYN), want: 'drop POLICY_DENIED', rules: [2, 0] },
    ],
  },
  {
    name: 'the world is known by the longest prefix of its address',
    policy: { a: [egress(7, { identity: 2000 })] },
    steps: [
      { send: udp(between(A, OUTSIDE, 1, 2)), want: 'drop POLICY_DENIED' },
      {
        first: node => {
          node.setIpcache('198.51.100.0/24', 2000)
          node.setIpcache('2001:db8::/32', 2000)
        },
        send: udp(between(A, OUTSIDE, 1, 2)),
        want: 'to stack',
        rules: [7, 0],
      },
      {
        first: node => {
          node.setIpcache('2001:db8:ffff::/48', 2001)
        },
        send: udp(between(A, HIDDEN, 1, 2)),
        want: 'drop POLICY_DENIED',
      },
    ],
  },
  {
    name: 'the world of each family has its own identity',
    steps: family => [
      {
        first: node => node.setPolicy(A, [egress(8, { identity: family === 4 ? 9 : 10 })]),
        send: udp(between(A, OUTSIDE, 1, 2)),
        want: 'to stack',
        rules: [8, 0],
      },
      {
        first: node => {
          node.setPolicy(A, [egress(8, { identity: family === 4 ? 10 : 9 })])
          node.raiseRevision()
        },
        send: udp(between(A, OUTSIDE, 1, 2)),
        want: 'drop POLICY_DENIED',
      },
    ],
  },
  {
    name: 'the node as a peer',
    policy: { a: [egress(9, { identity: 1 })] },
    steps: [
      { send: tcp(between(A, HOST, 1, 10250), SYN), want: 'to stack', rules: [9, 0] },
      { send: tcp(between(A, OUTSIDE, 1, 10250), SYN), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'a new deny cuts an open connection, whichever side sends next: the opener',
    steps: [
      ...openConnection,
      { first: change({ b: [] }), send: tcp(web, PSH | ACK), want: 'drop POLICY_DENIED', rules: [2, 0] },
      { send: tcp(back(web), PSH | ACK), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'a new deny cuts an open connection, whichever side sends next: the responder',
    steps: [
      ...openConnection,
      { first: change({ b: [] }), send: tcp(back(web), PSH | ACK), want: 'drop POLICY_DENIED', rules: [2, 0] },
      { send: tcp(web, PSH | ACK), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'a new deny of egress cuts it too',
    steps: [
      ...openConnection,
      { first: change({ a: [] }), send: tcp(back(web), PSH | ACK), want: 'drop POLICY_DENIED', rules: [0, 0] },
    ],
  },
  {
    name: 'a reply is judged as what it answers: the responder’s own egress does not matter',
    steps: [
      ...openConnection,
      {
        first: change({ a: [egress(2)], b: [ingress(1)] }),
        send: tcp(back(web), PSH | ACK),
        want: 'to pod',
        report: 'none',
      },
    ],
  },
  {
    name: 'a connection that was cut is not taken up by the end that was called, whatever the caller did before',
    steps: [
      ...openConnection,
      // Out of the window: nobody but the table of connections takes it for the end.
      { send: tcp(web, RST), want: 'to pod', report: 'CLOSED' },
      { first: change({ b: [egress(2)] }), send: tcp(web, PSH | ACK), want: 'drop POLICY_DENIED' },
      { first: elevenSecondsLater, send: tcp(back(web), PSH | ACK), want: 'drop POLICY_DENIED' },
      { first: elevenSecondsLater, send: tcp(back(web), PSH | ACK), want: 'drop POLICY_DENIED' },
      { send: tcp(back(web), SYN), want: 'to pod', report: 'NEW', rules: [2, 1] },
    ],
  },
  {
    name: 'allowed again, the connection goes on',
    steps: [
      ...openConnection,
      { first: change({ b: [] }), send: tcp(web, PSH | ACK), want: 'drop POLICY_DENIED' },
      { first: change({ b: openPolicy() }), send: tcp(web, PSH | ACK), want: 'to pod', report: 'none' },
      { send: tcp(back(web), PSH | ACK), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'a change that changes nothing for it costs one judgement and no event',
    steps: [
      ...openConnection,
      { first: change({}), send: tcp(web, PSH | ACK), want: 'to pod', report: 'none' },
      { send: tcp(back(web), PSH | ACK), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'without a raised revision an open connection is not judged again, a new one is',
    steps: [
      ...openConnection,
      { first: node => node.setPolicy(B, []), send: tcp(web, PSH | ACK), want: 'to pod' },
      { send: tcp(between(A, B, 40001, 80), SYN), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'UDP and echoes are cut and allowed again as well',
    steps: [
      { send: udp(between(A, B, 1, 53)), want: 'to pod', report: 'NEW' },
      { send: echo(A, B, 'request', 1), want: 'to pod', report: 'NEW' },
      { first: change({ a: [egress(5, { protocol: 17 })] }), send: udp(between(B, A, 53, 1)), want: 'to pod' },
      { send: echo(B, A, 'reply', 1), want: 'drop POLICY_DENIED' },
      { send: echo(A, B, 'request', 1), want: 'drop POLICY_DENIED' },
      {
        first: change({ a: [egress(6, { protocol: 1, port: 8 }), egress(6, { protocol: 58, port: 128 })] }),
        send: echo(B, A, 'reply', 1),
        want: 'to pod',
      },
      { send: udp(between(A, B, 1, 53)), want: 'drop POLICY_DENIED' },
    ],
  },
  {
    name: 'a new identity of the peer cuts it',
    policy: { b: [ingress(5, { identity: A.identity })] },
    steps: [
      { send: tcp(web, SYN), want: 'to pod', rules: [2, 5] },
      {
        first: node => {
          node.addEndpoint(A, { identity: 4000 })
          node.raiseRevision()
        },
        send: tcp(web, ACK),
        want: 'drop POLICY_DENIED',
      },
    ],
  },
  {
    name: 'a new identity of an address of the world cuts it',
    policy: { a: [egress(7, { identity: 9 }), egress(7, { identity: 10 })] },
    steps: [
      { send: udp(between(A, OUTSIDE, 1, 2)), want: 'to stack', report: 'NEW' },
      {
        first: node => {
          node.setIpcache('198.51.100.7/32', 3000)
          node.setIpcache('2001:db8::7/128', 3000)
          node.raiseRevision()
        },
        send: udp(between(OUTSIDE, A, 2, 1)),
        want: 'drop POLICY_DENIED',
      },
    ],
  },
  {
    name: 'what the node opened stays open, whatever changes',
    steps: [
      { send: tcp(between(HOST, A, 50000, 80), SYN), want: 'to pod', report: 'NEW' },
      { first: change({ a: [] }), send: tcp(between(A, HOST, 80, 50000), SYN | ACK), want: 'to stack', report: 'none' },
      { send: tcp(between(HOST, A, 50000, 80), ACK), want: 'to pod', report: 'none' },
    ],
  },
  {
    name: 'what a pod opened to the node is cut, also where the node speaks',
    steps: [
      { send: udp(between(A, HOST, 1, 53)), want: 'to stack', report: 'NEW' },
      { first: change({ a: [] }), send: udp(between(A, HOST, 1, 53)), want: 'drop POLICY_DENIED' },
      { send: udp(between(HOST, A, 53, 1)), want: 'drop POLICY_DENIED' },
      { send: tcp(between(HOST, A, 53, 1), SYN), want: 'to pod', report: 'NEW' },
    ],
  },
  {
    name: 'a connection from outside with the node’s address is never the node’s, even where the node has used the ports',
    policy: { a: [] },
    steps: [
      { send: udp(between(HOST, A, 1, 2), { cameBy: 100 }), want: 'drop POLICY_DENIED' },
      { send: tcp(between(HOST, A, 1, 2), SYN, { cameBy: 100 }), want: 'drop POLICY_DENIED' },
    ],
  },
]

testCases(node, cases)
