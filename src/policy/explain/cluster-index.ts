// What explanations look up in a cluster again and again: its pods by namespace and
// labels, its policies by whom they select. Made once for each cluster, which never
// changes.

import { type LabelSet, SelectorIndex } from '../../labels/index.ts'
import type { Cluster, ClusterPod } from '../cluster/cluster.ts'
import { NamedPeers } from '../engine/named-peers.ts'
import type { Policy, PolicySpec } from '../model/rule.ts'

/** Pods with the same labels. */
export type PodGroup = { readonly labels: LabelSet; readonly pods: readonly ClusterPod[] }

/** A spec, of a policy with what its CIDR groups and services stand for, that selects a pod. */
export type SelectingSpec = { readonly spec: PolicySpec; readonly policy: Policy }

type Index = {
  readonly groups: ReadonlyMap<string, ReadonlyMap<string, PodGroup>>
  readonly specs: SelectorIndex<SelectingSpec>
  readonly selecting: Map<string, readonly SelectingSpec[]>
}

const indexes = new WeakMap<Cluster, Index>()

/** Pods of a namespace that policies can be for, each once. */
export function podGroups(cluster: Cluster, namespace: string): Iterable<PodGroup> {
  return indexOf(cluster).groups.get(namespace)?.values() ?? []
}

/** What is in force at pods with these labels, in the order of the cluster's policies. */
export function specsSelecting(cluster: Cluster, labels: LabelSet): readonly SelectingSpec[] {
  if (cluster.repository.enforcement === 'never') return []
  const { specs, selecting } = indexOf(cluster)
  const known = selecting.get(labels.key)
  if (known) return known
  const found = [...specs.matching(labels)]
  selecting.set(labels.key, found)
  return found
}

function indexOf(cluster: Cluster): Index {
  const known = indexes.get(cluster)
  if (known) return known
  const { policies } = cluster.content
  const named = new NamedPeers(cluster.content)
  const specs = new SelectorIndex<SelectingSpec>()
  for (const policy of policies.map(each => named.expand(each)))
    for (const spec of policy.specs) specs.set({ spec, policy }, spec.subject)
  const index = { groups: groupsOf(cluster), specs, selecting: new Map<string, readonly SelectingSpec[]>() }
  indexes.set(cluster, index)
  return index
}

function groupsOf(cluster: Cluster): Index['groups'] {
  const groups = new Map<string, Map<string, { readonly labels: LabelSet; readonly pods: ClusterPod[] }>>()
  for (const pod of cluster.content.pods) {
    if (pod.hostNetwork) continue
    const labels = cluster.podLabels(pod)
    const ofNamespace = groups.get(pod.namespace) ?? new Map<string, { labels: LabelSet; pods: ClusterPod[] }>()
    groups.set(pod.namespace, ofNamespace)
    const known = ofNamespace.get(labels.key)
    if (known) known.pods.push(pod)
    else ofNamespace.set(labels.key, { labels, pods: [pod] })
  }
  return groups
}
