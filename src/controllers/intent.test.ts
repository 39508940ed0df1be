// From objects to intent rows, and what is wrong with them to `problems`: each problem
// stands there for as long as it is one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ManifestObject, type Problem, parseManifests, problemOf } from '../manifests/index.ts'
import { createTables } from '../tables/index.ts'
import { IntentController } from './intent.ts'
import { volatileMemory } from './memory.ts'

const CONTAINERS = 'containers: [{name: web, image: nginx}]'
const pod = (labels: string, more = ''): ManifestObject => {
  const text = `apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: ${labels}}\nspec: {${CONTAINERS}${more}}\n`
  const { objects } = parseManifests(text, 'web.yaml')
  return objects[0] ?? assert.fail(text)
}

function started() {
  const tables = createTables()
  const intent = new IntentController(tables, 'files', volatileMemory())
  const put = (object: ManifestObject): void => intent.apply({ put: [object], deleted: [] })
  const messages = (): string[] =>
    tables.problems
      .all()
      .map(({ message }) => message)
      .sort()
  return { tables, intent, put, messages }
}

test('what is wrong with an object goes with its correction; the last good row stays until then', () => {
  const { tables, put, messages } = started()
  put(pod('{app: web}'))
  assert.deepEqual(messages(), [])
  put(pod('{app: other}', ', hostNetwork: 7'))
  assert.equal(messages().length, 1)
  assert.deepEqual(tables.pods.get('shop/web')?.labels, { app: 'web' })
  put(pod('{app: other}'))
  assert.deepEqual(messages(), [])
  assert.deepEqual(tables.pods.get('shop/web')?.labels, { app: 'other' })
})

test('what the source reports of an object stays until the source takes it back', () => {
  const { intent, put, messages } = started()
  const again: Problem = problemOf(pod('{}'), 'error', [], 'is declared elsewhere too')
  put(pod('{}'))
  intent.report([again])
  put(pod('{app: web}'))
  assert.deepEqual(messages(), ['is declared elsewhere too'])
  intent.apply({ put: [], deleted: [pod('{}')] })
  assert.deepEqual(messages(), ['is declared elsewhere too'])
  intent.report([])
  assert.deepEqual(messages(), [])
})

const manifest = (text: string): ManifestObject => parseManifests(text, 'some.yaml').objects[0] ?? assert.fail(text)

const SLICE =
  'apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}'

const KINDS: readonly {
  readonly kind: string
  readonly good: string
  readonly bad: string
  readonly table: 'pods' | 'nodes' | 'policies' | 'services' | 'endpointSlices'
  readonly key: string
  readonly fault: RegExp
}[] = [
  {
    kind: 'Pod',
    good: `{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {${CONTAINERS}}}`,
    bad: '{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: web, ports: [{containerPort: 0}]}]}}',
    table: 'pods',
    key: 'default/web',
    fault: /^spec\.containers\[0\]\.ports\[0\]\.containerPort: /,
  },
  {
    kind: 'Node',
    good: '{apiVersion: v1, kind: Node, metadata: {name: node2}, status: {addresses: [{type: InternalIP, address: 172.30.0.3}]}}',
    bad: '{apiVersion: v1, kind: Node, metadata: {name: node2}, status: {addresses: [{type: InternalIP, address: 172.30.0}]}}',
    table: 'nodes',
    key: 'node2',
    fault: /^status\.addresses\[0\]\.address: /,
  },
  {
    kind: 'NetworkPolicy',
    good: '{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny}, spec: {podSelector: {}}}',
    bad: '{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny}, spec: {podSelector: 7}}',
    table: 'policies',
    key: 'NetworkPolicy/default/deny',
    fault: /^spec\.podSelector: /,
  },
  {
    kind: 'Service',
    good: '{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}}',
    bad: '{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.96.0.1, ports: [{port: 80000}]}}',
    table: 'services',
    key: 'default/web',
    fault: /^spec\.ports\[0\]\.port: /,
  },
  {
    kind: 'EndpointSlice',
    good: `{${SLICE}, addressType: IPv4, ports: [{port: 80}], endpoints: [{addresses: [10.0.0.1]}]}`,
    bad: `{${SLICE}, addressType: IPv4, ports: [{port: 80}], endpoints: [{addresses: 7}]}`,
    table: 'endpointSlices',
    key: 'default/web-1',
    fault: /^endpoints\[0\]\.addresses: /,
  },
]

for (const { kind, good, bad, table, key, fault } of KINDS)
  test(`a ${kind}: taken in, kept while it is faulty, told with its place, and taken away`, () => {
    const { tables, intent, put } = started()
    const isThere = () => tables[table].get(key) !== undefined
    put(manifest(bad))
    assert.equal(isThere(), false)
    put(manifest(good))
    assert.equal(isThere(), true)
    assert.equal(tables.problems.size, 0)
    const faulty = manifest(`# a comment\n${bad}`)
    put(faulty)
    assert.equal(isThere(), true)
    const [problem] = tables.problems.all()
    assert.match(problem?.message ?? '', fault)
    assert.deepEqual([problem?.file, problem?.line, problem?.severity], ['some.yaml', 2, 'error'])
    intent.apply({ put: [], deleted: [faulty] })
    assert.equal(isThere(), false)
    assert.equal(tables.problems.size, 0)
  })

test('a Namespace: taken in with its name as a label, changed, and taken away', () => {
  const { tables, intent, put } = started()
  const shop = (team: string) =>
    manifest(`{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: ${team}}}}`)
  put(shop('red'))
  assert.deepEqual(tables.namespaces.get('shop')?.labels, { team: 'red', 'kubernetes.io/metadata.name': 'shop' })
  put(shop('blue'))
  assert.equal(tables.namespaces.get('shop')?.labels['team'], 'blue')
  intent.apply({ put: [], deleted: [shop('blue')] })
  assert.equal(tables.namespaces.size, 0)
})

test('a kind that is not used is told as a warning; a policy that is not enforced is an error', () => {
  const { tables, put } = started()
  put(manifest('{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}'))
  put(manifest('{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: deny}, spec: {}}'))
  assert.deepEqual(
    tables.problems.all().map(({ object, severity }) => `${severity} ${object}`),
    ['warning ConfigMap default/settings', 'error NetworkPolicy default/deny'],
  )
})

test('an object of another API group is another object, though kind and name are the same', () => {
  const { tables, intent, put } = started()
  const ours = manifest(
    '{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny}, spec: {podSelector: {}, nonsense: 1}}',
  )
  const foreign = manifest(
    '{apiVersion: crd.projectcalico.org/v1, kind: NetworkPolicy, metadata: {name: deny}, spec: {}}',
  )
  put(ours)
  put(foreign)
  assert.deepEqual(
    tables.problems
      .all()
      .map(({ severity }) => severity)
      .sort(),
    ['error', 'warning'],
  )
  intent.apply({ put: [], deleted: [foreign] })
  assert.notEqual(tables.policies.get('NetworkPolicy/default/deny'), undefined)
  assert.deepEqual(
    tables.problems.all().map(({ severity }) => severity),
    ['warning'],
  )
})

test('a pod that has ended has no address any more', () => {
  const { tables, put } = started()
  for (const [phase, addresses] of Object.entries({
    Running: ['10.0.0.7'],
    Failed: [],
    Pending: ['10.0.0.7'],
    Succeeded: [],
  })) {
    put(
      manifest(
        `{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {${CONTAINERS}}, status: {phase: ${phase}, podIP: 10.0.0.7}}`,
      ),
    )
    assert.deepEqual(tables.pods.get('default/web')?.addresses, addresses, phase)
  }
})

test('all that comes in one call is one write', () => {
  const { tables, intent } = started()
  const before = tables.database.revision
  intent.apply({ put: KINDS.map(({ good }) => manifest(good)), deleted: [] })
  assert.equal(tables.database.revision, before + 1)
  assert.deepEqual(
    [tables.pods, tables.nodes, tables.policies, tables.services, tables.endpointSlices].map(({ size }) => size),
    [1, 1, 1, 1, 1],
  )
})

test('tables count as complete when the source says so, and not before', () => {
  const { tables, intent, put } = started()
  put(manifest(KINDS[0]?.good ?? ''))
  assert.equal(tables.pods.initialized, false)
  intent.initialized()
  const { pods, namespaces, nodes, policies, cidrGroups, services, endpointSlices, problems } = tables
  const filled = [pods, namespaces, nodes, policies, cidrGroups, services, endpointSlices, problems]
  assert.deepEqual(
    filled.filter(table => !table.initialized),
    [],
  )
})
