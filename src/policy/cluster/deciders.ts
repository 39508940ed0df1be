// What decided a connection, on either side, in the words of the user's own objects.

import { type ConnectionVerdict, isOnlySeen, type Judgement, rulesOf } from '../engine/evaluate.ts'
import { type L7Parser, type L7Rules } from '../model/l7.ts'
import { type Direction, type PolicyRef, placeText, policyName, type Rule } from '../model/rule.ts'
import type { Cluster, End } from './cluster.ts'
import { isOpened, type Outcome, outcomeOfSide } from './judge.ts'

/** What one side's policies say of a connection. */
export type Decider = {
  readonly direction: Direction
  readonly outcome: Outcome
  /** The rule that decides; undefined where none does: then all is open, or the default of an isolated end denies. */
  readonly rule: Rule | undefined
  /** For a denial by default: the policies that isolate this end. */
  readonly isolatedBy: readonly PolicyRef[]
  /** What judges what is said, or only has it seen. */
  readonly rules?: L7Rules
  /** Of a denial: rules about the same connection that nobody can judge by at once. */
  readonly conflict?: readonly Rule[]
}

/** One for each side that has policies: the sender's egress first, then the receiver's ingress. */
export function decidersOf(cluster: Cluster, from: End, to: End, verdict: ConnectionVerdict): Decider[] {
  return (['egress', 'ingress'] as const).flatMap((direction): Decider[] => {
    const judgement = verdict[direction]
    if (!judgement) return []
    const outcome = outcomeOfSide(judgement)
    const rule = judgement.entry && cluster.repository.rule(judgement.entry.rule)
    const own = direction === 'egress' ? cluster.party(from, to) : cluster.party(to, from)
    const rules = rulesOf(judgement)
    const conflict = conflictOf(cluster, judgement)
    const isDefault = !rule && !conflict && !isOpened(outcome)
    const isolatedBy = isDefault ? (own.policy?.isolatedBy[direction] ?? []) : []
    return [{ direction, outcome, rule, isolatedBy, ...(rules && { rules }), ...(conflict && { conflict }) }]
  })
}

/** The rules that cannot be united, of a denial because of that. */
export function conflictOf(cluster: Cluster, { entry }: Judgement): Rule[] | undefined {
  return entry?.treatment?.conflict?.flatMap(key => cluster.repository.rule(key) ?? [])
}

/** One line: `ingress: NetworkPolicy shop/db ingress[0] (db.yaml:9)`. */
export function deciderText({ direction, outcome, rule, isolatedBy, rules, conflict }: Decider): string {
  const nameOf = ({ policy, path, origin }: Rule): string => `${policyName(policy)} ${path}${placeText(origin)}`
  const said = rules ? `, ${isOnlySeen(rules) ? seenWord(rules) : rulesWord(rules)}` : ''
  if (rule) return `${direction}: ${nameOf(rule)}${said}`
  if (conflict) return `${direction}: ${conflictWord(conflict)}: ${conflict.map(nameOf).join(', ')}`
  if (isOpened(outcome)) return `${direction}: open, no policy isolates it${said}`
  const names = isolatedBy.map(policy => `${policyName(policy)}${placeText(policy.origin)}`)
  return `${direction}: no rule allows it; isolated by ${names.length > 0 ? names.join(', ') : 'the enforcement mode'}`
}

/** For people: what rules have that nobody can judge by at once. */
export const conflictWord = (rules: readonly Pick<Rule, 'l7'>[]): string =>
  new Set(rules.map(({ l7 }) => l7?.parser)).size > 1
    ? 'rules of different protocols'
    : 'rules that end or begin TLS in different ways'

/** For people: in what a rule is other than another that nobody can judge by at once, and what to give both instead. */
export const conflictAdvice = (
  one: Pick<Rule, 'l7'>,
  other: Pick<Rule, 'l7'>,
): { readonly differs: string; readonly instead: string } =>
  one.l7?.parser === other.l7?.parser
    ? { differs: 'ends or begins TLS in another way than', instead: 'the same Secrets, keys and serverNames' }
    : { differs: 'has rules of another protocol than', instead: 'rules of one protocol' }

const PROTOCOL_WORDS: Readonly<Record<L7Parser, string>> = { http: 'HTTP', tls: 'TLS', dns: 'DNS', kafka: 'Kafka' }

/** For people: `HTTP seen`, of what is allowed whatever is said. */
export const seenWord = ({ parser }: Pick<L7Rules, 'parser'>): string => `${PROTOCOL_WORDS[parser]} seen`

/** For people: `HTTP rules`. */
export function rulesWord({ parser, audit }: Pick<L7Rules, 'parser' | 'audit'>): string {
  return `${PROTOCOL_WORDS[parser]} rules${audit ? ' tried out' : ''}`
}
