// Everybody whom a pod could talk to, by kind: pods with the same labels, its own node,
// other nodes, and the world in the pieces that policies tell apart.

import { identityName, type LabelSet, labelTexts, namedPortTexts } from '../../labels/index.ts'
import { type Cluster, type ClusterPod, type End, isOwnNode } from '../cluster/cluster.ts'
import { WORLD, worldPlaces } from '../cluster/places.ts'
import { endName } from './views.ts'

/** Peers of one kind. */
export type PeerView = {
  readonly kind: 'pods' | 'own-node' | 'nodes' | 'world'
  /** `shop/web`, `its own node`, `192.0.2.0/24`. Two kinds of pods may have one name. */
  readonly name: string
  readonly labels: readonly string[]
  /** The first few, and how many there are. */
  readonly members: readonly string[]
  readonly memberCount: number
  /** In which this holds; the other, where the pod has one, may have another answer. */
  readonly families: readonly (4 | 6)[]
}

/** Peers that every policy sees alike. `own` and `peer` are ends of one family that stand for all. */
export type PeerKind = { readonly own: End; readonly peer: End; readonly view: PeerView }

/** Most members named of a kind. */
const NAMED = 5

export function peersOf(cluster: Cluster, pod: ClusterPod): PeerKind[] {
  const own = pod.addresses.flatMap(({ family }) => cluster.endOf(pod, family) ?? [])
  return grouped(
    own.flatMap(end => {
      // The peers' policies may tell the pod's own addresses apart.
      const seen = cluster.addressLabels(end).key
      const all = [...pods(cluster, pod, end), ...nodes(cluster, end), ...worldPieces(cluster, end)]
      return all.map(one => ({ ...one, key: `${seen}\n${one.key}` }))
    }),
  )
}

/** One peer at one of its addresses. */
type One = Omit<PeerKind, 'view'> & {
  /** Of one pod, peers with the same key are alike. */
  readonly key: string
  readonly kind: PeerView['kind']
  readonly name: string
  readonly labels: LabelSet
  /** Undefined for a piece of the world. */
  readonly member?: string
}

/** A peer whose two addresses are alike stands in one kind for both, any other in one for each. */
function grouped(all: readonly One[]): PeerKind[] {
  const keysOf = new Map<string, Set<string>>()
  for (const { member, key } of all)
    if (member !== undefined) keysOf.set(member, (keysOf.get(member) ?? new Set()).add(key))
  const kinds = new Map<string, { readonly first: One; readonly members: Set<string>; readonly families: Set<4 | 6> }>()
  for (const one of all) {
    const { member, key } = one
    const { family } = one.own.address
    const isAlike = member === undefined || keysOf.get(member)?.size === 1
    const id = isAlike ? key : `${family}\n${key}`
    const kind = kinds.get(id) ?? { first: one, members: new Set(), families: new Set() }
    kinds.set(id, kind)
    kind.families.add(family)
    if (member !== undefined) kind.members.add(member)
  }
  return [...kinds.values()].map(({ first: { own, peer, kind, name, labels }, members, families }) => {
    const shown = { members: [...members].slice(0, NAMED), memberCount: members.size, families: [...families] }
    return { own, peer, view: { kind, name, labels: labelTexts(labels), ...shown } }
  })
}

function pods(cluster: Cluster, pod: ClusterPod, own: End): One[] {
  return cluster.content.pods.flatMap((each): One[] => {
    const peer = each === pod || each.hostNetwork ? undefined : cluster.endOf(each, own.address.family)
    if (!peer) return []
    const labels = cluster.addressLabels(peer, own)
    const ports = namedPortTexts(each.namedPorts).join()
    const key = `${labels.key}\n${ports}`
    return [{ key, own, peer, kind: 'pods', name: identityName(labels), labels, member: endName(peer) }]
  })
}

function nodes(cluster: Cluster, own: End): One[] {
  return cluster.content.nodes.flatMap(({ addresses }) =>
    addresses
      .filter(({ family }) => family === own.address.family)
      .map((address): One => {
        const peer = cluster.endAt(address)
        const labels = cluster.addressLabels(peer, own)
        const kind = isOwnNode(peer, own) ? 'own-node' : 'nodes'
        const name = kind === 'own-node' ? 'its own node' : 'other nodes'
        return { key: `${kind} ${labels.key}`, own, peer, kind, name, labels, member: endName(peer) }
      }),
  )
}

function worldPieces(cluster: Cluster, own: End): One[] {
  const { family } = own.address
  return worldPlaces([cluster]).flatMap(place =>
    place.ends
      .filter(({ address }) => address.family === family)
      .map((peer): One => {
        const labels = cluster.addressLabels(peer, own)
        const name = place.name === WORLD ? `IPv${family} addresses outside` : place.name
        return { key: labels.key, own, peer, kind: 'world', name, labels }
      }),
  )
}
