// Denials that are only recorded: the packet passes, the connection is tracked as
// allowed, and every event of it says AUDIT with what would have dropped it; and what
// becomes of such connections when the policy changes.

import {
  back,
  between,
  type Case,
  change,
  echo,
  icmp,
  icmpError,
  longUnreported,
  tcp,
  testCases,
  udp,
} from './cases.ts'
import { ACK, FIN, PSH, SYN } from './frames.ts'
import { A, B, HOST, nodeForTests, OUTSIDE, openPolicy, type Rule } from './node.ts'

const node = nodeForTests({ constants: { report_interval_seconds: 20 } })

const web = between(A, B, 40000, 80)
const open = openPolicy()
const egress = (rule: number, term: Partial<Rule> = {}): Rule => ({ direction: 'egress', rule, ...term })
const ingress = (rule: number, term: Partial<Rule> = {}): Rule => ({ direction: 'ingress', rule, ...term })
const DENIED = { verdict: 'deny' } as const
const AUDITED = { verdict: 'deny', audit: true } as const
const AUDITED_DEFAULT = { verdict: 'deny', audit: true, byDefault: true, precedence: 1 } as const

const cases: Case[] = [
  {
    name: 'a rule that would deny egress: every event of the connection says so, replies too',
    policy: { a: [egress(5, AUDITED)] },
    steps: [
      { send: tcp(web, SYN), want: 'to pod', report: 'NEW', verdict: 'AUDIT POLICY_DENY EGRESS', rules: [5, 1] },
      { send: tcp(back(web), SYN | ACK), want: 'to pod', report: 'none' },
      { send: tcp(web, ACK), want: 'to pod', report: 'none' },
      {
        first: longUnreported,
        send: tcp(back(web), PSH | ACK),
        want: 'to pod',
        report: 'ACTIVE',
        verdict: 'AUDIT POLICY_DENY EGRESS',
        rules: [5, 1],
      },
      { send: tcp(web, FIN | ACK), want: 'to pod' },
      {
        send: tcp(back(web), FIN | ACK),
        want: 'to pod',
        report: 'CLOSED',
        verdict: 'AUDIT POLICY_DENY EGRESS',
        rules: [5, 1],
      },
    ],
  },
  {
    name: 'a rule that would deny ingress',
    policy: { b: [ingress(5, AUDITED)] },
    steps: [
      { send: tcp(web, SYN), want: 'to pod', report: 'NEW', verdict: 'AUDIT POLICY_DENY INGRESS', rules: [2, 5] },
      { send: udp(between(OUTSIDE, B, 1, 2)), want: 'to pod', verdict: 'AUDIT POLICY_DENY INGRESS', rules: [0, 5] },
    ],
  },
  {
    name: 'the default of a pod that only audited policies isolate; what a rule allows is no matter for the record',
    policy: { b: [ingress(3, AUDITED_DEFAULT), ingress(6, { protocol: 6, port: 80, precedence: 9 })] },
    steps: [
      { send: udp(web), want: 'to pod', report: 'NEW', verdict: 'AUDIT POLICY_DENIED INGRESS', rules: [2, 3] },
      { send: udp(back(web)), want: 'to pod', report: 'none' },
      { send: tcp(web, SYN), want: 'to pod', report: 'NEW', verdict: 'FORWARDED', rules: [2, 6] },
    ],
  },
  {
    name: 'recorded at the sender, denied by the receiver: the receiver drops it',
    policy: { a: [egress(5, AUDITED)], b: [ingress(6, DENIED)] },
    steps: [{ send: tcp(web, SYN), want: 'drop POLICY_DENY', verdict: 'DROPPED POLICY_DENY INGRESS', rules: [5, 6] }],
  },
  {
    name: 'denied by the sender, recorded at the receiver: the receiver is not asked',
    policy: { a: [egress(5, DENIED)], b: [ingress(6, AUDITED)] },
    steps: [{ send: tcp(web, SYN), want: 'drop POLICY_DENY', verdict: 'DROPPED POLICY_DENY EGRESS', rules: [5, 0] }],
  },
  {
    name: 'recorded at both: the sender is told, which would have dropped it first',
    policy: { a: [egress(5, AUDITED)], b: [ingress(6, AUDITED_DEFAULT)] },
    steps: [{ send: udp(web), want: 'to pod', report: 'NEW', verdict: 'AUDIT POLICY_DENY EGRESS', rules: [5, 6] }],
  },
  {
    name: 'entries are weighed by precedence as ever, whatever is audited',
    policy: { b: [ingress(5, { ...AUDITED, identity: A.identity, precedence: 3 }), ingress(6, { precedence: 2 })] },
    steps: [
      { send: udp(web), want: 'to pod', verdict: 'AUDIT POLICY_DENY INGRESS', rules: [2, 5] },
      {
        first: change({ b: [ingress(5, { ...AUDITED, identity: A.identity }), ingress(6, { precedence: 2 })] }),
        send: udp(between(A, B, 1, 2)),
        want: 'to pod',
        verdict: 'FORWARDED',
        rules: [2, 6],
      },
      {
        first: change({
          b: [
            ingress(5, { ...AUDITED, precedence: 2 }),
            ingress(6, { ...DENIED, precedence: 2, identity: A.identity }),
          ],
        }),
        send: udp(web),
        want: 'drop POLICY_DENY',
        rules: [2, 6],
      },
    ],
  },
  {
    name: 'echoes, messages that open nothing, and errors about a connection',
    policy: { a: [egress(5, AUDITED)] },
    steps: [
      { send: echo(A, B, 'request', 1), want: 'to pod', report: 'NEW', verdict: 'AUDIT POLICY_DENY EGRESS' },
      { send: echo(B, A, 'reply', 1), want: 'to pod', report: 'none' },
      { send: icmp(A, B, { 4: 13, 6: 200 }), want: 'to pod', report: 'NEW', verdict: 'AUDIT POLICY_DENY EGRESS' },
      { send: udp(web), want: 'to pod', verdict: 'AUDIT POLICY_DENY EGRESS' },
      {
        send: icmpError(B, A, udp(web)),
        want: 'to pod',
        report: 'RELATED',
        verdict: 'AUDIT POLICY_DENY EGRESS',
        rules: [5, 1],
      },
    ],
  },
  {
    name: 'what the node opens is not judged, and not recorded',
    policy: { a: [ingress(5, AUDITED)] },
    steps: [{ send: tcp(between(HOST, A, 50000, 80), SYN), want: 'to pod', report: 'NEW', verdict: 'FORWARDED' }],
  },
  {
    name: 'no policy map: fail closed, whatever the other end records',
    policy: { a: [egress(5, AUDITED)] },
    steps: [
      {
        first: node => node.removePolicy(B.policy),
        send: tcp(web, SYN),
        want: 'drop POLICY_MISSING',
        verdict: 'DROPPED POLICY_MISSING INGRESS',
      },
    ],
  },
  ...(['opener', 'responder'] as const).map(
    (side): Case => ({
      name: `a policy that is enforced from now on cuts what it only recorded: the ${side} sends next`,
      policy: { b: [ingress(5, AUDITED)] },
      steps: [
        { send: tcp(web, SYN), want: 'to pod', verdict: 'AUDIT POLICY_DENY INGRESS' },
        { send: tcp(back(web), SYN | ACK), want: 'to pod' },
        {
          first: change({ b: [ingress(5, DENIED)] }),
          send: tcp(side === 'opener' ? web : back(web), PSH | ACK),
          want: 'drop POLICY_DENY',
          verdict: 'DROPPED POLICY_DENY INGRESS',
          rules: [2, 5],
        },
      ],
    }),
  ),
  {
    name: 'a default that is enforced from now on cuts what it only recorded',
    policy: { b: [ingress(3, AUDITED_DEFAULT)] },
    steps: [
      { send: tcp(web, SYN), want: 'to pod', verdict: 'AUDIT POLICY_DENIED INGRESS' },
      { first: change({ b: [] }), send: tcp(web, ACK), want: 'drop POLICY_DENIED', rules: [2, 0] },
    ],
  },
  {
    name: 'a policy that only records from now on lets the connection on that it had cut',
    steps: [
      { send: tcp(web, SYN), want: 'to pod', verdict: 'FORWARDED' },
      { first: change({ b: [ingress(5, DENIED)] }), send: tcp(web, ACK), want: 'drop POLICY_DENY' },
      { first: change({ b: [ingress(5, AUDITED)] }), send: tcp(web, ACK), want: 'to pod', report: 'none' },
      {
        first: longUnreported,
        send: tcp(back(web), PSH | ACK),
        want: 'to pod',
        report: 'ACTIVE',
        verdict: 'AUDIT POLICY_DENY INGRESS',
        rules: [2, 5],
      },
    ],
  },
  {
    name: 'recorded, then allowed, then recorded again: the connection goes on, and its events say which',
    policy: { a: [egress(5, AUDITED)] },
    steps: [
      { send: udp(web), want: 'to pod', report: 'NEW', verdict: 'AUDIT POLICY_DENY EGRESS' },
      { first: change({ a: open }), send: udp(web), want: 'to pod', report: 'none' },
      { first: longUnreported, send: udp(web), want: 'to pod', report: 'ACTIVE', verdict: 'FORWARDED', rules: [2, 1] },
      { first: change({ a: [egress(3, AUDITED_DEFAULT)] }), send: udp(back(web)), want: 'to pod', report: 'none' },
      {
        first: longUnreported,
        send: udp(web),
        want: 'to pod',
        report: 'ACTIVE',
        verdict: 'AUDIT POLICY_DENIED EGRESS',
      },
    ],
  },
]

testCases(node, cases)
