// The ends of a connection as a policy can name them: a pod by its namespace and all of
// its labels, so that it selects nobody whose labels differ; anything else by address.

import { formatIp } from '../../ip/index.ts'
import { isInternalKey, type LabelSet } from '../../labels/index.ts'
import type { Cluster, ClusterPod, End } from '../cluster/cluster.ts'
import { type PodGroup, podGroups } from './cluster-index.ts'

export type PodTarget = {
  readonly kind: 'pod'
  readonly namespace: string
  /** A Kubernetes selector of labels. */
  readonly selector: {
    readonly matchLabels?: Readonly<Record<string, string>>
    readonly matchExpressions?: readonly { readonly key: string; readonly operator: 'DoesNotExist' }[]
  }
  /** Whom it selects: pods of the namespace whose own labels are the same. */
  readonly groups: readonly PodGroup[]
}

export type Target =
  | PodTarget
  /** One address; `isWorld` where nobody of the cluster has it. */
  | { readonly kind: 'address'; readonly cidr: string; readonly isWorld: boolean; readonly end: End }
  /** Every address outside the cluster; `end` stands for them. */
  | { readonly kind: 'world'; readonly end: End }

export function targetOf(cluster: Cluster, end: End, isWholeWorld: boolean): Target {
  if (end.kind === 'pod') return podTarget(cluster, end.pod)
  if (isWholeWorld) return { kind: 'world', end }
  const prefixLength = end.address.family === 4 ? 32 : 128
  const cidr = `${formatIp(end.address.bytes)}/${prefixLength}`
  return { kind: 'address', cidr, isWorld: end.kind === 'world', end }
}

function podTarget(cluster: Cluster, pod: ClusterPod): PodTarget {
  const own = ownLabels(cluster.podLabels(pod))
  const groups: PodGroup[] = []
  /** The labels that others have beside the pod's own. */
  const wider: (readonly string[])[] = []
  for (const group of podGroups(cluster, pod.namespace)) {
    const other = ownLabels(group.labels)
    if ([...own].some(([key, value]) => other.get(key) !== value)) continue
    if (other.size === own.size) groups.push(group)
    else wider.push([...other.keys()].filter(key => !own.has(key)))
  }
  const absent = coveringKeys(wider)
  const selector = {
    ...(own.size > 0 && { matchLabels: Object.fromEntries(own) }),
    ...(absent.length > 0 && {
      matchExpressions: absent.map(key => ({ key, operator: 'DoesNotExist' as const })),
    }),
  }
  return { kind: 'pod', namespace: pod.namespace, selector, groups }
}

/** Labels of the pod itself, as a podSelector sees them; those with a value per pod only where a policy names them. */
function ownLabels({ labels }: LabelSet): Map<string, string> {
  return new Map(
    labels
      .filter(({ source, key }) => source === 'pod' || (source === 'k8s' && !isInternalKey(key)))
      .map(({ key, value }) => [key, value]),
  )
}

/** Few keys of which every list has one. */
function coveringKeys(lists: readonly (readonly string[])[]): string[] {
  const keys: string[] = []
  for (let open = lists; open.length > 0; ) {
    const counts = new Map<string, number>()
    for (const key of open.flat()) counts.set(key, (counts.get(key) ?? 0) + 1)
    const [best] = [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
    if (!best) break
    const [key] = best
    keys.push(key)
    open = open.filter(list => !list.includes(key))
  }
  return keys.sort()
}
