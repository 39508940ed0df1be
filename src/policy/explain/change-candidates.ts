// Policy objects that might turn a verdict round at one end of a connection, from the
// one that is least to ask for to the one that is most. Whether an object does it, and
// what else it does, is for others to find out.

import { isInternalKey, protocolName, TRANSPORTS } from '../../labels/index.ts'
import type { ClusterPod } from '../cluster/cluster.ts'
import { AUDIT_ANNOTATION, PRIORITY_ANNOTATION, TIER_ANNOTATION } from '../kinds/annotations.ts'
import { CILIUM_NETWORK_POLICY_API, CILIUM_NETWORK_POLICY_KIND } from '../kinds/cilium/network-policy.ts'
import { CLUSTER_NETWORK_POLICY_API, CLUSTER_NETWORK_POLICY_KIND } from '../kinds/kubernetes/cluster-network-policy.ts'
import { NETWORK_POLICY_API, NETWORK_POLICY_KIND } from '../kinds/kubernetes/network-policy.ts'
import { precedence, WEAKEST_PRIORITY } from '../model/precedence.ts'
import type { Direction, Tier } from '../model/rule.ts'
import type { PodTarget, Target } from './change-targets.ts'
import type { JudgedSide } from './explanation.ts'
import { icmpFamily } from './icmp-types.ts'

export type Goal = 'allow' | 'deny'

/** What is to be turned round. `subject` is the end whose policies say otherwise now. */
export type Wanted = {
  readonly goal: Goal
  readonly direction: Direction
  readonly pod: ClusterPod
  readonly subject: PodTarget
  readonly peer: Target
  readonly protocol: number
  readonly port: number
  readonly side: JudgedSide
  /** Of every pod that `subject` selects: `enforced` and `audited` by policies, else by none of them, or not all. */
  readonly isolation: 'enforced' | 'audited' | 'none'
}

/** An object without its name. */
export type Candidate = {
  readonly apiVersion: string
  readonly kind: string
  /** Empty for a cluster-wide kind. */
  readonly namespace: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly spec: object
}

/** Weakest priority of a ClusterNetworkPolicy, and by annotation of a Cilium policy. */
const LAST_PRIORITY = 1000

export function* candidatesFor(wanted: Wanted): Generator<Candidate> {
  const { goal } = wanted
  if (goal === 'allow') {
    yield* networkPolicy(wanted)
    yield* clusterPolicy(wanted, 'baseline')
    yield* ciliumPolicy(wanted)
  }
  yield* clusterPolicy(wanted, 'admin')
  if (goal === 'deny') yield* ciliumPolicy(wanted)
  for (const tier of ['baseline', 'normal', 'admin'] as const) yield* ciliumPolicy(wanted, tier)
}

/** A rule of a NetworkPolicy that allows it; undefined when none can say just that. */
export function networkPolicyRule({ direction, subject, peer, protocol, port }: Wanted): object | undefined {
  if (!TRANSPORTS.has(protocol) || peer.kind === 'world') return undefined
  const who =
    peer.kind === 'address'
      ? { ipBlock: { cidr: peer.cidr } }
      : {
          ...(peer.namespace !== subject.namespace && { namespaceSelector: namespaceNamed(peer.namespace) }),
          podSelector: peer.selector,
        }
  return {
    [direction === 'ingress' ? 'from' : 'to']: [who],
    ports: [{ protocol: protocolName(protocol), port }],
  }
}

/** Isolates whom it selects, so it is none for those that nothing isolates. */
function* networkPolicy(wanted: Wanted): Generator<Candidate> {
  const { direction, subject, isolation } = wanted
  const rule = networkPolicyRule(wanted)
  if (!rule || isolation === 'none') return
  yield {
    apiVersion: NETWORK_POLICY_API,
    kind: NETWORK_POLICY_KIND,
    namespace: subject.namespace,
    ...(isolation === 'audited' && { annotations: { [AUDIT_ANNOTATION]: 'true' } }),
    spec: {
      podSelector: subject.selector,
      policyTypes: [direction === 'ingress' ? 'Ingress' : 'Egress'],
      [direction]: [rule],
    },
  }
}

function* clusterPolicy(wanted: Wanted, tier: 'admin' | 'baseline'): Generator<Candidate> {
  const { goal, direction, subject, peer, protocol, port } = wanted
  const priority = weakestPriority(wanted, tier, LAST_PRIORITY)
  // Only destinations may be addresses.
  if (priority === undefined || !TRANSPORTS.has(protocol) || peer.kind === 'world') return
  if (peer.kind === 'address' && direction === 'ingress') return
  const who = peer.kind === 'pod' ? { pods: podsOf(peer) } : { networks: [peer.cidr] }
  const rule = {
    action: goal === 'allow' ? 'Accept' : 'Deny',
    [direction === 'ingress' ? 'from' : 'to']: [who],
    protocols: [{ [protocolName(protocol).toLowerCase()]: { destinationPort: { number: port } } }],
  }
  yield {
    apiVersion: CLUSTER_NETWORK_POLICY_API,
    kind: CLUSTER_NETWORK_POLICY_KIND,
    namespace: '',
    spec: {
      tier: tier === 'admin' ? 'Admin' : 'Baseline',
      priority,
      subject: { pods: podsOf(subject) },
      [direction]: [rule],
    },
  }
}

const namespaceNamed = (name: string) => ({ matchLabels: { 'kubernetes.io/metadata.name': name } })

const podsOf = ({ namespace, selector }: PodTarget) => ({
  namespaceSelector: namespaceNamed(namespace),
  podSelector: selector,
})

/** `tier` undefined: without annotations. */
function* ciliumPolicy(wanted: Wanted, tier?: Tier): Generator<Candidate> {
  const { goal, direction, subject, peer, protocol, port } = wanted
  const priority = tier && weakestPriority(wanted, tier, LAST_PRIORITY)
  if (tier && priority === undefined) return
  // Addresses of nodes are not those of a block here.
  if (peer.kind === 'address' && !peer.isWorld) return
  if (hasForgedLabel(subject) || (peer.kind === 'pod' && hasForgedLabel(peer))) return
  const field = (name: string) => `${direction === 'ingress' ? 'from' : 'to'}${name}`
  const who =
    peer.kind === 'world'
      ? { [field('Entities')]: ['world'] }
      : peer.kind === 'address'
        ? { [field('CIDR')]: [peer.cidr] }
        : { [field('Endpoints')]: [ciliumSelector(peer, subject.namespace)] }
  const family = icmpFamily(protocol)
  const ports = family
    ? { icmps: [{ fields: [{ family, type: port }] }] }
    : { toPorts: [{ ports: [{ port: String(port), protocol: protocolName(protocol) }] }] }
  yield {
    apiVersion: CILIUM_NETWORK_POLICY_API,
    kind: CILIUM_NETWORK_POLICY_KIND,
    namespace: subject.namespace,
    ...(tier && {
      annotations: { [TIER_ANNOTATION]: tier, [PRIORITY_ANNOTATION]: String(priority) },
    }),
    spec: {
      endpointSelector: ciliumSelector(subject, subject.namespace),
      enableDefaultDeny: { ingress: false, egress: false },
      [`${direction}${goal === 'deny' ? 'Deny' : ''}`]: [{ ...who, ...ports }],
    },
  }
}

/** Whether pods are told apart by labels under internal names, which mean something else in selectors of this kind. */
function hasForgedLabel({ selector: { matchLabels = {}, matchExpressions = [] } }: PodTarget): boolean {
  return [...Object.keys(matchLabels), ...matchExpressions.map(({ key }) => key)].some(isInternalKey)
}

/** A selector of this kind has the namespace among the labels; without one it means the policy's own. */
function ciliumSelector({ namespace, selector }: PodTarget, policyNamespace: string): object {
  const prefixed = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => [`k8s:${key}`, value])
  const where = namespace === policyNamespace ? [] : [['k8s:io.kubernetes.pod.namespace', namespace]]
  const matchLabels = Object.fromEntries([...where, ...prefixed]) as Record<string, string>
  const matchExpressions = selector.matchExpressions?.map(each => ({ ...each, key: `k8s:${each.key}` }))
  return {
    ...(Object.keys(matchLabels).length > 0 && { matchLabels }),
    ...(matchExpressions && { matchExpressions }),
  }
}

/** The weakest priority of a tier that stands above every rule of the tier that matches now; undefined when none does. */
function weakestPriority({ goal, side }: Wanted, tier: Tier, weakest: number): number | undefined {
  const strongest = side.matching.find(rule => rule.tier === tier)
  if (!strongest) return weakest
  const same = Math.min(strongest.priority, weakest)
  const isAbove =
    strongest.priority <= WEAKEST_PRIORITY &&
    precedence({ tier, action: goal, priority: same, place: 0 }) > strongest.precedence
  const priority = isAbove ? same : strongest.priority - 1
  return priority < 0 ? undefined : Math.min(priority, weakest)
}
