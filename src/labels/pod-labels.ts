// The labels of pods, nodes and addresses, from what Kubernetes says of them. A pod
// cannot forge what is not its own to say: its namespace, the labels of the namespace,
// its service account and the cluster have keys that its own labels never take.

import type { Cidr, IpAddress, PrefixTrie } from '../ip/index.ts'
import { isInternalKey, KEYS, type Label } from './label.ts'
import { type LabelSet, labelSet, withLabels } from './label-set.ts'
import { type NamedPort, portLabels } from './named-port.ts'

/** What of a pod makes its identity. */
export type PodFacts = {
  readonly namespace: string
  readonly namespaceLabels: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  /** `default` when absent. */
  readonly serviceAccount?: string | undefined
  /** `default` when absent. */
  readonly cluster?: string | undefined
}

/**
 * Identity labels of a pod, without those of its addresses and ports.
 *
 * A label whose key has a value per pod or per job is left out, and so is one whose key is an internal name, unless a
 * policy names the key (`keptKeys`): identities are counted in what policies can tell apart. A pod's own label under
 * an internal name has the source `pod`, where only a Kubernetes podSelector that names the key sees it.
 */
export function podLabels(pod: PodFacts, keptKeys: ReadonlySet<string> = NO_KEYS): LabelSet {
  const labels: Label[] = [
    { source: 'k8s', key: KEYS.namespace, value: pod.namespace },
    { source: 'k8s', key: KEYS.serviceAccount, value: pod.serviceAccount || 'default' },
    { source: 'k8s', key: KEYS.cluster, value: pod.cluster ?? 'default' },
  ]
  for (const [key, value] of Object.entries({ ...pod.namespaceLabels, [NAMESPACE_NAME_LABEL]: pod.namespace }))
    labels.push({ source: 'k8s', key: `${KEYS.namespaceLabelPrefix}${key}`, value })
  for (const [key, value] of Object.entries(pod.labels))
    if (keptKeys.has(key) || !(isInternalKey(key) || isHighCardinality(key)))
      labels.push({ source: isInternalKey(key) ? 'pod' : 'k8s', key, value })
  return labelSet(labels)
}

const NO_KEYS: ReadonlySet<string> = new Set()

/** The API server puts it on every namespace and lets nobody change it. */
const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name'

/** Labels of a pod that internal names shadow, to warn of. */
export function shadowedKeys(labels: Readonly<Record<string, string>>): string[] {
  return Object.keys(labels).filter(isInternalKey)
}

/** Whether a pod label's key has a value per pod, revision or job, as controllers set it. */
export function isHighCardinality(key: string): boolean {
  return HIGH_CARDINALITY_KEYS.has(key)
}

const HIGH_CARDINALITY_KEYS: ReadonlySet<string> = new Set([
  // Deployment, DaemonSet, StatefulSet
  'pod-template-hash',
  'pod-template-generation',
  'controller-revision-hash',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  // Job, under its old and new names
  'job-name',
  'controller-uid',
  'batch.kubernetes.io/job-name',
  'batch.kubernetes.io/controller-uid',
  'batch.kubernetes.io/job-completion-index',
  // JobSet, LeaderWorkerSet
  'jobset.sigs.k8s.io/jobset-uid',
  'jobset.sigs.k8s.io/job-index',
  'jobset.sigs.k8s.io/job-global-index',
  'jobset.sigs.k8s.io/job-key',
  'leaderworkerset.sigs.k8s.io/group-index',
  'leaderworkerset.sigs.k8s.io/group-key',
  'leaderworkerset.sigs.k8s.io/worker-index',
  'leaderworkerset.sigs.k8s.io/template-revision-hash',
  // Workflow and batch systems that make a pod per task
  'rollouts-pod-template-hash',
  'workflows.argoproj.io/workflow',
  'tekton.dev/pipelineRun',
  'tekton.dev/pipelineRunUID',
  'tekton.dev/taskRun',
  'tekton.dev/taskRunUID',
  'spark-app-selector',
  'spark-exec-id',
  'run_id',
])

/** What policies name beyond labels, and identities therefore have to tell apart. */
export type AddressReferences = {
  /** The prefixes and exceptions of all policies. */
  readonly prefixes: PrefixTrie<unknown>
  /** `NAME/PROTOCOL` of the named ports in egress rules. */
  readonly egressNamedPorts: ReadonlySet<string>
}

/**
 * Labels of an address, or of a prefix of the world: the labels of what stands there, each referenced prefix that covers
 * it, and the referenced named ports. Two pods with equal labels therefore differ where a policy's block holds only one.
 */
export function addressLabels(
  base: LabelSet,
  address: IpAddress | Cidr,
  references: AddressReferences,
  namedPorts: readonly NamedPort[] = [],
): LabelSet {
  const cidrs = references.prefixes.covering(address).map(({ prefix }) => cidrLabel(prefix))
  return withLabels(base, [...cidrs, ...portLabels(namedPorts, references.egressNamedPorts)])
}

/** The label of an address outside the cluster that names were answered with which this selector selects. */
export function nameLabel(nameSelector: string): Label {
  return { source: 'fqdn', key: nameSelector, value: '' }
}

/** The label of a prefix that covers an address. */
export function cidrLabel(prefix: Cidr): Label {
  return { source: 'cidr', key: prefix.text, value: '' }
}
