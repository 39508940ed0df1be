// What a CNI plugin waits for: from the request for a pod's network to the answer, which comes when the pod's policy is
// enforced on its packets. 50 pods are there already; the namespace is fresh and its Pod known. And the way back.

import { randomUUID } from 'node:crypto'
import { createNamespace, type Namespace } from '../../src/net/index.ts'
import { type Line, plainLine, type Section } from '../harness/result.ts'
import { median, quantile } from '../harness/statistics.ts'
import { foreignPodManifest, NAMESPACE, podManifest } from '../testbed/manifests.ts'
import type { Testbed } from '../testbed/testbed.ts'
import { type Context, PODS, type TestbedMeasurement } from './measurement.ts'

const TARGET_MS = 15

type Kind = {
  readonly id: string
  readonly text: string
  readonly labels: (index: number) => Readonly<Record<string, string>>
}

const KINDS: readonly Kind[] = [
  { id: 'new-labels', text: 'new labels: an identity to allocate', labels: index => ({ app: `fresh-${index}` }) },
  { id: 'known-labels', text: 'labels of another pod', labels: () => podManifest(1).metadata.labels },
]

export const measureEndpointReady: TestbedMeasurement = async (testbed, context) => {
  const lines: Line[] = []
  for (const kind of KINDS) {
    context.say(`endpoints, ${kind.text}`)
    lines.push(...(await measureKind(testbed, context, kind)))
  }
  return { name: 'endpoint-ready', title: `Endpoint added → ready, ${PODS} pods there`, lines } satisfies Section
}

async function measureKind(testbed: Testbed, { effort, signal }: Context, kind: Kind): Promise<Line[]> {
  const names = Array.from({ length: effort.endpoints }, (_, i) => `${kind.id}-${i}`)
  testbed.apply('foreign-pods', ...names.map((name, i) => foreignPodManifest(name, kind.labels(i))))
  await testbed.until(
    'the agent knows the pods',
    async ({ agent }) => (await countPods(agent)) >= PODS + names.length,
    signal,
  )
  await testbed.untilSettled(signal)
  const addMs: number[] = []
  const deleteMs: number[] = []
  using owned = new DisposableStack()
  const endpoints = names.map(name => ({
    name,
    namespace: owned.use(createNamespace()),
    containerId: randomUUID().replaceAll('-', ''),
  }))
  // All are added before the first is deleted: the end of a namespace holds the kernel's lock on devices for a while, and
  // what is to be measured is an endpoint that is added, not one that waits for another's end.
  for (const { name, namespace, containerId } of endpoints) {
    signal.throwIfAborted()
    addMs.push(await timed(() => testbed.agent.addEndpoint(requestFor(name, containerId, namespace), signal)))
  }
  await testbed.untilLinked(signal)
  for (const { containerId } of endpoints)
    deleteMs.push(await timed(() => testbed.agent.deleteEndpoint(containerId, signal)))
  testbed.remove('foreign-pods')
  await testbed.until('the agent has forgotten them', async ({ agent }) => (await countPods(agent)) === PODS, signal)
  return describe(kind, addMs, deleteMs)
}

function describe({ id, text }: Kind, addMs: readonly number[], deleteMs: readonly number[]): Line[] {
  const target = { kind: 'at most', value: TARGET_MS } as const
  const common = { unit: 'ms' } as const
  return [
    plainLine(
      { ...common, id: `endpoint-ready/${id}/p50`, text: `${text}, p50`, target, samples: { addMs } },
      median(addMs),
    ),
    plainLine({ ...common, id: `endpoint-ready/${id}/p99`, text: `${text}, p99` }, quantile(addMs, 0.99)),
    plainLine(
      { ...common, id: `endpoint-ready/${id}/delete`, text: `${text}, deleted again, p50`, samples: { deleteMs } },
      median(deleteMs),
    ),
  ]
}

const requestFor = (name: string, containerId: string, namespace: Namespace) => ({
  containerId,
  netns: `/proc/${process.pid}/fd/${namespace.fd}`,
  interface: 'eth0',
  pod: { namespace: NAMESPACE, name },
})

async function countPods(agent: Testbed['agent']): Promise<number> {
  return (await agent.status()).counts['pods'] ?? 0
}

async function timed(action: () => Promise<unknown>): Promise<number> {
  const before = performance.now()
  await action()
  return performance.now() - before
}
