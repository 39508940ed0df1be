// The policies that are declared, with the prefixes that their CIDR groups have now, and
// how they differ from those in force. A changed group so is a change of every policy
// that refers to it, and goes the same way into the kernel.

import {
  CidrGroups,
  type Policy,
  type PolicyRepository,
  policyKey,
  type UnknownCidrGroup,
  unknownCidrGroupText,
} from '../policy/index.ts'
import { type CidrGroup, objectKey, type Problem, type Tables } from '../tables/index.ts'

/** Policies that are new or changed, and versions that are not in force any more. */
export type PolicyChanges = { readonly set: readonly Policy[]; readonly outdated: readonly Policy[] }
export const NO_CHANGES: PolicyChanges = { set: [], outdated: [] }

export class DeclaredPolicies {
  readonly #groups = new CidrGroups()
  #knownGroups: ReadonlyMap<string, CidrGroup> = new Map()
  /** In force, by key, as last set. */
  readonly #inForce = new Map<string, Policy>()

  /** What the tables say now against what is in force. */
  changes({ policies, cidrGroups }: Pick<Tables, 'policies' | 'cidrGroups'>): PolicyChanges {
    this.#readGroups(cidrGroups.all())
    const current = new Map(policies.all().map(({ rules }) => [policyKey(rules.ref), this.#groups.expand(rules)]))
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

  /** What people are told of policies that refer to groups that are not there. */
  problems({ policies }: Pick<Tables, 'policies'>): Problem[] {
    return policies.all().flatMap(({ rules }) => this.#groups.unknownIn(rules).map(unknownGroupProblem))
  }

  #readGroups(rows: readonly CidrGroup[]): void {
    const groups = new Map(rows.map(group => [group.name, group]))
    for (const name of this.#knownGroups.keys()) if (!groups.has(name)) this.#groups.delete(name)
    for (const [name, group] of groups) if (this.#knownGroups.get(name) !== group) this.#groups.set(group)
    this.#knownGroups = groups
  }
}

/** First word of the ids of such problems. */
export const UNKNOWN_GROUP = 'cidr-group'

function unknownGroupProblem(unknown: UnknownCidrGroup): Problem {
  const { policy, path, origin, group } = unknown
  return {
    id: `${UNKNOWN_GROUP} ${policyKey(policy)} ${path} ${group}`,
    severity: 'warning',
    object: `${policy.kind} ${objectKey(policy)}`,
    message: `${path}: ${unknownCidrGroupText(unknown)}`,
    file: origin.file,
    line: origin.line,
    column: 1,
  }
}
