// All policies and identities of a node, and the policy of each subject resolved from
// them. Incremental: a change of a policy reaches only the subjects that it selects, a
// change of an identity only those with a rule whose peers match it. What is resolved
// depends on the present content alone, never on the order in which it came.

import {
  has,
  LabelIndex,
  type LabelSet,
  type NamedPort,
  namedPortKey,
  namedPortNumbers,
  SelectorIndex,
  selector,
} from '../../labels/index.ts'
import type { CidrGroup } from '../model/cidr-group.ts'
import type { EnforcementMode } from '../model/enforcement.ts'
import {
  type Audit,
  comparePolicies,
  isResolved,
  type Policy,
  type PolicyRef,
  type PolicySpec,
  peerSelector,
  policyKey,
  type Rule,
  type RuleKey,
} from '../model/rule.ts'
import { BoundRule, type BoundSpec, namedPortsOf, ownPortsFor } from './bound-rule.ts'
import { CidrGroups, refersTo, refersToCidrGroups, type UnknownCidrGroup } from './cidr-groups.ts'
import type { PolicyEntry } from './entries.ts'
import { type IsolatedBy, isolatingPolicies } from './isolation.ts'
import { type PeerSet, PeerSets } from './peer-sets.ts'
import { ReferenceCounts, type References } from './references.ts'
import { SubjectPlan } from './subject-plan.ts'

/**
 * Whose policy: its labels, without those of addresses, and the named ports that ingress rules may mean. `audit`: what is
 * denied there is recorded and passes, as the annotation of its namespace asks.
 */
export type Subject = Audit & { readonly labels: LabelSet; readonly namedPorts: readonly NamedPort[] }

/** Settings of a whole cluster. */
export type RepositoryOptions = {
  /** Who is isolated where no policy says so. `default` when it is left out. */
  readonly enforcement?: EnforcementMode
}

/** The policy of a subject: the entries that a kernel needs, and who isolates it. */
export type ResolvedPolicy = {
  /** Names the content of `entries`: equal exactly when they are, in every process. */
  readonly key: string
  /** Sorted by direction, identity, protocol, port and prefix length. Equal keys share the array. */
  readonly entries: readonly PolicyEntry[]
  /**
   * Policies that deny the subject what no rule allows, in the order of their names; `audit` with those whose denials
   * pass. Where there is none and the default denies nonetheless, the enforcement mode is `always`.
   */
  readonly isolatedBy: IsolatedBy
}

/** Subjects with the same policy because the same specs select them and the same port numbers apply. */
type Group = {
  readonly key: string
  readonly specs: readonly Spec[]
  readonly plan: SubjectPlan
  readonly members: Set<Member>
  readonly isolatedBy: IsolatedBy
  resolved: ResolvedPolicy | undefined
}

type Spec = BoundSpec & { readonly serial: number; readonly policy: Policy }

/** `expanded`: with the prefixes of its CIDR groups; what the specs are bound to. */
type HeldPolicy = { readonly policy: Policy; readonly expanded: Policy; readonly specs: readonly Spec[] }

type Member = { readonly subject: Subject; readonly specs: Set<Spec>; group: Group | undefined }

type Shared = { readonly entries: readonly PolicyEntry[]; uses: number }

/** Policies and identities, and the policy of each subject resolved from them, kept up to date change by change. */
export class PolicyRepository {
  readonly enforcement: EnforcementMode
  readonly #policies = new Map<string, HeldPolicy>()
  readonly #cidrGroups = new CidrGroups()
  /** Keys of the policies that refer to CIDR groups. */
  readonly #referring = new Set<string>()
  readonly #rules = new Map<RuleKey, Rule>()
  readonly #references = new ReferenceCounts()
  readonly #peerSets = new PeerSets()
  readonly #specs = new SelectorIndex<Spec>()
  readonly #members = new Map<string, Member>()
  readonly #memberIndex = new LabelIndex<Member>()
  readonly #groups = new Map<string, Group>()
  /** Groups with a rule whose peers are in a set. */
  readonly #groupsOf = new Map<PeerSet, Set<Group>>()
  readonly #shared = new Map<string, Shared>()
  readonly #dirty = new Set<Member>()
  #nextSerial = 0

  constructor({ enforcement = 'default' }: RepositoryOptions = {}) {
    this.enforcement = enforcement
  }

  /** Adds a policy, or replaces the one of the same kind, namespace and name. */
  setPolicy(policy: Policy): void {
    const key = policyKey(policy.ref)
    const old = this.#policies.get(key)
    const expanded = this.#cidrGroups.expand(policy)
    // What both versions use is taken before it is given up, so that nothing is made anew in between.
    const specs = expanded.specs.map(spec => this.#bind(expanded, spec))
    this.#references.add(expanded)
    const touched = new Set<Member>(old ? this.#unbind(old) : [])
    for (const spec of specs)
      for (const member of this.#memberIndex.select(spec.spec.subject)) {
        member.specs.add(spec)
        touched.add(member)
      }
    this.#policies.set(key, { policy, expanded, specs })
    if (refersToCidrGroups(policy)) this.#referring.add(key)
    else this.#referring.delete(key)
    for (const { rules } of policy.specs) for (const rule of rules) this.#rules.set(rule.key, rule)
    for (const member of touched) this.#regroup(member)
  }

  /** @returns whether it was there */
  deletePolicy(ref: Omit<PolicyRef, 'origin'>): boolean {
    const key = policyKey(ref)
    const old = this.#policies.get(key)
    if (!old) return false
    this.#policies.delete(key)
    this.#referring.delete(key)
    for (const member of this.#unbind(old)) this.#regroup(member)
    return true
  }

  /** Adds a CIDR group, or replaces the one of the same name. The policies that refer to it change with it. */
  setCidrGroup(group: CidrGroup): void {
    const old = this.#cidrGroups.get(group.name)
    this.#cidrGroups.set(group)
    this.#rebind(old ? [old, group] : [group])
  }

  /** @returns whether it was there */
  deleteCidrGroup(name: string): boolean {
    const old = this.#cidrGroups.get(name)
    if (!old) return false
    this.#cidrGroups.delete(name)
    this.#rebind([old])
    return true
  }

  /** Where policies refer to CIDR groups that are not there, in the order of the policies' names. */
  unknownCidrGroups(): UnknownCidrGroup[] {
    return [...this.#referring]
      .flatMap(key => this.#cidrGroups.unknownIn((this.#policies.get(key) as HeldPolicy).policy))
      .sort((a, b) => comparePolicies(a.policy, b.policy))
  }

  /** The policies, in no particular order. */
  policies(): Policy[] {
    return [...this.#policies.values()].map(({ policy }) => policy)
  }

  /** A rule of a policy held now, as the policy was set. */
  rule(key: RuleKey): Rule | undefined {
    return this.#rules.get(key)
  }

  /** What identities have to tell apart for these policies. Look at its `revision` to learn whether it has changed. */
  references(): References {
    return this.#references
  }

  /** Makes an identity known to rules, with all its labels (`cidr:` and `port:` too). */
  setIdentity(number: number, labels: LabelSet): void {
    for (const set of this.#peerSets.setIdentity(number, labels)) this.#invalidate(set, number)
  }

  deleteIdentity(number: number): void {
    for (const set of this.#peerSets.deleteIdentity(number)) this.#invalidate(set, number)
  }

  /** The subject's policy. From now on `changes` tells of it, until `forget`. */
  resolve(subject: Subject): ResolvedPolicy {
    const key = subjectKey(subject)
    const member = this.#members.get(key) ?? this.#join(key, subject)
    const group = member.group ?? this.#regroup(member)
    group.resolved ??= this.#resolveGroup(group)
    return group.resolved
  }

  /** Ends the interest in a subject: no endpoint has it any more. */
  forget(subject: Subject): void {
    const key = subjectKey(subject)
    const member = this.#members.get(key)
    if (!member) return
    this.#members.delete(key)
    this.#memberIndex.delete(member)
    this.#dirty.delete(member)
    this.#leaveGroup(member)
  }

  /** Subjects resolved before whose policy may have changed since the last call. */
  changes(): Subject[] {
    const subjects = [...this.#dirty].map(({ subject }) => subject)
    this.#dirty.clear()
    return subjects
  }

  #rebind(changed: readonly CidrGroup[]): void {
    for (const key of this.#referring) {
      const { policy, expanded } = this.#policies.get(key) as HeldPolicy
      if (!changed.some(group => refersTo(policy, group))) continue
      if (this.#cidrGroups.expand(policy) !== expanded) this.setPolicy(policy)
    }
  }

  #join(key: string, subject: Subject): Member {
    const member: Member = { subject, specs: new Set(this.#specs.matching(subject.labels)), group: undefined }
    this.#members.set(key, member)
    this.#memberIndex.set(member, subject.labels)
    return member
  }

  #bind(policy: Policy, spec: PolicySpec): Spec {
    const rules = spec.rules.map(rule => this.#bindRule(rule))
    const bound: Spec = { spec, policy, rules, serial: this.#nextSerial++ }
    this.#specs.set(bound, spec.subject)
    return bound
  }

  #bindRule(rule: Rule): BoundRule {
    const { peers, direction } = rule
    const portKeys = direction === 'egress' && peers === 'any' ? new Set(namedPortsOf(rule)) : []
    return new BoundRule(
      rule,
      peers === 'any' ? peers : peers.filter(isResolved).map(peer => this.#peerSets.acquire(peerSelector(peer))),
      new Map([...portKeys].map(key => [key, this.#peerSets.acquire(selector([has('port', key)]))])),
    )
  }

  /** @returns the members that its specs selected */
  #unbind({ expanded, specs }: HeldPolicy): Set<Member> {
    const touched = new Set<Member>()
    for (const spec of specs) {
      this.#specs.delete(spec)
      for (const member of this.#memberIndex.select(spec.spec.subject))
        if (member.specs.delete(spec)) touched.add(member)
      for (const set of spec.rules.flatMap(boundSets)) this.#peerSets.release(set)
    }
    for (const { rules } of expanded.specs) for (const rule of rules) this.#rules.delete(rule.key)
    this.#references.remove(expanded)
    return touched
  }

  #invalidate(set: PeerSet, identity: number): void {
    for (const group of this.#groupsOf.get(set) ?? []) {
      group.plan.touch(identity)
      this.#drop(group)
      for (const member of group.members) this.#dirty.add(member)
    }
  }

  /** Puts a member whose specs have changed into its group. */
  #regroup(member: Member): Group {
    if (member.group) this.#dirty.add(member)
    const specs = this.enforcement === 'never' ? [] : [...member.specs].sort((a, b) => a.serial - b.serial)
    const isAudited = member.subject.audit === true
    const ownPorts = ownPortsFor(specs, namedPortNumbers(member.subject.namedPorts))
    const ports = [...ownPorts].map(([name, number]) => `${name}=${number}`).sort()
    const key = JSON.stringify([specs.map(({ serial }) => serial), ports, isAudited])
    const group = this.#groups.get(key) ?? this.#makeGroup(key, specs, ownPorts, isAudited, member.group)
    if (group === member.group) return group
    this.#leaveGroup(member)
    group.members.add(member)
    member.group = group
    return group
  }

  #makeGroup(
    key: string,
    specs: readonly Spec[],
    ownPorts: ReadonlyMap<string, number>,
    isAudited: boolean,
    before: Group | undefined,
  ): Group {
    const mode = this.enforcement === 'always' ? 'always' : 'default'
    const plan = new SubjectPlan({ specs, ownPorts, isAudited, mode }, this.#peerSets, before?.plan)
    const group: Group = {
      key,
      specs,
      plan,
      members: new Set(),
      isolatedBy: isolatingPolicies(specs, isAudited),
      resolved: undefined,
    }
    this.#groups.set(key, group)
    for (const set of peerSetsOf(specs)) {
      const groups = this.#groupsOf.get(set) ?? new Set()
      this.#groupsOf.set(set, groups.add(group))
    }
    return group
  }

  #leaveGroup(member: Member): void {
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

/** Canonical text of a subject. */
export function subjectKey({ labels, namedPorts, audit }: Subject): string {
  const ports = namedPorts.map(port => `${namedPortKey(port)}=${port.port}`)
  return `${labels.key}\n${ports.join()}${audit ? '\naudit' : ''}`
}

const boundSets = ({ peers, portPeers }: BoundRule): PeerSet[] => [
  ...(peers === 'any' ? [] : peers),
  ...portPeers.values(),
]

const peerSetsOf = (specs: readonly BoundSpec[]): Set<PeerSet> =>
  new Set(specs.flatMap(({ rules }) => rules.flatMap(boundSets)))
