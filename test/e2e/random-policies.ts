// A small cluster and random policies for it, of namespaces and of the cluster: selectors of every form, blocks
// with pods' addresses in and out of them, ports by number, name and range.

import * as fc from 'fast-check'
import { networkPolicy } from './policies.ts'
import { ciliumPolicySet, POLICY_SERVICES } from './random-cilium-policies.ts'
import { namespaceManifest, podAt } from './support.ts'

type Labels = Readonly<Record<string, string>>

const NAMESPACES: Readonly<Record<string, Labels>> = {
  x: { team: 'one', stage: 'test' },
  y: { team: 'two', stage: 'test' },
  z: { team: 'two' },
}

/** Two of x have the same labels and stand on different sides of blocks; two have their ports' names the other way round. */
const PODS: readonly { key: string; labels: Labels; host: string; swapped?: boolean }[] = [
  { key: 'x/a', labels: { app: 'web', tier: 'front' }, host: '10' },
  { key: 'x/b', labels: { app: 'web', tier: 'front' }, host: '20' },
  { key: 'x/c', labels: { app: 'db' }, host: '21', swapped: true },
  { key: 'y/a', labels: { app: 'web', tier: 'back' }, host: '11' },
  { key: 'y/b', labels: { app: 'db', tier: 'back' }, host: '22', swapped: true },
  { key: 'z/a', labels: {}, host: '23' },
]

export const POD_KEYS: readonly string[] = PODS.map(({ key }) => key)

const addressesOf = (host: string) => [`10.244.1.${host}`, `fd00:10:244::${host}`] as const

/** Namespaces, pods, and the services that policies name; every pod answers on all of `PORTS`. @param relabelled labels instead of the usual ones, by pod */
export function clusterManifests(relabelled: Readonly<Record<string, Labels>> = {}): object[] {
  return [
    ...Object.entries(NAMESPACES).map(([name, labels]) => namespaceManifest(name, labels)),
    ...PODS.map(({ key, labels, host, swapped }) => {
      const ports = [80, 81].flatMap(port => {
        const name = (port === 80) === (swapped ?? false) ? 'second' : 'first'
        return ['TCP', 'UDP'].map(protocol => ({
          containerPort: port,
          protocol,
          name: `${name}-${protocol.toLowerCase()}`,
        }))
      })
      return podAt(key, addressesOf(host), { labels: relabelled[key] ?? labels, ports })
    }),
    ...POLICY_SERVICES,
  ]
}

/** To be asked of `policy reach` and `sandbox probe`. */
export const PORTS = '80/TCP,81/TCP,80/UDP,81/UDP,first-tcp/TCP,second-udp/UDP'

const label = fc.constantFrom(['app', 'web'], ['app', 'db'], ['tier', 'front'], ['tier', 'back'], ['app', 'none'])
const namespaceLabel = fc.constantFrom(
  ['team', 'one'],
  ['team', 'two'],
  ['stage', 'test'],
  ['kubernetes.io/metadata.name', 'x'],
  ['kubernetes.io/metadata.name', 'z'],
)

/** Labels that a pod may have for a while. */
export const podLabels: fc.Arbitrary<Labels> = fc
  .array(label, { maxLength: 2 })
  .map(pairs => Object.fromEntries(pairs.map(([key = '', value = '']) => [key, value])))

const selectorOf = (pair: typeof label | typeof namespaceLabel) =>
  fc.oneof(
    { weight: 1, arbitrary: fc.constant({}) },
    { weight: 4, arbitrary: pair.map(([key = '', value = '']) => ({ matchLabels: { [key]: value } })) },
    {
      weight: 3,
      arbitrary: fc.tuple(pair, fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist')).map(([pair, operator]) => {
        const [key, value] = pair
        return { matchExpressions: [{ key, operator, ...(operator.endsWith('In') && { values: [value, 'other'] }) }] }
      }),
    },
  )

const block = fc.constantFrom(
  { cidr: '10.244.1.10/32' },
  { cidr: '10.244.1.16/28' },
  { cidr: '10.244.1.0/24', except: ['10.244.1.20/31'] },
  { cidr: '10.244.0.0/16', except: ['10.244.1.8/29', '10.244.1.22/32'] },
  { cidr: '0.0.0.0/0' },
  { cidr: '0.0.0.0/0', except: ['10.244.1.10/32', '10.244.1.11/32'] },
  { cidr: '192.0.2.0/24' },
  { cidr: 'fd00:10:244::10/128' },
  { cidr: 'fd00:10:244::20/124' },
  { cidr: 'fd00:10:244::/64', except: ['fd00:10:244::20/127'] },
  { cidr: '::/0', except: ['fd00:10:244::10/124'] },
)

const peer = fc.oneof(
  selectorOf(label).map(podSelector => ({ podSelector })),
  selectorOf(namespaceLabel).map(namespaceSelector => ({ namespaceSelector })),
  fc.record({ namespaceSelector: selectorOf(namespaceLabel), podSelector: selectorOf(label) }),
  block.map(ipBlock => ({ ipBlock })),
)

const port = fc.oneof(
  fc.record({ port: fc.constantFrom(80, 81), protocol: fc.constantFrom('TCP', 'UDP', 'SCTP') }),
  fc.constantFrom<object>(
    { port: 'first-tcp' },
    { port: 'second-tcp', protocol: 'TCP' },
    { port: 'first-udp', protocol: 'UDP' },
    { port: 'second-udp', protocol: 'UDP' },
    { port: 'unknown' },
    { port: 80, endPort: 81 },
    { port: 81, endPort: 65535, protocol: 'UDP' },
    { port: 1, endPort: 80, protocol: 'UDP' },
    { protocol: 'TCP' },
    { protocol: 'UDP' },
  ),
)

/** Without peers or without ports it is as wide as it can be: not too often. */
const rule = (peers: 'from' | 'to') =>
  fc
    .tuple(
      fc.option(fc.array(peer, { minLength: 1, maxLength: 3 }), { freq: 5 }),
      fc.option(fc.array(port, { minLength: 1, maxLength: 3 }), { freq: 3 }),
    )
    .map(([list, ports]) => ({ ...(list && { [peers]: list }), ...(ports && { ports }) }))

const policy = fc.record({
  namespace: fc.constantFrom(...Object.keys(NAMESPACES)),
  podSelector: fc.oneof(fc.constant({}), selectorOf(label)),
  directions: fc.constantFrom('ingress', 'egress', 'both'),
  ingress: fc.array(rule('from'), { maxLength: 3 }),
  egress: fc.array(rule('to'), { maxLength: 3 }),
})

const podsPeer = fc.record({ namespaceSelector: selectorOf(namespaceLabel), podSelector: selectorOf(label) })
const clusterPods = fc.oneof(
  selectorOf(namespaceLabel).map(namespaces => ({ namespaces })),
  podsPeer.map(pods => ({ pods })),
)

const destination = fc.constantFrom({ number: 80 }, { number: 81 }, { range: { start: 80, end: 81 } })
const protocol = fc.oneof(
  fc.constantFrom('tcp', 'udp').chain(name => destination.map(destinationPort => ({ [name]: { destinationPort } }))),
  fc.constantFrom<object>({ destinationNamedPort: 'first-tcp' }, { destinationNamedPort: 'second-udp' }),
)

const action = fc.constantFrom('Accept', 'Deny', 'Pass')

const clusterRule = (peers: 'from' | 'to') =>
  fc
    .record({
      action,
      list: fc.array(clusterPods, { minLength: 1, maxLength: 2 }),
      protocols: fc.option(fc.array(protocol, { minLength: 1, maxLength: 2 }), { nil: undefined }),
    })
    .map(({ action, list, protocols }) => ({ action, [peers]: list, ...(protocols && { protocols }) }))

/** Without named ports, which addresses have none of. */
const networksRule = fc
  .record({ action, blocks: fc.uniqueArray(block, { minLength: 1, maxLength: 2, selector: ({ cidr }) => cidr }) })
  .map(({ action, blocks }) => ({ action, to: [{ networks: blocks.map(({ cidr }) => cidr) }] }))

/** Priority 0 is left to policies of tests that come before these. */
const clusterPolicy = fc.record({
  tier: fc.constantFrom('Admin', 'Baseline'),
  priority: fc.integer({ min: 1, max: 4 }),
  subject: clusterPods,
  ingress: fc.array(clusterRule('from'), { maxLength: 2 }),
  egress: fc.array(fc.oneof(clusterRule('to'), networksRule), { maxLength: 2 }),
})

/** Two to four NetworkPolicies and up to two ClusterNetworkPolicies. */
const kubernetesPolicySet: fc.Arbitrary<object[]> = fc
  .tuple(fc.array(policy, { minLength: 2, maxLength: 4 }), fc.array(clusterPolicy, { maxLength: 2 }))
  .map(([policies, clusterPolicies]) => [
    ...policies.map(({ namespace, podSelector, directions, ingress, egress }, i) =>
      networkPolicy(`${namespace}/policy-${i}`, {
        podSelector,
        ...(directions !== 'egress' && { ingress }),
        ...(directions !== 'ingress' && { egress }),
      }),
    ),
    ...clusterPolicies.map((spec, i) => ({
      apiVersion: 'policy.networking.k8s.io/v1alpha2',
      kind: 'ClusterNetworkPolicy',
      metadata: { name: `cluster-policy-${i}` },
      spec,
    })),
  ])

/** Policies of every kind that hold together; every other time with some of the Cilium kinds. */
export const policySet: fc.Arbitrary<object[]> = fc
  .tuple(kubernetesPolicySet, fc.oneof(fc.constant([]), ciliumPolicySet))
  .map(([policies, ciliumPolicies]) => [...policies, ...ciliumPolicies])
