// The policies that are declared, with what their CIDR groups and services stand for now,
// and how they differ from those in force. A changed group or service so is a change of
// every policy that refers to it, and goes the same way into the kernel.

import {
  NamedPeers,
  type Policy,
  type PolicyRepository,
  policyKey,
  type UnknownReference,
  unknownReferenceText,
} from '../policy/index.ts'
import { type CidrGroup, objectKey, type Problem, type Tables } from '../tables/index.ts'
import { DeclaredServices } from './declared-services.ts'

/** Policies that are new or changed, and versions that are not in force any more. */
export type PolicyChanges = { readonly set: readonly Policy[]; readonly outdated: readonly Policy[] }
export const NO_CHANGES: PolicyChanges = { set: [], outdated: [] }

export class DeclaredPolicies {
  readonly #tables: Tables
  readonly #named = new NamedPeers()
  #knownGroups: ReadonlyMap<string, CidrGroup> = new Map()
  /** Services change much more often than policies, so whether a change concerns any is asked here first. */
  readonly services: DeclaredServices
  /** In force, by key, as last set. */
  readonly #inForce = new Map<string, Policy>()

  constructor(tables: Tables) {
    this.#tables = tables
    this.services = new DeclaredServices(tables, this.#named.services)
  }

  /** What the tables say now against what is in force. */
  changes(): PolicyChanges {
    const { policies, cidrGroups } = this.#tables
    this.#readGroups(cidrGroups.all())
    this.services.take()
    const current = new Map(policies.all().map(({ rules }) => [policyKey(rules.ref), this.#named.expand(rules)]))
    return {
      set: [...current].filter(([key, policy]) => this.#inForce.get(key) !== policy).map(([, policy]) => policy),
      outdated: [...this.#inForce].filter(([key, policy]) => current.get(key) !== policy).map(([, policy]) => policy),
    }
  }

  /** Puts changes into the repository. */
  feed({ set, outdated }: PolicyChanges, repository: PolicyRepository): void {
    for (const policy of set) {
      repository.setPolicy(policy)
      this.#inForce.set(policyKey(policy.ref), policy)
    }
    for (const policy of outdated) {
      const key = policyKey(policy.ref)
      if (this.#inForce.get(key) !== policy) continue
      repository.deletePolicy(policy.ref)
      this.#inForce.delete(key)
    }
  }

  /** What people are told of policies that refer to what is not there. */
  problems(): Problem[] {
    return this.#tables.policies.all().flatMap(({ rules }) => this.#named.unknownIn(rules).map(unknownProblem))
  }

  #readGroups(rows: readonly CidrGroup[]): void {
    const groups = new Map(rows.map(group => [group.name, group]))
    for (const name of this.#knownGroups.keys()) if (!groups.has(name)) this.#named.groups.delete(name)
    for (const [name, group] of groups) if (this.#knownGroups.get(name) !== group) this.#named.groups.set(group)
    this.#knownGroups = groups
  }
}

/** First word of the ids of such problems. */
export const UNKNOWN_REFERENCE = 'reference'

function unknownProblem(unknown: UnknownReference): Problem {
  const { policy, path, origin, kind, name } = unknown
  return {
    id: `${UNKNOWN_REFERENCE} ${policyKey(policy)} ${path} ${kind} ${name}`,
    severity: 'warning',
    object: `${policy.kind} ${objectKey(policy)}`,
    message: `${path}: ${unknownReferenceText(unknown)}`,
    file: origin.file,
    line: origin.line,
    column: 1,
  }
}
