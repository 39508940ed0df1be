// Subjects in groups that share a plan and a resolved policy: those that the same
// specs select, with the same port numbers, audited or not.

import { namedPortNumbers } from '../../labels/index.ts'
import type { EnforcementMode } from '../model/enforcement.ts'
import type { Policy } from '../model/rule.ts'
import { type BoundSpec, ownPortsFor } from './bound-rule.ts'
import type { PlanSources, SubjectGroup } from './direction-plan.ts'
import type { PolicyEntry } from './entries.ts'
import { type IsolatedBy, isolatingPolicies } from './isolation.ts'
import { SharedClasses } from './peer-classes.ts'
import type { PeerSet, PeerSets } from './peer-sets.ts'
import { type ResolvedPolicy, type Subject, visibilityText } from './subject.ts'
import { SubjectPlan } from './subject-plan.ts'

/** A spec of a policy that is held. `serial`: no two have the same. */
export type Spec = BoundSpec & { readonly serial: number; readonly policy: Policy }

/** A subject that somebody is interested in. */
export type Member = { readonly subject: Subject; readonly specs: Set<Spec>; group: Group | undefined }

type Group = {
  readonly key: string
  readonly specs: readonly Spec[]
  readonly plan: SubjectPlan
  readonly members: Set<Member>
  readonly isolatedBy: IsolatedBy
  resolved: ResolvedPolicy | undefined
}

/** Settings of a whole cluster. */
export type RepositoryOptions = {
  /** Who is isolated where no policy says so. `default` when it is left out. */
  readonly enforcement?: EnforcementMode
  /** Whether what is said is judged by rules that are only tried out: not where nobody can. `true` when it is left out. */
  readonly triesRequests?: boolean
}

type Shared = { readonly entries: readonly PolicyEntry[]; uses: number }

export class SubjectGroups {
  readonly #enforcement: EnforcementMode
  readonly #sources: PlanSources
  readonly #groups = new Map<string, Group>()
  /** Groups with a rule whose peers are in a set. */
  readonly #groupsOf = new Map<PeerSet, Set<Group>>()
  readonly #shared = new Map<string, Shared>()

  constructor({ enforcement, triesRequests }: Required<RepositoryOptions>, peerSets: PeerSets) {
    this.#enforcement = enforcement
    this.#sources = { peerSets, shared: new SharedClasses(triesRequests) }
  }

  resolve(member: Member): ResolvedPolicy {
    const group = member.group ?? this.place(member)
    group.resolved ??= this.#resolveGroup(group)
    return group.resolved
  }

  /** Puts a member whose specs are new or have changed into its group. */
  place(member: Member): Group {
    const specs = this.#enforcement === 'never' ? [] : [...member.specs].sort((a, b) => a.serial - b.serial)
    const isAudited = member.subject.audit === true
    const visibility = member.subject.visibility ?? []
    const ownPorts = ownPortsFor(specs, namedPortNumbers(member.subject.namedPorts))
    const ports = [...ownPorts].map(([name, number]) => `${name}=${number}`).sort()
    const key = JSON.stringify([specs.map(({ serial }) => serial), ports, isAudited, visibilityText(visibility)])
    const mode = this.#enforcement === 'always' ? 'always' : 'default'
    const content = { specs, ownPorts, isAudited, mode, visibility } as const
    const group = this.#groups.get(key) ?? this.#makeGroup(key, specs, content, member.group)
    if (group === member.group) return group
    this.leave(member)
    group.members.add(member)
    member.group = group
    return group
  }

  /** A group without members is forgotten. */
  leave(member: Member): void {
    const { group } = member
    if (!group) return
    member.group = undefined
    group.members.delete(member)
    if (group.members.size > 0) return
    this.#drop(group)
    this.#groups.delete(group.key)
    for (const set of peerSetsOf(group.specs)) {
      this.#groupsOf.get(set)?.delete(group)
      if (this.#groupsOf.get(set)?.size === 0) this.#groupsOf.delete(set)
    }
  }

  /** An identity has come to a set, has left it, or has other labels in it. @returns the members that it may change */
  *touch(set: PeerSet, identity: number): Generator<Member> {
    for (const group of this.#groupsOf.get(set) ?? []) {
      group.plan.touch(identity)
      this.#drop(group)
      yield* group.members
    }
  }

  #makeGroup(key: string, specs: readonly Spec[], content: SubjectGroup, before: Group | undefined): Group {
    const plan = new SubjectPlan(content, this.#sources, before?.plan)
    const isolatedBy = isolatingPolicies(specs, content.isAudited)
    const group: Group = { key, specs, plan, members: new Set(), isolatedBy, resolved: undefined }
    this.#groups.set(key, group)
    for (const set of peerSetsOf(specs)) {
      const groups = this.#groupsOf.get(set) ?? new Set()
      this.#groupsOf.set(set, groups.add(group))
    }
    return group
  }

  #resolveGroup(group: Group): ResolvedPolicy {
    const key = group.plan.key()
    const shared = this.#shared.get(key) ?? { entries: Object.freeze(group.plan.entries()), uses: 0 }
    shared.uses++
    this.#shared.set(key, shared)
    return Object.freeze({ key, entries: shared.entries, isolatedBy: group.isolatedBy })
  }

  #drop(group: Group): void {
    if (!group.resolved) return
    const shared = this.#shared.get(group.resolved.key)
    if (shared && --shared.uses === 0) this.#shared.delete(group.resolved.key)
    group.resolved = undefined
  }
}

const peerSetsOf = (specs: readonly BoundSpec[]): Set<PeerSet> =>
  new Set(specs.flatMap(({ rules }) => rules.flatMap(rule => rule.sets())))
