// CIDR groups, and policies with their groups as prefixes.

import { type LabelSet, matches } from '../../labels/index.ts'
import { type CidrGroup, cidrGroupLabels } from '../model/cidr-group.ts'
import type { Peer, Policy, ResolvedPeer } from '../model/rule.ts'
import { Expansions, type UnknownReference } from './expansion.ts'

type GroupPeer = Extract<Peer, { readonly kind: 'cidr-group' }>

type Held = { readonly group: CidrGroup; readonly labels: LabelSet }

/** The CIDR groups of a cluster, and the peers with the prefixes of those that rules refer to. */
export class CidrGroups {
  readonly #held = new Map<string, Held>()
  readonly #expansions = new Expansions((peer: Peer): peer is GroupPeer => peer.kind === 'cidr-group')

  /** Adds a group, or replaces the one of the same name. */
  set(group: CidrGroup): void {
    this.#held.set(group.name, { group, labels: cidrGroupLabels(group) })
  }

  get(name: string): CidrGroup | undefined {
    return this.#held.get(name)?.group
  }

  delete(name: string): void {
    this.#held.delete(name)
  }

  /** The policy with the prefixes of its groups as blocks of the world, each less what the peer excepts. */
  expand(policy: Policy): Policy {
    return this.#expansions.expand(policy, peer =>
      this.#cidrsOf(peer).map((cidr): ResolvedPeer => {
        return { kind: 'cidr', cidr, except: peer.except, covers: 'world' }
      }),
    )
  }

  /** Where a policy refers to groups that are not there. */
  unknownIn(policy: Policy): UnknownReference[] {
    return this.#expansions.unknownIn(policy, 'CIDR group', peer => {
      if (this.#groupsOf(peer).length > 0) return undefined
      return 'name' in peer.group ? peer.group.name : peer.group.selector.key
    })
  }

  /** Whether the meaning of a policy depends on groups. */
  isReferring(policy: Policy): boolean {
    return this.#expansions.peersOf(policy).length > 0
  }

  /** Whether a peer of the policy names the group or selects it. */
  refersTo(policy: Policy, group: CidrGroup): boolean {
    const labels = cidrGroupLabels(group)
    return this.#expansions
      .peersOf(policy)
      .some(({ group: wanted }) => ('name' in wanted ? wanted.name === group.name : matches(wanted.selector, labels)))
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
