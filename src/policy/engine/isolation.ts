// Who denies a subject what no rule allows: policies, those of them that are only tried
// out, or the mode of the whole cluster.

import type { EnforcementMode } from '../model/enforcement.ts'
import {
  type Audit,
  comparePolicies,
  DIRECTIONS,
  type Direction,
  type Policy,
  type PolicyRef,
  type PolicySpec,
} from '../model/rule.ts'

/**
 * What becomes of a connection that no rule decides.
 * - `none`: it is allowed
 * - `mode`: it is denied because the cluster's mode is `always`. That is a default like the one it replaces, so the rules
 *   of the baseline tier are asked before it: who wrote a baseline that lets pods ask the cluster's DNS has said what
 *   the default of the cluster is to leave open.
 * - `policy`: it is denied because a policy isolates the subject, and the baseline tier is not asked
 */
export type Isolation = 'none' | 'mode' | 'policy'

/** By all that selects a subject, and by what is enforced of it. */
export type Isolations = { readonly all: Isolation; readonly enforced: Isolation }

/** A policy that isolates. `audit`: what is denied only because the policy isolates is recorded and passes. */
export type IsolatingPolicy = PolicyRef & Audit

/** The policies that isolate a subject in each direction. In the order of their names. */
export type IsolatedBy = Readonly<Record<Direction, readonly IsolatingPolicy[]>>

type PolicyOfSpec = { readonly spec: PolicySpec; readonly policy: Pick<Policy, 'ref'> }

/** `isAudited`: whether nothing at all is enforced at the subject. */
export function isolationsOf(
  specs: readonly { readonly spec: PolicySpec }[],
  direction: Direction,
  mode: Exclude<EnforcementMode, 'never'>,
  isAudited: boolean,
): Isolations {
  const isolating = specs.filter(({ spec }) => spec.isolates[direction])
  const byDefault = mode === 'always' ? 'mode' : 'none'
  const all = isolating.length > 0 ? 'policy' : byDefault
  if (isAudited) return { all, enforced: 'none' }
  return { all, enforced: isolating.some(({ spec }) => !spec.audit) ? 'policy' : byDefault }
}

/** A policy that isolates by a spec that is enforced and by one that is not counts as enforced. */
export function isolatingPolicies(specs: readonly PolicyOfSpec[], isAudited: boolean): IsolatedBy {
  const [ingress = [], egress = []] = DIRECTIONS.map(direction => {
    const isolating = specs.filter(({ spec }) => spec.isolates[direction])
    const enforced = new Set(isolating.filter(({ spec }) => !spec.audit && !isAudited).map(({ policy }) => policy.ref))
    return [...new Set(isolating.map(({ policy }) => policy.ref))]
      .sort(comparePolicies)
      .map((ref): IsolatingPolicy => (enforced.has(ref) ? ref : Object.freeze({ ...ref, audit: true })))
  })
  return Object.freeze({ ingress: Object.freeze(ingress), egress: Object.freeze(egress) })
}
