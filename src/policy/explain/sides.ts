// What the policies of one end of a connection say: which rules match, in which role,
// and which of those that might have allowed it do not. The verdict is the engine's;
// here it is laid open.

import type { Cluster, ClusterPod, End } from '../cluster/cluster.ts'
import { conflictOf } from '../cluster/deciders.ts'
import { isOpened, outcomeOfSide } from '../cluster/judge.ts'
import { podName } from '../cluster/reach.ts'
import { type Judgement, rulesOf } from '../engine/evaluate.ts'
import type { IsolatingPolicy } from '../engine/isolation.ts'
import type { L7Rules } from '../model/l7.ts'
import { compareRules, type Direction, type Rule, type Tier } from '../model/rule.ts'
import { specsSelecting } from './cluster-index.ts'
import type { Decision, JudgedSide, MatchingRule, MatchRole, MissedRule } from './explanation.ts'
import { type Asked, missesOf, ruleMatches } from './rule-matching.ts'
import { policyView, ruleView } from './views.ts'

/** Most rules shown that do not match. */
const SHOWN_MISSES = 5

/** A question to the policies of one pod. */
export type SideQuestion = {
  readonly cluster: Cluster
  readonly pod: ClusterPod
  readonly end: End
  readonly peer: End
  readonly direction: Direction
  readonly protocol: number
  readonly port: number
}

export function explainSide(question: SideQuestion, judgement: Judgement): JudgedSide {
  const { cluster, pod, end, peer, direction } = question
  const asked = askedOf(question)
  const rules = specsSelecting(cluster, cluster.podLabels(pod)).flatMap(({ spec }) =>
    spec.rules.filter(rule => rule.direction === direction),
  )
  const matching = rules.filter(rule => ruleMatches(rule, asked)).sort(compareRules)
  const isolatedBy = cluster.party(end, peer).policy?.isolatedBy[direction] ?? []
  const decider = judgement.entry && cluster.repository.rule(judgement.entry.rule)
  const outcome = outcomeOfSide(judgement)
  const conflict = conflictOf(cluster, judgement)
  const missed = !isOpened(outcome) && !decider && !conflict ? missedRules(rules, asked) : []
  const l7 = rulesOf(judgement)
  return {
    judged: true,
    pod: podName(pod),
    verdict: outcome,
    decision: decisionOf(cluster, judgement),
    ...(l7 && { rules: l7 }),
    isolatedBy: isolatedBy.map(policyView),
    matching: rolesOf(matching, decider ?? conflict?.[0], { isolatedBy, conflict, l7 }),
    missed: missed.slice(0, SHOWN_MISSES),
    missedCount: missed.length,
  }
}

export function decisionOf(cluster: Cluster, judgement: Judgement): Decision {
  const decider = judgement.entry && cluster.repository.rule(judgement.entry.rule)
  if (decider) return { kind: 'rule', rule: ruleView(decider) }
  const conflict = conflictOf(cluster, judgement)
  if (conflict) return { kind: 'conflict', rules: conflict.map(ruleView) }
  return { kind: isOpened(outcomeOfSide(judgement)) ? 'not-isolated' : 'default-deny' }
}

function askedOf({ cluster, pod, end, peer, protocol, port }: SideQuestion): Asked {
  return { peer: cluster.addressLabels(peer, end), protocol, port, subjectPorts: pod.namedPorts }
}

type SideAnswer = {
  readonly isolatedBy: readonly IsolatingPolicy[]
  readonly conflict: readonly Rule[] | undefined
  readonly l7: L7Rules | undefined
}

/** @param matching strongest first; `decider` one of them, or one of those in conflict */
function rolesOf(
  matching: readonly Rule[],
  decider: Rule | undefined,
  { isolatedBy, conflict, l7 }: SideAnswer,
): MatchingRule[] {
  const isIsolated = isolatedBy.length > 0
  let passedTier: Tier | undefined
  let hasDecided = false
  const roleOf = (rule: Rule): MatchRole => {
    const isAsStrong = rule.precedence === decider?.precedence && rule.action === decider.action
    if (isAsStrong && conflict && !rule.audit) return 'conflicts'
    if (isAsStrong && rule.l7 && !l7 && !rule.audit && rule.key !== decider.key) return 'lifted'
    if (hasDecided && isAsStrong && rule.l7 && !rule.audit) return 'judges'
    if (hasDecided) return rule.precedence === decider?.precedence ? 'tie' : 'shadowed'
    if (rule.key === decider?.key) {
      hasDecided = true
      return 'decides'
    }
    if (rule.tier === passedTier || (rule.tier === 'baseline' && isIsolated)) return 'skipped'
    if (rule.audit) return 'audited'
    if (rule.action !== 'pass') return 'skipped'
    passedTier = rule.tier
    return 'passes'
  }
  return matching.map(rule => ({ ...ruleView(rule), role: roleOf(rule) }))
}

/** Rules that would have allowed it, had they matched; the nearest first. */
function missedRules(rules: readonly Rule[], asked: Asked): MissedRule[] {
  return rules
    .filter(rule => rule.action === 'allow' && !ruleMatches(rule, asked))
    .map(rule => ({ rule, ...missesOf(rule, asked) }))
    .sort((a, b) => a.distance - b.distance || compareRules(a.rule, b.rule))
    .map(({ rule, misses }) => ({ ...ruleView(rule), because: misses }))
}
