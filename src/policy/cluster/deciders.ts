// What decided a connection, on either side, in the words of the user's own objects.

import type { ConnectionVerdict } from '../engine/evaluate.ts'
import { type Direction, type PolicyRef, placeText, policyName, type Rule } from '../model/rule.ts'
import type { Cluster, End } from './cluster.ts'
import { type Outcome, outcomeOfSide } from './judge.ts'

/** What one side's policies say of a connection. */
export type Decider = {
  readonly direction: Direction
  readonly outcome: Outcome
  /** The rule that decides; undefined where none does: then all is open, or the default of an isolated end denies. */
  readonly rule: Rule | undefined
  /** For a denial by default: the policies that isolate this end. */
  readonly isolatedBy: readonly PolicyRef[]
}

/** One for each side that has policies: the sender's egress first, then the receiver's ingress. */
export function decidersOf(cluster: Cluster, from: End, to: End, verdict: ConnectionVerdict): Decider[] {
  return (['egress', 'ingress'] as const).flatMap((direction): Decider[] => {
    const judgement = verdict[direction]
    if (!judgement) return []
    const outcome = outcomeOfSide(judgement)
    const rule = judgement.entry && cluster.repository.rule(judgement.entry.rule)
    const own = direction === 'egress' ? cluster.party(from, to) : cluster.party(to, from)
    const isolatedBy = !rule && outcome !== 'allowed' ? (own.policy?.isolatedBy[direction] ?? []) : []
    return [{ direction, outcome, rule, isolatedBy }]
  })
}

/** One line: `ingress: NetworkPolicy shop/db ingress[0] (db.yaml:9)`. */
export function deciderText({ direction, outcome, rule, isolatedBy }: Decider): string {
  if (rule) return `${direction}: ${policyName(rule.policy)} ${rule.path}${placeText(rule.origin)}`
  if (outcome === 'allowed') return `${direction}: open, no policy isolates it`
  const names = isolatedBy.map(policy => `${policyName(policy)}${placeText(policy.origin)}`)
  return `${direction}: no rule allows it; isolated by ${names.length > 0 ? names.join(', ') : 'the enforcement mode'}`
}
