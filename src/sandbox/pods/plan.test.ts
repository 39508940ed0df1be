// From a Pod to its processes: environment, users, and what the sandbox refuses.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type PodManifest, type PodSpec, restartKey } from './manifest.ts'
import { expand, type PodPlan, planPod } from './plan.ts'

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
    { name: 'NONE', valueFrom: { secretKeyRef: { name: 's', key: 'k', optional: true } } },
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
  assert.equal(reasonOf({ hostNetwork: true }), 'HostNetworkUnsupported')
  assert.equal(reasonOf({ containers: [{ name: 'c', image: 'shop:v1' }] }), 'ImageNotAvailable')
  const env = (valueFrom: unknown) => ({
    containers: [{ name: 'c', command: ['true'], env: [{ name: 'A', valueFrom }] }],
  })
  assert.equal(reasonOf(env({ secretKeyRef: { name: 's', key: 'k' } })), 'CreateContainerConfigError')
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
