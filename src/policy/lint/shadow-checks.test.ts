// What lint says of rules that do nothing is true: on random policies, a rule that it
// calls shadowed, a duplicate or contradicted can go, and no connection fares differently.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type ManifestObject, parseManifests } from '../../manifests/index.ts'
import { readCluster } from '../cluster/cluster-manifests.ts'
import { diffClusters } from '../diff/diff-clusters.ts'
import { lintManifests } from './lint.ts'
import { parsePath, valueAt } from './manifest-fields.ts'

const pod = (namespace: string, name: string, labels: object) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, labels },
  spec: { containers: [{ name: 'm', ports: [{ name: 'http', containerPort: 80 }] }] },
})
const CLUSTER = [
  pod('shop', 'web', { app: 'web', tier: 'front' }),
  pod('shop', 'db', { app: 'db' }),
  pod('ops', 'monitor', { app: 'monitor', tier: 'front' }),
]

const anySelector = fc.constantFrom(
  {},
  { matchLabels: { app: 'web' } },
  { matchLabels: { app: 'db' } },
  { matchLabels: { tier: 'front' } },
  { matchExpressions: [{ key: 'app', operator: 'In', values: ['web', 'monitor'] }] },
  { matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }] },
)
const anyBlock = fc.constantFrom(
  { cidr: '0.0.0.0/0' },
  { cidr: '10.0.0.0/8' },
  { cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] },
)
const anyPorts = fc.constantFrom(
  [],
  [{ port: 80 }],
  [{ port: 80 }, { port: 443 }],
  [{ port: 1, endPort: 99 }],
  [{ port: 'http' }],
  [{ port: 53, protocol: 'UDP' }],
)
const anyNetworkPolicyRule = fc.record({
  from: fc.array(
    fc.oneof(
      anySelector.map(podSelector => ({ podSelector })),
      fc.constant({ namespaceSelector: {} }),
      anyBlock.map(ipBlock => ({ ipBlock })),
    ),
    { maxLength: 2 },
  ),
  ports: anyPorts,
})
const anyNetworkPolicy = fc.record({
  podSelector: anySelector,
  policyTypes: fc.constant(['Ingress']),
  ingress: fc.array(anyNetworkPolicyRule, { minLength: 1, maxLength: 3 }),
})

const anyCiliumPorts = fc.constantFrom(
  {},
  { toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] },
  { toPorts: [{ ports: [{ port: '1', endPort: 99 }] }] },
)
const anyCiliumRule = fc
  .tuple(anySelector, anyCiliumPorts)
  .map(([selector, ports]) => ({ fromEndpoints: [selector], ...ports }))
const anyCiliumPolicy = fc.record({
  endpointSelector: anySelector,
  enableDefaultDeny: fc.constant({ ingress: true }),
  ingress: fc.array(anyCiliumRule, { minLength: 1, maxLength: 2 }),
  ingressDeny: fc.array(anyCiliumRule, { maxLength: 2 }),
})

const anyAdminRule = fc.record({
  action: fc.constantFrom('Accept', 'Deny', 'Pass'),
  from: anySelector.map(podSelector => [{ pods: { namespaceSelector: {}, podSelector } }]),
  protocols: fc.constantFrom(
    [{ tcp: { destinationPort: { number: 80 } } }],
    [{ tcp: { destinationPort: { range: { start: 1, end: 99 } } } }],
  ),
})
const anyAdminPolicy = fc.record({
  tier: fc.constantFrom('Admin', 'Baseline'),
  priority: fc.constantFrom(1, 2),
  subject: anySelector.map(podSelector => ({ pods: { namespaceSelector: {}, podSelector } })),
  ingress: fc.array(anyAdminRule, { minLength: 1, maxLength: 3 }),
})

const kinds = [
  { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', namespace: 'shop', spec: anyNetworkPolicy },
  { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', namespace: 'shop', spec: anyCiliumPolicy },
  {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    namespace: undefined,
    spec: anyAdminPolicy,
  },
]
const anyPolicy = fc.oneof(
  ...kinds.map(({ apiVersion, kind, namespace, spec }) =>
    (spec as fc.Arbitrary<object>).map(content => ({ apiVersion, kind, namespace, spec: content })),
  ),
)
const anyPolicies = fc.array(anyPolicy, { minLength: 1, maxLength: 4 }).map(list =>
  list.map(({ namespace, ...object }, i) => ({
    ...object,
    metadata: { name: `p${i}`, ...(namespace && { namespace }) },
  })),
)

function read(contents: readonly object[]): readonly ManifestObject[] {
  const { objects, problems } = parseManifests(
    contents.map(content => JSON.stringify(content)).join('\n---\n'),
    'm.yaml',
  )
  const errors = [...problems, ...readCluster(objects).problems].filter(({ severity }) => severity === 'error')
  assert.deepEqual(errors, [])
  return objects
}

/** The objects without one rule. */
function without(objects: readonly ManifestObject[], name: string | undefined, path: string): object[] {
  return objects.map(({ content, kind, metadata }) => {
    if (!name?.startsWith(`${kind} `) || !name.endsWith(metadata.name)) return content
    const copy = structuredClone(content)
    const parts = parsePath(path)
    const list = valueAt(copy, parts.slice(0, -1))
    assert.ok(Array.isArray(list) && typeof parts.at(-1) === 'number')
    // A Cilium policy must keep a rule; an empty one matches nobody.
    list.splice(parts.at(-1) as number, 1, ...(kind === 'CiliumNetworkPolicy' ? [{}] : []))
    return copy
  })
}

test('a rule that is called shadowed, a duplicate or contradicted changes nothing', () => {
  let told = 0
  fc.assert(
    fc.property(anyPolicies, policies => {
      const objects = read([...CLUSTER, ...policies])
      const before = readCluster(objects).cluster
      for (const { id, object, path = '' } of lintManifests(objects)) {
        if (id !== 'shadowed' && id !== 'duplicate' && id !== 'contradiction') continue
        told++
        const after = readCluster(read(without(objects, object, path)), { like: before }).cluster
        const changed = diffClusters(before, after).pairs.map(({ from, to }) => `${from} → ${to}`)
        assert.deepEqual(changed, [], `${object} ${path}`)
      }
    }),
    { numRuns: 150 },
  )
  assert.ok(told > 50, `only ${told} findings`)
})
