// 100,000 pods with a label of their own each: as many identities as policies can tell
// apart, whatever controllers write on pods.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LocalIdentityAllocator, labelValue } from '../labels/index.ts'
import { type Policy, ReferenceCounts, readPolicy } from '../policy/index.ts'
import { manifestObject } from '../policy/testing/manifest-object.ts'
import type { Pod } from '../tables/index.ts'
import { podRow } from '../tables/testing/rows.ts'
import { planAddresses } from './identities.ts'
import { type Assignment, IdentityHolder } from './identity-holder.ts'
import { PodLabels } from './pod-labels.ts'

const PODS = 100_000
const APPLICATIONS = 5
const JOBS = 2000
/** The two of the world and that of the node. */
const OTHERS = 3

/** Keys with a value for each pod, revision, task or job, as the controllers of these systems write them. */
const UNIQUE_KEYS = [
  'pod-template-hash',
  'pod-template-generation',
  'controller-revision-hash',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  'controller-uid',
  'batch.kubernetes.io/controller-uid',
  'batch.kubernetes.io/job-completion-index',
  'jobset.sigs.k8s.io/jobset-uid',
  'jobset.sigs.k8s.io/job-index',
  'jobset.sigs.k8s.io/job-global-index',
  'jobset.sigs.k8s.io/job-key',
  'leaderworkerset.sigs.k8s.io/group-index',
  'leaderworkerset.sigs.k8s.io/group-key',
  'leaderworkerset.sigs.k8s.io/worker-index',
  'leaderworkerset.sigs.k8s.io/template-revision-hash',
  'rollouts-pod-template-hash',
  'workflows.argoproj.io/workflow',
  'tekton.dev/pipelineRun',
  'tekton.dev/pipelineRunUID',
  'tekton.dev/taskRun',
  'tekton.dev/taskRunUID',
  'spark-app-selector',
  'spark-exec-id',
  'run_id',
]
const JOB_KEYS = ['job-name', 'batch.kubernetes.io/job-name']

const labelsOf = (index: number): Record<string, string> => ({
  app: `app-${index % APPLICATIONS}`,
  [JOB_KEYS[index % 2] as string]: `job-${index % JOBS}`,
  [UNIQUE_KEYS[index % UNIQUE_KEYS.length] as string]: `unique-${index}`,
})

const PODS_DECLARED: readonly Pod[] = Array.from({ length: PODS }, (_, i) =>
  podRow(`p${i}`, { labels: labelsOf(i), addresses: [`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`] }),
)

const FACTS = {
  pods: PODS_DECLARED,
  endpoints: [],
  nodes: [],
  ownNode: { name: 'node1', addresses: ['172.30.0.2'] },
  namespaceLabels: (): Readonly<Record<string, string>> => NO_LABELS,
  isAudited: () => false,
  learnt: new Map(),
}
const NO_LABELS = {}

/** Pods with this label are selected, and are let in by others with it. */
function policyBy(label: string, value: string): Policy {
  const matchLabels = { [label]: value }
  const spec = { podSelector: { matchLabels }, ingress: [{ from: [{ podSelector: { matchLabels } }] }] }
  const content = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', spec }
  const read = readPolicy(manifestObject({ ...content, metadata: { name: 'by-label', namespace: 'shop' } }))
  assert.ok(read?.value)
  return read.value
}

class Node {
  readonly references = new ReferenceCounts()
  readonly #podLabels = new PodLabels()
  readonly #holder = new IdentityHolder(new LocalIdentityAllocator({ now: () => 0 }))

  assign(): Assignment {
    const plan = planAddresses(FACTS, this.references, this.#podLabels)
    const assignment = this.#holder.assign(plan)
    assignment.release()
    assert.deepEqual(assignment.unnumbered, [])
    assert.equal(assignment.addresses.length, PODS + OTHERS)
    return assignment
  }
}

/** How many identities carry a key. */
const withKey = ({ identities }: Assignment, key: string): number =>
  [...identities.values()].filter(labels => labelValue(labels, 'k8s', key) !== undefined).length

test('100,000 pods with labels of their own are as many identities as policies can tell apart', async t => {
  const node = new Node()
  const before = node.assign().identities

  await t.test('unique job and hash labels: as many as there are applications', () => {
    assert.equal(before.size, APPLICATIONS + OTHERS)
    const policy = policyBy('app', 'app-1')
    node.references.add(policy)
    assert.equal(node.assign().identities.size, APPLICATIONS + OTHERS, 'also when policies select by other labels')
    node.references.remove(policy)
  })

  await t.test('a policy that names such a key makes identities for it alone, and takes them away with it', () => {
    const policy = policyBy('job-name', 'job-4')
    node.references.add(policy)
    const named = node.assign()
    // The pods of even index have the key: every job with an even number, each of one application.
    assert.equal(withKey(named, 'job-name'), JOBS / 2)
    for (const key of [...UNIQUE_KEYS, 'batch.kubernetes.io/job-name']) assert.equal(withKey(named, key), 0, key)
    // The others of each application have no such label, and stay one identity.
    assert.equal(named.identities.size, JOBS / 2 + APPLICATIONS + OTHERS)
    node.references.remove(policy)
    assert.deepEqual(new Set(node.assign().identities.keys()), new Set(before.keys()))
  })
})

test('each of those keys makes identities once a policy names it', () => {
  const pods = UNIQUE_KEYS.concat(JOB_KEYS).flatMap((key, i) =>
    ['one', 'two'].map((value, j) =>
      podRow(`${i}-${value}`, { labels: { app: 'a', [key]: value }, addresses: [`10.0.${i}.${j}`] }),
    ),
  )
  for (const key of UNIQUE_KEYS.concat(JOB_KEYS)) {
    const references = new ReferenceCounts()
    references.add(policyBy(key, 'one'))
    const { claims } = planAddresses({ ...FACTS, pods }, references, new PodLabels())
    const kinds = new Set([...claims.values()].filter(({ owner }) => owner.startsWith('pod ')).map(c => c.labels.key))
    assert.equal(kinds.size, 3, `${key}: one, two, and all without it`)
  }
})
