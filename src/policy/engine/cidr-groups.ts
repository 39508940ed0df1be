// CIDR groups, and policies with their groups as prefixes: what the rest of the engine
// is given has no groups in it any more.

import { type LabelSet, matches } from '../../labels/index.ts'
import { type CidrGroup, cidrGroupLabels } from '../model/cidr-group.ts'
import type { Origin, Peer, Policy, PolicyRef, ResolvedPeer } from '../model/rule.ts'

type GroupPeer = Extract<Peer, { readonly kind: 'cidr-group' }>

/** A rule that refers to a group that is not there: an allow then matches nobody, and so does a deny. */
export type UnknownCidrGroup = {
  readonly policy: PolicyRef
  /** The rule's field, such as `ingress[0]`. */
  readonly path: string
  readonly origin: Origin
  /** The group's name, or the selector that no group meets. */
  readonly group: string
}

type Held = { readonly group: CidrGroup; readonly labels: LabelSet }
type Expansion = { readonly cidrs: string; readonly policy: Policy }

/** The CIDR groups of a cluster, and the peers with the prefixes of those that rules refer to. */
export class CidrGroups {
  readonly #held = new Map<string, Held>()
  readonly #expansions = new WeakMap<Policy, Expansion>()

  constructor(groups: Iterable<CidrGroup> = []) {
    for (const group of groups) this.set(group)
  }

  /** Adds a group, or replaces the one of the same name. */
  set(group: CidrGroup): void {
    this.#held.set(group.name, { group, labels: cidrGroupLabels(group) })
  }

  get(name: string): CidrGroup | undefined {
    return this.#held.get(name)?.group
  }

  /** @returns whether it was there */
  delete(name: string): boolean {
    return this.#held.delete(name)
  }

  /**
   * The policy with the prefixes of its groups as blocks of the world, each less what the peer excepts. The same object
   * as long as these prefixes are the same, and the policy itself when it refers to no group.
   */
  expand(policy: Policy): Policy {
    const peers = groupPeersOf(policy)
    if (peers.length === 0) return policy
    const cidrsOf = new Map(peers.map(peer => [peer, this.#cidrsOf(peer)]))
    const cidrs = JSON.stringify([...cidrsOf.values()])
    const known = this.#expansions.get(policy)
    if (known?.cidrs === cidrs) return known.policy
    const expanded = withoutGroups(policy, peer => cidrsOf.get(peer) ?? [])
    this.#expansions.set(policy, { cidrs, policy: expanded })
    return expanded
  }

  /** Where a policy refers to groups that are not there. */
  unknownIn(policy: Policy): UnknownCidrGroup[] {
    if (!refersToCidrGroups(policy)) return []
    const unknown = policy.specs.flatMap(({ rules }) =>
      rules.flatMap(({ peers, path, origin }) =>
        (peers === 'any' ? [] : peers)
          .filter(isGroupPeer)
          .filter(peer => this.#groupsOf(peer).length === 0)
          .map(({ group }) => ({
            policy: policy.ref,
            path,
            origin,
            group: 'name' in group ? group.name : group.selector.key,
          })),
      ),
    )
    return [...new Map(unknown.map(one => [`${one.path}\n${one.group}`, one])).values()]
  }

  #groupsOf({ group }: GroupPeer): Held[] {
    if ('selector' in group) return [...this.#held.values()].filter(({ labels }) => matches(group.selector, labels))
    const held = this.#held.get(group.name)
    return held ? [held] : []
  }

  #cidrsOf(peer: GroupPeer): string[] {
    return [...new Set(this.#groupsOf(peer).flatMap(({ group }) => group.cidrs))].sort()
  }
}

/** For people: what is wrong with the rule. */
export function unknownCidrGroupText({ group }: UnknownCidrGroup): string {
  return `refers to CIDR group ${group}, which is not there; it stands for no address`
}

/** Whether the meaning of a policy depends on groups. */
export function refersToCidrGroups(policy: Policy): boolean {
  return groupPeersOf(policy).length > 0
}

/** Whether a peer of the policy names the group or selects it. */
export function refersTo(policy: Policy, group: CidrGroup): boolean {
  const labels = cidrGroupLabels(group)
  return groupPeersOf(policy).some(({ group: wanted }) =>
    'name' in wanted ? wanted.name === group.name : matches(wanted.selector, labels),
  )
}

const isGroupPeer = (peer: Peer): peer is GroupPeer => peer.kind === 'cidr-group'

/** Asked of every policy at every change of one, and most have none. */
const groupPeers = new WeakMap<Policy, readonly GroupPeer[]>()

function groupPeersOf(policy: Policy): readonly GroupPeer[] {
  const known = groupPeers.get(policy)
  if (known) return known
  const rules = policy.specs.flatMap(spec => spec.rules)
  const found = rules.flatMap(({ peers }) => (peers === 'any' ? [] : peers.filter(isGroupPeer)))
  groupPeers.set(policy, found)
  return found
}

function withoutGroups(policy: Policy, cidrsOf: (peer: GroupPeer) => readonly string[]): Policy {
  const expand = (peer: Peer): readonly ResolvedPeer[] =>
    isGroupPeer(peer)
      ? cidrsOf(peer).map(cidr => ({ kind: 'cidr', cidr, except: peer.except, covers: 'world' }))
      : [peer]
  const specs = policy.specs.map(spec => ({
    ...spec,
    rules: spec.rules.map(rule => (rule.peers === 'any' ? rule : { ...rule, peers: rule.peers.flatMap(expand) })),
  }))
  return { ...policy, specs }
}
