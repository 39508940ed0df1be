// The other side of rules of the Cilium kinds: presence and emptiness, selectors and the
// namespaces that they mean, prefixes, groups, entities, and what waits.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ip } from '../../../ip/index.ts'
import { PROTOCOLS } from '../../../labels/index.ts'
import { formatProblem, parseManifests } from '../../../manifests/index.ts'
import { readCluster } from '../../cluster/cluster-manifests.ts'
import { brief, NS, policyText, SHOP, valid } from './testing/read-cilium.ts'

const WORLD = 'reserved:world'
const TEAM = 'k8s:io.cilium.k8s.namespace.labels.team'

type Case = {
  readonly name: string
  /** One item of `ingress`, or of `egress` when it has a field of it. */
  readonly rule: string
  readonly peers: unknown
  readonly ports?: unknown
  readonly clusterwide?: true
  readonly warnings?: number
}

const PORT_80 = 'toPorts: [{ports: [{port: "80", protocol: TCP}]}]'

const cases: readonly Case[] = [
  { name: 'nothing at all: nobody', rule: '{}', peers: [] },
  { name: 'ports alone: anybody', rule: `{${PORT_80}}`, peers: 'any', ports: ['6 80-80'] },
  { name: 'types of ICMP alone: anybody', rule: '{icmps: [{fields: [{type: 8}]}]}', peers: 'any', ports: ['1 8-8'] },
  { name: 'empty lists of ports and types: nobody', rule: '{toPorts: [], icmps: []}', peers: [] },
  { name: 'fields without a value: as if left out', rule: '{fromEndpoints: , toPorts: }', peers: [] },
  ...[
    'fromEndpoints',
    'fromCIDR',
    'fromCIDRSet',
    'fromEntities',
    'fromNodes',
    'fromGroups',
    'toFQDNs',
    'toServices',
  ].flatMap((field): Case[] => [
    { name: `${field} empty: nobody`, rule: `{${field}: []}`, peers: [], warnings: 1 },
    {
      name: `${field} empty, with ports: nobody`,
      rule: `{${field}: [], ${PORT_80}}`,
      peers: [],
      ports: ['6 80-80'],
      warnings: 1,
    },
  ]),
  { name: 'an empty selector: the namespace', rule: '{fromEndpoints: [{}]}', peers: [SHOP] },
  {
    name: 'an empty selector of a clusterwide policy: every pod',
    rule: '{fromEndpoints: [{}]}',
    peers: [NS],
    clusterwide: true,
  },
  {
    name: 'items are ORed, conditions in one are ANDed',
    rule: '{fromEndpoints: [{matchLabels: {a: "1", b: "2"}}, {matchLabels: {c: "3"}}]}',
    peers: [`k8s:a = 1; k8s:b = 2; ${SHOP}`, `k8s:c = 3; ${SHOP}`],
  },
  {
    name: 'another namespace, with and without a source',
    rule: '{fromEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": bank}}, {matchLabels: {io.kubernetes.pod.namespace: inn}}]}',
    peers: [`${NS} = bank`, `${NS} = inn`],
  },
  {
    name: 'every namespace',
    rule: '{fromEndpoints: [{matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", operator: Exists}]}]}',
    peers: [NS],
  },
  {
    name: 'labels of namespaces: the own one is not added',
    rule: '{toEndpoints: [{matchLabels: {io.cilium.k8s.namespace.labels.team: red, app: a}}]}',
    peers: [`k8s:app = a; ${TEAM} = red`],
  },
  {
    name: 'labels of namespaces in a clusterwide policy',
    rule: '{toEndpoints: [{matchLabels: {"k8s:io.cilium.k8s.namespace.labels.team": red}}]}',
    peers: [`${TEAM} = red; ${NS}`],
    clusterwide: true,
  },
  {
    name: 'a service account',
    rule: '{fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.serviceaccount: till}}]}',
    peers: [`k8s:io.cilium.k8s.policy.serviceaccount = till; ${SHOP}`],
  },
  {
    name: 'the cluster label',
    rule: '{fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.cluster: default}}]}',
    peers: [`k8s:io.cilium.k8s.policy.cluster = default; ${SHOP}`],
  },
  {
    name: 'reserved labels: nothing is added',
    rule: '{fromEndpoints: [{matchLabels: {"reserved:host": ""}}, {matchLabels: {"reserved:world": "", app: a}}]}',
    peers: ['reserved:host = ', 'any:app = a; reserved:world = '],
  },
  {
    name: 'services by name and by labels',
    rule: '{toServices: [{k8sService: {serviceName: db, namespace: bank}}, {k8sServiceSelector: {selector: {matchLabels: {a: b}}, namespace: shop}}]}',
    peers: ['service db in bank', 'service of any:a = b in shop'],
  },
  {
    name: 'services of any namespace',
    rule: '{toServices: [{k8sService: {serviceName: db, namespace: ""}}, {k8sServiceSelector: {selector: {}}}]}',
    peers: ['service db in any namespace', 'service of  in any namespace'],
  },
  { name: 'reserved:all', rule: '{fromEndpoints: [{matchLabels: {"reserved:all": ""}}]}', peers: 'any' },
  {
    name: 'a reserved label that there is not: nobody',
    rule: '{fromEndpoints: [{matchLabels: {"reserved:moon": ""}}]}',
    peers: [`!${NS}; ${NS}`],
  },
  {
    name: 'no pod has labels of other sources',
    rule: '{fromEndpoints: [{matchLabels: {"cidr:10.0.0.0/8": ""}}, {matchExpressions: [{key: "cidr:10.0.0.0/8", operator: DoesNotExist}]}]}',
    peers: [`!${NS}; ${NS}`, SHOP],
  },
  {
    name: 'labels of prefixes are those of the world',
    rule: '{fromEndpoints: [{matchLabels: {"reserved:world": "", "cidr:fd00--/8": ""}}]}',
    peers: ['cidr:fd00::/8 = ; reserved:world; reserved:world = '],
  },
  {
    name: 'all namespaces but one, all teams but one: pods alone',
    rule: '{fromEndpoints: [{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: NotIn, values: [bank]}]}, {matchExpressions: [{key: io.cilium.k8s.namespace.labels.team, operator: DoesNotExist}]}]}',
    peers: [`${NS}; ${NS} != bank`, `!${TEAM}; ${NS}`],
  },
  {
    name: 'another cluster, also in every namespace',
    rule: '{fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.cluster: far}, matchExpressions: [{key: io.kubernetes.pod.namespace, operator: Exists}]}]}',
    peers: [`k8s:io.cilium.k8s.policy.cluster = far; ${NS}`],
  },
  { name: 'prefixes', rule: '{fromCIDR: [10.0.0.0/8, "fd00::/8"]}', peers: ['world 10.0.0.0/8', 'world fd00::/8'] },
  { name: 'a prefix with bits beyond it', rule: '{toCIDR: [10.1.2.3/8]}', peers: ['world 10.0.0.0/8'], warnings: 1 },
  {
    name: 'prefixes with exceptions',
    rule: '{toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.2.0.0/16, 10.1.0.0/16, 10.2.0.0/16]}, {cidr: 0.0.0.0/0}]}',
    peers: ['world 10.0.0.0/8 !10.1.0.0/16 !10.2.0.0/16', 'world 0.0.0.0/0'],
  },
  {
    name: 'groups by name and by label',
    rule: '{fromCIDRSet: [{cidrGroupRef: offices, except: [10.1.0.0/16]}, {cidrGroupSelector: {matchLabels: {site: north}}}]}',
    peers: ['group offices !10.1.0.0/16', 'group cidrgroup:site = north'],
  },
  { name: 'all', rule: '{fromEntities: [host, all]}', peers: 'any' },
  {
    name: 'the world, and its families',
    rule: '{toEntities: [world, world-ipv4, world-ipv6]}',
    peers: [WORLD, `${WORLD}-ipv4`, `${WORLD}-ipv6`],
  },
  { name: 'nodes', rule: '{fromEntities: [host, remote-node]}', peers: ['reserved:host', 'reserved:remote-node'] },
  { name: 'the cluster', rule: '{fromEntities: [cluster]}', peers: [NS, 'reserved:host', 'reserved:remote-node'] },
  { name: 'all clusters', rule: '{toEntities: [cluster-mesh]}', peers: [NS, 'reserved:host', 'reserved:remote-node'] },
  { name: 'none', rule: '{fromEntities: [none]}', peers: [] },
  {
    name: 'names and patterns, in lower case and without the last dot, outside the cluster',
    rule: '{toFQDNs: [{matchName: API.Example.com.}, {matchPattern: "**.Example.com"}]}',
    peers: ['fqdn:api.example.com; reserved:world', 'fqdn:**.example.com; reserved:world'],
  },
]

for (const { name, rule, peers, ports = 'any', clusterwide, warnings } of cases)
  test(name, () => {
    const section = /\bto(Endpoints|CIDR|CIDRSet|Entities|FQDNs|Services):/.test(rule) ? 'egress' : 'ingress'
    const policy = valid(`spec: {endpointSelector: {}, ${section}: [${rule}]}`, { clusterwide, warnings })
    assert.deepEqual(brief(policy), [{ rule: `${section}[0] allow`, peers, ports }])
    assert.deepEqual(policy.unenforced, undefined)
  })

test('rules that deny have the same peers', () => {
  for (const { name, rule, peers, ports = 'any', clusterwide, warnings } of cases) {
    if (rule.includes('toFQDNs')) continue
    const section = /\bto(Endpoints|CIDR|CIDRSet|Entities|Services):/.test(rule) ? 'egressDeny' : 'ingressDeny'
    const policy = valid(`spec: {endpointSelector: {}, ${section}: [${rule}]}`, { clusterwide, warnings })
    assert.deepEqual(brief(policy), [{ rule: `${section}[0] deny`, peers, ports }], name)
  }
})

const WAITING: readonly (readonly [rule: string, path: string, reason: string, allowed: readonly string[]])[] = [
  ['fromEntities: [host, kube-apiserver]', 'fromEntities[1]', 'the addresses of the API server', ['reserved:host']],
  ['fromEntities: [ingress]', 'fromEntities[0]', 'there is no proxy', []],
  ['fromEntities: [init]', 'fromEntities[0]', 'no endpoint is ever without', []],
  ['fromEntities: [health]', 'fromEntities[0]', 'there are no health endpoints', []],
  ['fromEntities: [unmanaged]', 'fromEntities[0]', 'there are no pods that', []],
  ['fromEndpoints: [{}, {matchLabels: {"reserved:health": ""}}]', 'fromEndpoints[1]', 'there are no health', [SHOP]],
  [
    'fromEndpoints: [{matchLabels: {"reserved:world": "", "fqdn:*.example.com": ""}}]',
    'fromEndpoints[0]',
    'a label of a DNS name',
    [],
  ],
  [
    'fromEndpoints: [{matchLabels: {"reserved:world": "", "cidrgroup:offices": ""}}]',
    'fromEndpoints[0]',
    'a label of a CIDR group',
    [],
  ],
  ['fromNodes: [{matchLabels: {"node:zone": a}}]', 'fromNodes', 'labels of nodes', []],
  ['fromGroups: [{aws: {securityGroupsIds: [sg-1]}}]', 'fromGroups', 'groups of cloud providers', []],
  ['toNodes: [{}]', 'toNodes', 'labels of nodes', []],
  ['toGroups: [{aws: {labels: {a: b}, region: r, securityGroupsNames: [name]}}]', 'toGroups', 'groups of cloud', []],
]

for (const [rule, path, reason, allowed] of WAITING)
  test(`not enforced yet: ${rule}`, () => {
    const direction = rule.startsWith('to') ? 'egress' : 'ingress'
    const check = (section: string, peers: unknown): void => {
      const policy = valid(`spec: {endpointSelector: {}, ${section}: [{${rule}, ${PORT_80}}]}`, { warnings: 1 })
      const action = section === direction ? 'allow' : 'deny'
      assert.deepEqual(brief(policy), [{ rule: `${section}[0] ${action}`, peers, ports: ['6 80-80'] }])
      assert.equal(policy.specs[0]?.isolates[direction], true)
      const [field, ...more] = policy.unenforced ?? []
      assert.deepEqual([field?.path, more], [`spec.${section}[0].${path}`, []])
      assert.ok(field?.reason.startsWith(reason), field?.reason)
    }
    check(direction, allowed)
    check(`${direction}Deny`, 'any')
  })

const CLUSTER = [
  ...['a', 'b'].map(
    (name, i) =>
      `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}\nspec: {containers: [{name: c}]}\nstatus: {podIP: 10.0.0.${i + 1}}`,
  ),
  'apiVersion: v1\nkind: Node\nmetadata: {name: node1}\nstatus: {addresses: [{type: InternalIP, address: 10.1.0.1}]}',
]

test('prefixes mean the world alone: not pods, not nodes', () => {
  const policy = policyText(
    'spec: {endpointSelector: {matchLabels: {app: a}}, egress: [{toCIDR: [10.0.0.0/8]}, {toCIDRSet: [{cidr: 0.0.0.0/0, except: [192.0.2.0/24]}]}]}',
  )
  const { objects, problems: unread } = parseManifests([...CLUSTER, policy].join('\n---\n'), 'cluster.yaml')
  const { cluster, problems } = readCluster(objects)
  assert.deepEqual([...unread, ...problems].map(formatProblem), [])
  const isAllowed = (address: string): boolean => {
    const [from, to] = [cluster.endAt(ip('10.0.0.1')), cluster.endAt(ip(address))]
    return cluster.verdict(from, to, PROTOCOLS.TCP, 80).verdict === 'allowed'
  }
  const addresses = ['10.0.0.2', '10.1.0.1', '10.9.0.1', '198.51.100.1', '192.0.2.1', 'fd00::1']
  assert.deepEqual(addresses.filter(isAllowed), ['10.9.0.1', '198.51.100.1'])
})
