// Policies for a synthetic cluster, as its teams would write them: every namespace
// denies by default, every application says whom it serves and whom it calls, and the
// administrators have a few rules above and below all of that. One in seven policies of
// applications is a CiliumNetworkPolicy.

import type { Content } from './manifest-object.ts'
import type { Random } from './random.ts'
import { ciliumPolicy } from './synthetic-cilium-policies.ts'
import type { Application, Landscape } from './synthetic-landscape.ts'

const MOST_ADMINISTRATIVE = 20
/** Of the policies of applications. */
const CILIUM_ONE_IN = 7

export function syntheticPolicies(landscape: Landscape, count: number, choose: Random): Content[] {
  const defaults = landscape.namespaces.map(namespace => defaultDeny(namespace))
  const administrative = Array.from({ length: Math.min(MOST_ADMINISTRATIVE, Math.ceil(count / 50)) }, (_, i) =>
    clusterPolicy(landscape, i, choose),
  )
  const own = Array.from({ length: Math.max(0, count - defaults.length - administrative.length) }, (_, i) => {
    const application = landscape.applications[i % landscape.applications.length] as Application
    return (i % CILIUM_ONE_IN === 0 ? ciliumPolicy : applicationPolicy)(landscape, application, i, choose)
  })
  return [...defaults, ...administrative, ...own].slice(0, count)
}

const NETWORK_POLICY = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' }

/** Nothing in, nothing out but questions for names. */
const defaultDeny = (namespace: string): Content => ({
  ...NETWORK_POLICY,
  metadata: { namespace, name: 'default' },
  spec: {
    podSelector: {},
    policyTypes: ['Ingress', 'Egress'],
    egress: [
      {
        to: [{ namespaceSelector: {}, podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } } }],
        ports: [
          { protocol: 'UDP', port: 53 },
          { protocol: 'TCP', port: 53 },
        ],
      },
    ],
  },
})

function applicationPolicy(landscape: Landscape, own: Application, index: number, choose: Random): Content {
  const rules = (field: 'from' | 'to', most: number) =>
    Array.from({ length: 1 + choose.below(most) }, () => ({
      [field]: Array.from({ length: 1 + choose.below(3) }, () => peer(landscape, own, field, choose)),
      ports: ports(own, choose),
    }))
  const both = choose.oneIn(2)
  return {
    ...NETWORK_POLICY,
    metadata: { namespace: own.namespace, name: `${own.name}-${index}` },
    spec: {
      podSelector: { matchLabels: { 'app.kubernetes.io/name': own.name } },
      policyTypes: both ? ['Ingress', 'Egress'] : ['Ingress'],
      ingress: rules('from', 4),
      ...(both && { egress: rules('to', 3) }),
    },
  }
}

const OUTSIDE = [
  { cidr: '192.0.2.0/24' },
  { cidr: '198.51.100.0/24', except: ['198.51.100.64/26'] },
  { cidr: '203.0.113.0/28' },
  { cidr: '172.16.0.0/12', except: ['172.16.8.0/24', '172.20.0.0/16'] },
]

function peer(landscape: Landscape, own: Application, field: 'from' | 'to', choose: Random): object {
  const neighbour = choose.pick(landscape.applications)
  const named = { matchLabels: { 'app.kubernetes.io/name': neighbour.name } }
  switch (choose.below(8)) {
    case 0:
      return { namespaceSelector: { matchLabels: { team: choose.pick(landscape.teams) } } }
    case 1:
      return { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': neighbour.namespace } } }
    case 2:
      return { podSelector: { matchExpressions: [{ key: 'layer', operator: 'In', values: ['edge', own.layer] }] } }
    case 3:
      return { ipBlock: field === 'to' && choose.oneIn(3) ? EVERYWHERE_ELSE : choose.pick(OUTSIDE) }
    case 4:
    case 5:
      return {
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': neighbour.namespace } },
        podSelector: named,
      }
    default:
      return { podSelector: named }
  }
}

const EVERYWHERE_ELSE = { cidr: '0.0.0.0/0', except: ['10.0.0.0/8', '169.254.0.0/16'] }

function ports({ layer }: Application, choose: Random): object[] {
  const known = [
    { port: 'http' },
    { port: 'metrics' },
    { protocol: 'TCP', port: 443 },
    { protocol: 'TCP', port: 30_000 + choose.below(500), endPort: 30_500 + choose.below(2000) },
    { protocol: 'UDP', port: 8443 },
    layer === 'storage' ? { port: 'sql' } : { protocol: 'TCP', port: 8080 + choose.below(10) },
  ]
  return choose.oneIn(10) ? [] : choose.some(known, 1 + choose.below(3))
}

const ACTIONS = ['Accept', 'Deny', 'Pass']

function clusterPolicy({ teams }: Landscape, index: number, choose: Random): Content {
  const tier = index % 4 === 3 ? 'Baseline' : 'Admin'
  const team = () => ({ matchLabels: { team: choose.pick(teams) } })
  const peers = () => [
    choose.oneIn(2) ? { namespaces: team() } : { pods: { namespaceSelector: team(), podSelector: LAYER_SELECTOR } },
  ]
  const protocols = () => [
    choose.oneIn(4)
      ? { destinationNamedPort: 'metrics' }
      : { tcp: { destinationPort: { number: 9000 + choose.below(200) } } },
    { tcp: { destinationPort: { range: { start: 1, end: 1023 } } } },
  ]
  const rule = () => ({ action: choose.pick(ACTIONS), ...(!choose.oneIn(4) && { protocols: protocols() }) })
  return {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name: `cluster-${index}` },
    spec: {
      tier,
      priority: index * 10,
      subject: { namespaces: choose.oneIn(4) ? {} : team() },
      ingress: Array.from({ length: 1 + choose.below(4) }, () => ({ ...rule(), from: peers() })),
      egress: [
        { action: 'Deny', to: [{ networks: ['169.254.169.254/32'] }] },
        ...Array.from({ length: choose.below(3) }, () => ({ ...rule(), to: peers() })),
      ],
    },
  }
}

const LAYER_SELECTOR = { matchExpressions: [{ key: 'layer', operator: 'NotIn', values: ['storage'] }] }
