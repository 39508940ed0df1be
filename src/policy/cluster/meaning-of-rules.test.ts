// What the rules of the Cilium kinds mean: ports and ICMP, isolation, denials, and how
// policies of one kind and of several combine. Each row is asked of a small cluster.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { calmTown, clusterPolicy, cnp, np } from '../testing/small-town.ts'

const WEB = 'endpointSelector: {matchLabels: {app: web}}'
const ALL = 'endpointSelector: {}'
const PODS = 'shop/till bank/web bank/vault'
const EVERYBODY = `${PODS} node1 node2 near far far6`
const clusterwide = (text: string) => cnp(text, { namespace: '*' })
const ports = (...list: readonly string[]) => `toPorts: [{ports: [${list.join(', ')}]}]`
const TCP_80 = ports('{port: "80", protocol: TCP}')
const FROM_TILL = 'fromEndpoints: [{matchLabels: {app: till}}]'

type Case = {
  readonly name: string
  readonly policies: readonly string[]
  /** Answers by question. */
  readonly want: Readonly<Record<string, string>>
}

function check(cases: readonly Case[]): void {
  for (const { name, policies, want } of cases)
    test(name, () => {
      const { ask } = calmTown(...policies)
      assert.deepEqual(Object.fromEntries(Object.keys(want).map(question => [question, ask(question)])), want)
    })
}

/** Which of these a rule for till lets pass to shop/web. */
const asked = [
  '79/TCP',
  '80/TCP',
  '90/TCP',
  '80/UDP',
  '80/SCTP',
  '8/ICMP',
  '0/ICMP',
  '128/ICMPv6',
  '0/47',
  '8080/TCP',
  '53/UDP',
]
const portCases: readonly (readonly [name: string, rule: string, passes: string])[] = [
  ['no ports: everything', FROM_TILL, asked.join(' ')],
  [
    'a port without protocol: TCP, UDP and SCTP, no ICMP',
    `${FROM_TILL}, ${ports('{port: "80"}')}`,
    '80/TCP 80/UDP 80/SCTP',
  ],
  ['protocol ANY: the same', `${FROM_TILL}, ${ports('{port: "80", protocol: ANY}')}`, '80/TCP 80/UDP 80/SCTP'],
  ['one protocol', `${FROM_TILL}, ${ports('{port: "80", protocol: UDP}')}`, '80/UDP'],
  ['a range', `${FROM_TILL}, ${ports('{port: "80", endPort: 90, protocol: TCP}')}`, '80/TCP 90/TCP'],
  [
    'port 0: all ports, and no ICMP',
    `${FROM_TILL}, ${ports('{port: "0"}')}`,
    '79/TCP 80/TCP 90/TCP 80/UDP 80/SCTP 8080/TCP 53/UDP',
  ],
  ['port 0 of TCP', `${FROM_TILL}, ${ports('{port: "0", protocol: TCP}')}`, '79/TCP 80/TCP 90/TCP 8080/TCP'],
  ['a name', `${FROM_TILL}, ${ports('{port: http}')}`, '8080/TCP'],
  ['a name in capitals, of UDP', `${FROM_TILL}, ${ports('{port: DNS, protocol: UDP}')}`, '53/UDP'],
  ['a name that the pod has for another protocol', `${FROM_TILL}, ${ports('{port: dns, protocol: TCP}')}`, ''],
  ['an ICMP type', `${FROM_TILL}, icmps: [{fields: [{type: EchoRequest}]}]`, '8/ICMP'],
  ['an ICMPv6 type', `${FROM_TILL}, icmps: [{fields: [{type: 128, family: IPv6}]}]`, '128/ICMPv6'],
  ['a protocol without ports', `${FROM_TILL}, ${ports('{protocol: GRE}')}`, '0/47'],
  [
    'several items',
    `${FROM_TILL}, toPorts: [{ports: [{port: "79", protocol: TCP}]}, {ports: [{port: "80", protocol: UDP}]}]`,
    '79/TCP 80/UDP',
  ],
]
for (const [name, rule, passes] of portCases)
  test(`ports: ${name}`, () => {
    const { ask } = calmTown(cnp(`${WEB}, ingress: [{${rule}}]`))
    assert.equal(asked.filter(port => ask(`shop/till -> shop/web ${port}`) === 'yes').join(' '), passes)
    // Denied is what the same rule allowed, and nothing else.
    const denied = calmTown(cnp(`${WEB}, ingressDeny: [{${rule}}], enableDefaultDeny: {ingress: false}`))
    assert.equal(asked.filter(port => denied.ask(`shop/till -> shop/web ${port}`) === 'no').join(' '), passes)
  })

check([
  {
    name: 'a named port is the number of each destination',
    policies: [
      cnp(`${WEB}, egress: [{toEndpoints: [{}], ${ports('{port: http, protocol: TCP}')}}]`),
      cnp(`${ALL}, ingress: [{fromEndpoints: [{}], ${ports('{port: http}')}}]`),
    ],
    want: {
      'shop/web -> * 9090/TCP': 'shop/till',
      'shop/web -> * 8080/TCP': '',
      'shop/till -> shop/web 8080/TCP': 'yes',
      'shop/till -> shop/web 9090/TCP': 'no',
    },
  },
  {
    name: 'a policy isolates in the directions that it has rules for',
    policies: [cnp(`${WEB}, ingress: [{}]`)],
    want: {
      '* -> shop/web 80/TCP': 'node1',
      'shop/web -> * 80/TCP': EVERYBODY,
      '* -> bank/web 80/TCP': `shop/web shop/till bank/vault node1 node2 near far far6`,
    },
  },
  {
    name: 'and so does one that only denies',
    policies: [cnp(`${WEB}, egressDeny: [{toEntities: [host]}]`)],
    want: { 'shop/web -> * 80/TCP': '', '* -> shop/web 80/TCP': EVERYBODY },
  },
  {
    name: 'without default deny a denial takes away, and nothing else',
    policies: [cnp(`${WEB}, egressDeny: [{toEntities: [world-ipv4]}], enableDefaultDeny: {egress: false}`)],
    want: { 'shop/web -> * 80/TCP': `${PODS} node1 node2 far6` },
  },
  {
    name: 'without default deny an allow changes nothing',
    policies: [cnp(`${WEB}, ingress: [{${FROM_TILL}}], enableDefaultDeny: {ingress: false}`)],
    want: { '* -> shop/web 80/TCP': EVERYBODY },
  },
  {
    name: 'one policy that asks for default deny is enough, and the allows of the others count',
    policies: [
      cnp(`${WEB}, ingress: [{${FROM_TILL}}], enableDefaultDeny: {ingress: false}`),
      cnp(`${ALL}, ingress: [{fromCIDR: [203.0.113.0/24]}]`),
    ],
    want: { '* -> shop/web 80/TCP': 'shop/till node1 near', '* -> shop/till 80/TCP': 'node1 near' },
  },
  {
    name: 'default deny of a direction that has no rules',
    policies: [cnp(`${WEB}, ingress: [{}], enableDefaultDeny: {ingress: false, egress: true}`)],
    want: { '* -> shop/web 80/TCP': EVERYBODY, 'shop/web -> * 80/TCP': '' },
  },
  {
    name: 'a NetworkPolicy isolates where a policy without default deny does not',
    policies: [cnp(`${WEB}, ingress: [{${FROM_TILL}}], enableDefaultDeny: {ingress: false}`), np('podSelector: {}')],
    want: { '* -> shop/web 80/TCP': 'shop/till node1', '* -> shop/till 80/TCP': 'node1' },
  },
  {
    name: 'allows of all kinds are one list',
    policies: [
      cnp(`${WEB}, ingress: [{${FROM_TILL}}]`),
      clusterwide(`${WEB}, ingress: [{fromEndpoints: [{matchLabels: {app: vault}}]}]`),
      np('podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]'),
    ],
    want: { '* -> shop/web 80/TCP': 'shop/till bank/vault node1 near' },
  },
  {
    name: 'a denial of one port leaves the others',
    policies: [cnp(`${WEB}, ingress: [{${FROM_TILL}}], ingressDeny: [{fromEntities: [all], ${TCP_80}}]`)],
    want: { '* -> shop/web 80/TCP': 'node1', '* -> shop/web 81/TCP': 'shop/till node1' },
  },
  {
    name: 'a broad denial beats a narrow allow: prefixes',
    policies: [cnp(`${WEB}, egress: [{toCIDR: [203.0.113.7/32]}], egressDeny: [{toCIDR: [203.0.0.0/8]}]`)],
    want: { 'shop/web -> * 80/TCP': '' },
  },
  {
    name: 'a denial of one port beats an allow of everything',
    policies: [cnp(`${WEB}, ingress: [{fromEntities: [all]}], ingressDeny: [{${FROM_TILL}, ${TCP_80}}]`)],
    want: {
      'shop/till -> shop/web 80/TCP': 'no',
      'shop/till -> shop/web 81/TCP': 'yes',
      'shop/till -> shop/web 8/ICMP': 'yes',
    },
  },
  {
    name: 'a denial of a CiliumNetworkPolicy beats what a NetworkPolicy allows',
    policies: [
      np('podSelector: {}, ingress: [{}]'),
      cnp(`${WEB}, ingressDeny: [{${FROM_TILL}}], enableDefaultDeny: {ingress: false}`),
    ],
    want: { '* -> shop/web 80/TCP': 'bank/web bank/vault node1 node2 near far far6' },
  },
  {
    name: 'a denial of a clusterwide policy beats what a policy of the namespace allows',
    policies: [cnp(`${WEB}, ingress: [{${FROM_TILL}}]`), clusterwide(`${ALL}, ingressDeny: [{${FROM_TILL}}]`)],
    want: { '* -> shop/web 80/TCP': 'node1' },
  },
  {
    name: 'an empty denial denies nobody, but isolates',
    policies: [cnp(`${WEB}, ingressDeny: [{}]`), cnp(`${WEB}, ingress: [{${FROM_TILL}}]`)],
    want: { '* -> shop/web 80/TCP': 'shop/till node1' },
  },
  {
    name: 'the Admin tier comes before a denial, the Baseline tier after isolation',
    policies: [
      clusterPolicy(
        'tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: till}}}}]}]',
      ),
      cnp(`${WEB}, ingressDeny: [{fromEntities: [all]}]`),
      clusterPolicy(
        'tier: Baseline, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]',
      ),
    ],
    want: { '* -> shop/web 80/TCP': 'shop/till node1', '* -> bank/web 80/TCP': 'shop/till node1 node2 near far far6' },
  },
  {
    name: 'without default deny the Baseline tier is asked',
    policies: [
      cnp(`${WEB}, ingress: [{${FROM_TILL}}], enableDefaultDeny: {ingress: false}`),
      clusterPolicy(
        'tier: Baseline, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]',
      ),
    ],
    want: { '* -> shop/web 80/TCP': 'shop/till node1 node2 near far far6' },
  },
  {
    name: 'both ends must allow',
    policies: [
      cnp(`${WEB}, egress: [{toEndpoints: [{matchLabels: {app: till}}]}]`),
      cnp('endpointSelector: {matchLabels: {app: till}}, ingress: [{fromEntities: [world]}]'),
    ],
    want: { 'shop/web -> * 80/TCP': '', '* -> shop/till 80/TCP': 'node1 near far far6' },
  },
  {
    name: 'the own node comes in whatever denies it; other nodes and the way out do not',
    policies: [cnp(`${WEB}, ingressDeny: [{fromEntities: [all]}], egressDeny: [{toEntities: [all]}]`)],
    want: { '* -> shop/web 80/TCP': 'node1', 'shop/web -> * 80/TCP': '' },
  },
  {
    name: 'a prefix of a Cilium kind means the world; of a Kubernetes kind pods and nodes too',
    policies: [
      cnp(`${WEB}, egress: [{toCIDR: [10.1.0.2/32, 172.30.0.2/32]}]`),
      np(
        'podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.2.0.1/32}}, {ipBlock: {cidr: 172.30.0.1/32}}]}]',
      ),
    ],
    want: { 'shop/web -> * 80/TCP': 'bank/web node1' },
  },
  {
    name: 'a clusterwide policy for {} selects every pod, and nothing else',
    policies: [clusterwide(`${ALL}, ingress: [{}], egress: [{}]`)],
    want: {
      '* -> bank/vault 80/TCP': 'node2',
      'bank/vault -> * 80/TCP': '',
      '* -> near 80/TCP': 'node1 node2 far far6',
      '* -> node1 80/TCP': 'node2 near far far6',
    },
  },
  {
    name: 'a clusterwide policy for a namespace, by name and by label',
    policies: [
      clusterwide('endpointSelector: {matchLabels: {io.kubernetes.pod.namespace: bank}}, ingress: [{}]'),
      clusterwide('endpointSelector: {matchLabels: {io.cilium.k8s.namespace.labels.team: red}}, egress: [{}]'),
    ],
    want: {
      '* -> bank/web 80/TCP': 'node2',
      '* -> shop/web 80/TCP': 'bank/web bank/vault node1 node2 near far far6',
      'shop/web -> * 80/TCP': '',
    },
  },
  {
    name: 'a policy of a namespace is about its pods alone, by service account too',
    policies: [
      cnp('endpointSelector: {matchLabels: {io.cilium.k8s.policy.serviceaccount: web}}, ingress: [{}]', {
        namespace: 'bank',
      }),
    ],
    want: {
      '* -> bank/web 80/TCP': 'node2',
      '* -> shop/web 80/TCP': EVERYBODY,
      '* -> bank/vault 80/TCP': 'shop/web shop/till bank/web node1 node2 near far far6',
    },
  },
])
