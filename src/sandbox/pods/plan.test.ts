// From a Pod to its processes: environment, users, and what the sandbox refuses.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifests } from '../../manifests/index.ts'
import { type EnvironmentVariable, type PodManifest, type PodSpec, readPodManifest, restartKey } from './manifest.ts'
import { expand, type PodPlan, planPod, resolverOf } from './plan.ts'

const CONTEXT = { node: 'node1', hostAddress: '172.30.0.2', addresses: ['10.244.0.5', 'fd00::5'] }

function podOf(spec: Partial<PodSpec>): PodManifest {
  const containers = [{ name: 'c', command: ['true'] }]
  const labels = { app: 'web' }
  return {
    namespace: 'x',
    name: 'a',
    uid: 'u1',
    labels,
    annotations: {},
    namedPorts: [],
    requestedAddresses: [],
    spec: { containers, ...spec },
  }
}

function planOf(spec: Partial<PodSpec>): PodPlan {
  const planned = planPod(podOf(spec), CONTEXT)
  assert.ok('plan' in planned)
  return planned.plan
}

function reasonOf(spec: Partial<PodSpec>): string {
  const planned = planPod(podOf(spec), CONTEXT)
  assert.ok('refused' in planned)
  return planned.refused.reason
}

test('a pod gets what Kubernetes gives one that says nothing', () => {
  const plan = planOf({})
  assert.equal(plan.restartPolicy, 'Always')
  assert.equal(plan.gracePeriodMs, 30_000)
  assert.equal(plan.hostname, 'a')
  const [container] = plan.containers
  assert.deepEqual([container?.uid, container?.gid, container?.directory], [0, 0, '/'])
  assert.equal(container?.environment['AXONEME_POD'], 'x/a')
})

test('variables come from values, other variables and fields', () => {
  const env = [
    { name: 'PORT', value: '80' },
    { name: 'URL', value: 'http://$(IP):$(PORT)/$(MISSING)' },
    { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
    { name: 'LATE', value: '$(IP) $$(IP)' },
    { name: 'APP', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
    { name: 'NONE', valueFrom: { secretKeyRef: { optional: true } } },
  ]
  const plan = planOf({ containers: [{ name: 'c', command: ['echo', '$(APP)'], args: ['$(PORT)'], env }] })
  const [container] = plan.containers
  assert.deepEqual(container?.argv, ['echo', 'web', '80'])
  const { environment } = container
  // As in Kubernetes, a variable sees only those before it.
  assert.equal(environment['URL'], 'http://$(IP):80/$(MISSING)')
  assert.equal(environment['LATE'], '10.244.0.5 $(IP)')
  assert.ok(!('NONE' in environment))
})

test("a container's user wins over its pod's, and its group follows", () => {
  const containers = [
    { name: 'one', command: ['true'] },
    { name: 'two', command: ['true'], securityContext: { runAsUser: 7, runAsGroup: 8 } },
  ]
  const plan = planOf({ containers, securityContext: { runAsUser: 5 } })
  assert.deepEqual(
    plan.containers.map(({ uid, gid }) => [uid, gid]),
    [
      [5, 5],
      [7, 8],
    ],
  )
})

test('what cannot run as written is refused with its reason', () => {
  assert.equal(reasonOf({ containers: [{ name: 'c', image: 'shop:v1' }] }), 'ImageNotAvailable')
  type Source = NonNullable<EnvironmentVariable['valueFrom']>
  const env = (valueFrom: Source) => ({
    containers: [{ name: 'c', command: ['true'], env: [{ name: 'A', valueFrom }] }],
  })
  assert.equal(reasonOf(env({ secretKeyRef: {} })), 'CreateContainerConfigError')
  assert.equal(reasonOf(env({ fieldRef: { fieldPath: 'spec.nothing' } })), 'CreateContainerConfigError')
})

test('expansion is that of Kubernetes', () => {
  assert.equal(expand('$(A)$(B)$$(A)$A$$', { A: 'x' }), 'x$(B)$(A)$A$')
})

test('only a change of spec, identity or address needs another pod', () => {
  const pod = podOf({})
  const key = restartKey(pod)
  assert.equal(restartKey({ ...pod, labels: { other: 'label' }, annotations: { b: 'c' } }), key)
  assert.equal(restartKey({ ...pod, spec: { restartPolicy: undefined, ...pod.spec } }), key)
  assert.notEqual(restartKey({ ...pod, spec: { ...pod.spec, hostname: 'b' } }), key)
  assert.notEqual(restartKey({ ...pod, uid: 'u2' }), key)
  assert.notEqual(restartKey({ ...pod, requestedAddresses: ['10.244.0.9'] }), key)
})

const read = (text: string) => {
  const [object] = parseManifests(text, 'pod.yaml').objects
  assert.ok(object)
  return readPodManifest(object)
}

test('a manifest is read with what only the sandbox needs', () => {
  const { pod, problems } = read(`
apiVersion: v1
kind: Pod
metadata: { name: a, namespace: x, labels: { app: web } }
spec:
  hostname: other
  initContainers:
  - { name: i, command: [ls], restartPolicy: Always, ports: [{ name: dns, containerPort: 53, protocol: UDP }] }
  containers:
  - name: c
    image:
    command: [sh]
    securityContext: { runAsUser: 5, privileged: false }
    env:
    - { name: IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
    ports: [{ name: http, containerPort: 80 }]
status: { podIPs: [{ ip: 10.244.0.9 }] }
`)
  assert.deepEqual(problems, [])
  assert.ok(pod)
  assert.deepEqual(pod.namedPorts, [
    { name: 'dns', protocol: 'UDP', port: 53 },
    { name: 'http', protocol: 'TCP', port: 80 },
  ])
  assert.deepEqual(pod.requestedAddresses, ['10.244.0.9'])
  const planned = planPod(pod, CONTEXT)
  assert.ok('plan' in planned)
  assert.equal(planned.plan.hostname, 'other')
  assert.equal(planned.plan.initContainers[0]?.sidecar, true)
  const [container] = planned.plan.containers
  assert.deepEqual([container?.uid, container?.environment['IP']], [5, '10.244.0.5'])
})

const resolverCases: { name: string; dns: string; want: readonly string[] }[] = [
  { name: 'none', dns: '', want: ['# This sandbox serves no names.', 'options timeout:1 attempts:1'] },
  {
    name: 'all of it',
    dns: 'dnsConfig: {nameservers: [10.96.0.10, "fd00::a"], searches: [a.b, b], options: [{name: ndots, value: "5"}, {name: edns0}]}',
    want: ['nameserver 10.96.0.10', 'nameserver fd00::a', 'search a.b b', 'options timeout:1 attempts:1 ndots:5 edns0'],
  },
]

for (const { name, dns, want } of resolverCases)
  test(`a pod asks the DNS servers of its dnsConfig: ${name}`, () => {
    const { pod } = read(`apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers: [{name: c}]\n  ${dns}\n`)
    assert.ok(pod)
    assert.equal(resolverOf(pod), `${want.join('\n')}\n`)
  })

test('a DNS server is an address', () => {
  const dns = 'dnsConfig: {nameservers: ["1.2.3.4\\noptions rotate"]}'
  const { pod, problems } = read(
    `apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers: [{name: c}]\n  ${dns}\n`,
  )
  assert.equal(pod, undefined)
  assert.deepEqual(
    problems.map(({ path }) => path),
    ['spec.dnsConfig.nameservers[0]'],
  )
})

test('a field that only the sandbox reads is checked too, with its place', () => {
  const { pod, problems } = read(
    'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers: [{name: c}]\n  hostname: 5\n',
  )
  assert.equal(pod, undefined)
  assert.deepEqual(
    problems.map(({ severity, line, path }) => [severity, line, path]),
    [['error', 6, 'spec.hostname']],
  )
})
