// All policies and identities of a node, and the policy of each subject resolved from
// them. Incremental: a change of a policy reaches only the subjects that it selects, a
// change of an identity only those with a rule whose peers match it. What is resolved
// depends on the present content alone, never on the order in which it came.

import { has, LabelIndex, type LabelSet, SelectorIndex, selector } from '../../labels/index.ts'
import type { CidrGroup } from '../model/cidr-group.ts'
import type { EnforcementMode } from '../model/enforcement.ts'
import {
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
import type { PolicyService } from '../model/service.ts'
import { BoundRule, namedPortsOf } from './bound-rule.ts'
import type { UnknownReference } from './expansion.ts'
import { NamedPeers } from './named-peers.ts'
import { type PeerSet, PeerSets } from './peer-sets.ts'
import { ReferenceCounts, type References } from './references.ts'
import { type ResolvedPolicy, type Subject, subjectKey } from './subject.ts'
import { type Member, type RepositoryOptions, type Spec, SubjectGroups } from './subject-groups.ts'

export type { RepositoryOptions }

/** `expanded`: with what its CIDR groups and services stand for; what the specs are bound to. */
type HeldPolicy = { readonly policy: Policy; readonly expanded: Policy; readonly specs: readonly Spec[] }

/** Policies and identities, and the policy of each subject resolved from them, kept up to date change by change. */
export class PolicyRepository {
  readonly enforcement: EnforcementMode
  readonly #policies = new Map<string, HeldPolicy>()
  readonly #named = new NamedPeers()
  /** Keys of the policies that refer to CIDR groups or services. */
  readonly #referring = new Set<string>()
  readonly #rules = new Map<RuleKey, Rule>()
  readonly #references = new ReferenceCounts()
  readonly #peerSets = new PeerSets()
  readonly #specs = new SelectorIndex<Spec>()
  readonly #members = new Map<string, Member>()
  readonly #memberIndex = new LabelIndex<Member>()
  readonly #groups: SubjectGroups
  readonly #dirty = new Set<Member>()
  #nextSerial = 0

  constructor({ enforcement = 'default', triesRequests = true }: RepositoryOptions = {}) {
    this.enforcement = enforcement
    this.#groups = new SubjectGroups({ enforcement, triesRequests }, this.#peerSets)
  }

  /** Adds a policy, or replaces the one of the same kind, namespace and name. */
  setPolicy(policy: Policy): void {
    const key = policyKey(policy.ref)
    const old = this.#policies.get(key)
    const expanded = this.#named.expand(policy)
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
    if (this.#named.isReferring(policy)) this.#referring.add(key)
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
    const { groups } = this.#named
    const old = groups.get(group.name)
    groups.set(group)
    this.#rebind(policy => [old, group].some(one => one && groups.refersTo(policy, one)))
  }

  /** @returns whether it was there */
  deleteCidrGroup(name: string): boolean {
    const { groups } = this.#named
    const old = groups.get(name)
    if (!old) return false
    groups.delete(name)
    this.#rebind(policy => groups.refersTo(policy, old))
    return true
  }

  /** Adds a service, or replaces the one of the same namespace and name. The policies that refer to it change with it. */
  setService(service: PolicyService): void {
    const { services } = this.#named
    const old = services.get(service)
    if (!services.set(service)) return
    this.#rebind(policy => [old, service].some(one => one && services.refersTo(policy, one)))
  }

  /** @returns whether it was there */
  deleteService(service: Pick<PolicyService, 'namespace' | 'name'>): boolean {
    const { services } = this.#named
    const old = services.get(service)
    if (!old) return false
    services.delete(service)
    this.#rebind(policy => services.refersTo(policy, old))
    return true
  }

  /** Where policies refer to CIDR groups and services that are not there, in the order of the policies' names. */
  unknownReferences(): UnknownReference[] {
    return [...this.#referring]
      .flatMap(key => this.#named.unknownIn((this.#policies.get(key) as HeldPolicy).policy))
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
    for (const set of this.#peerSets.setIdentity(number, labels)) this.#touch(set, number)
  }

  deleteIdentity(number: number): void {
    for (const set of this.#peerSets.deleteIdentity(number)) this.#touch(set, number)
  }

  /** The subject's policy. From now on `changes` tells of it, until `forget`. */
  resolve(subject: Subject): ResolvedPolicy {
    const key = subjectKey(subject)
    const member = this.#members.get(key) ?? this.#join(key, subject)
    return this.#groups.resolve(member)
  }

  /** Ends the interest in a subject: no endpoint has it any more. */
  forget(subject: Subject): void {
    const key = subjectKey(subject)
    const member = this.#members.get(key)
    if (!member) return
    this.#members.delete(key)
    this.#memberIndex.delete(member)
    this.#dirty.delete(member)
    this.#groups.leave(member)
  }

  /** Subjects resolved before whose policy may have changed since the last call. */
  changes(): Subject[] {
    const subjects = [...this.#dirty].map(({ subject }) => subject)
    this.#dirty.clear()
    return subjects
  }

  #regroup(member: Member): void {
    // Only whose policy has been asked for is told of.
    if (member.group) this.#dirty.add(member)
    this.#groups.place(member)
  }

  #touch(set: PeerSet, identity: number): void {
    for (const member of this.#groups.touch(set, identity)) this.#dirty.add(member)
  }

  #rebind(isConcerned: (policy: Policy) => boolean): void {
    for (const key of this.#referring) {
      const { policy, expanded } = this.#policies.get(key) as HeldPolicy
      if (isConcerned(policy) && this.#named.expand(policy) !== expanded) this.setPolicy(policy)
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
      for (const set of spec.rules.flatMap(rule => rule.sets())) this.#peerSets.release(set)
    }
    for (const { rules } of expanded.specs) for (const rule of rules) this.#rules.delete(rule.key)
    this.#references.remove(expanded)
    return touched
  }
}
