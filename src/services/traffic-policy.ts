// Which backends new clients get: traffic policies, hints of topology and the fallback to
// backends that are going but serve still, as kube-proxy decides (KEP-1669, KEP-2086,
// KEP-3015; kubernetes pkg/proxy/topology.go).

import type { NotChosen, ServiceBackend, WithoutBackend } from './resolved.ts'

export type TrafficPolicy = 'Cluster' | 'Local'

export type Candidate = Omit<ServiceBackend, 'notForCluster' | 'notForOutside'> & {
  readonly forZones?: readonly string[]
  readonly forNodes?: readonly string[]
}

/** The node that decides. */
export type Viewpoint = { readonly nodeName: string; readonly zone?: string }

/** For each candidate, in their order: why it is not chosen, or undefined. And what becomes of clients when none is. */
export type Choice = { readonly reasons: readonly (NotChosen | undefined)[]; readonly without: WithoutBackend }

/**
 * Ready backends are chosen; where there is none, those that serve although they are terminating. Local: only of this node,
 * and clients are dropped rather than told when there are backends elsewhere, for their load balancer is to take another
 * node. Hints count for the policy Cluster, and only where every ready backend has them and one is meant for us.
 */
export function choose(candidates: readonly Candidate[], policy: TrafficPolicy, viewpoint: Viewpoint): Choice {
  const usable = candidates.filter(({ weight }) => weight > 0)
  const within = policy === 'Local' ? usable.filter(candidate => candidate.node === viewpoint.nodeName) : usable
  const hint = policy === 'Cluster' ? hintInForce(usable, viewpoint) : undefined
  const hasReady = within.some(({ ready }) => ready)
  const reasons = candidates.map((candidate): NotChosen | undefined => {
    if (candidate.weight === 0 && candidate.ready) return 'weight 0'
    if (policy === 'Local' && candidate.node !== viewpoint.nodeName) return 'not on this node'
    if (candidate.weight === 0 || !(hasReady ? candidate.ready : isLastResort(candidate))) return idleReason(candidate)
    return hasReady ? hint?.(candidate) : undefined
  })
  const hasElsewhere = policy === 'Local' && usable.some(candidate => candidate.ready || isLastResort(candidate))
  return { reasons, without: hasElsewhere && !reasons.includes(undefined) ? 'drop' : 'reject' }
}

const isLastResort = ({ serving, terminating }: Candidate): boolean => serving && terminating

const idleReason = ({ terminating }: Candidate): NotChosen => (terminating ? 'terminating' : 'not ready')

type Hint = (candidate: Candidate) => NotChosen | undefined

function hintInForce(candidates: readonly Candidate[], { nodeName, zone }: Viewpoint): Hint | undefined {
  const ready = candidates.filter(candidate => candidate.ready)
  const forNode = ({ forNodes }: Candidate): boolean => forNodes?.includes(nodeName) ?? false
  const forZone = ({ forZones }: Candidate): boolean => (zone !== undefined && forZones?.includes(zone)) || false
  if (ready.every(({ forNodes }) => forNodes?.length) && ready.some(forNode))
    return candidate => (forNode(candidate) ? undefined : 'meant for another node')
  if (ready.every(({ forZones }) => forZones?.length) && ready.some(forZone))
    return candidate => (forZone(candidate) ? undefined : 'meant for another zone')
  return undefined
}
