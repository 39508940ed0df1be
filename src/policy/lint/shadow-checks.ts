// Rules that never decide, rules that contradict each other, and policies whose order
// nobody has defined.

import { l7Meaning } from '../engine/l7-rules.ts'
import {
  ADMIN_NETWORK_POLICY_KIND,
  BASELINE_ADMIN_NETWORK_POLICY_KIND,
  CLUSTER_NETWORK_POLICY_KIND,
} from '../kinds/kubernetes/cluster-network-policy.ts'
import { placeText, policyName, type Rule } from '../model/rule.ts'
import { alikeIn, type Cell } from './cells.ts'
import { finding, type LintFinding } from './finding.ts'
import type { Landscape } from './landscape.ts'
import type { LintedRule } from './linted-policy.ts'

/** `contradiction`, `duplicate`, `shadowed` and `tie`. */
export function shadowFindings(landscape: Landscape, cells: readonly Cell[]): LintFinding[] {
  const rules = landscape.policies.flatMap(({ specs }) => specs.flatMap(spec => spec.rules))
  const contradicted = contradictions(cells)
  const isTold = new Set(contradicted.map(({ rule }) => rule))
  return [
    ...contradicted.map(({ rule, by }) => contradictionFinding(rule, by)),
    ...idleRules(cells)
      .filter(({ rule }) => !isTold.has(rule) && rule.isEnforced && !movesOthers(rule, rules))
      .map(idleFinding),
    ...ties(cells),
  ]
}

/** The rules that have a part in what becomes of a connection: passes on the way, then the one that decides. */
function acting(cell: Cell): LintedRule[] {
  const found: LintedRule[] = []
  let passedTier: string | undefined
  for (const each of cell) {
    if (each.rule.tier === passedTier) continue
    if (each.rule.action !== 'pass') return [...found, ...deciding(each, cell)]
    found.push(each)
    passedTier = each.rule.tier
  }
  return found
}

/** Rules for what is said act together, unless a rule as strong has none. */
function deciding(first: LintedRule, cell: Cell): LintedRule[] {
  if (!first.rule.l7) return [first]
  const alike = alikeIn(first, cell)
  const plain = alike.find(({ rule }) => !rule.l7)
  return plain ? [plain] : alike
}

/** Rules of one rank and action decide the same: any of them could be the one. One that judges what is said allows less. */
const isAsGood = (a: Rule, b: Rule): boolean =>
  a.precedence === b.precedence &&
  a.action === b.action &&
  a.log === b.log &&
  a.direction === b.direction &&
  (!a.l7 || (b.l7 !== undefined && l7Meaning(a.l7) === l7Meaning(b.l7)))

type Idle = { readonly rule: LintedRule; readonly by: readonly LintedRule[] }

/** Rules without which everything would be decided as it is. Of several that say the same, the first one stays. */
function idleRules(cells: readonly Cell[]): Idle[] {
  const cellsWith = new Map<LintedRule, Cell[]>()
  for (const cell of cells)
    for (const rule of cell) {
      const own = cellsWith.get(rule)
      if (own) own.push(cell)
      else cellsWith.set(rule, [cell])
    }
  const actingIn = new Map(cells.map(cell => [cell, acting(cell)]))
  const idle = new Map<LintedRule, Idle>()
  // The weakest first; among equals the last one.
  for (const rule of [...cellsWith.keys()].reverse().sort((a, b) => a.rule.precedence - b.rule.precedence)) {
    const others = (cellsWith.get(rule) ?? []).map(cell => {
      const part = actingIn.get(cell)?.find(each => isAsGood(each.rule, rule.rule))
      // A pass of the same tier leads past it; else whatever decides comes first.
      if (!part)
        return actingIn.get(cell)?.find(each => each.rule.tier === rule.rule.tier) ?? actingIn.get(cell)?.at(-1)
      return cell.find(each => each !== rule && !idle.has(each) && isAsGood(each.rule, rule.rule))
    })
    const by = others.filter(other => other !== undefined)
    if (by.length === others.length) idle.set(rule, { rule, by: mostFrequent(by) })
  }
  return [...idle.values()]
}

function mostFrequent(rules: readonly LintedRule[]): LintedRule[] {
  const counts = new Map<LintedRule, number>()
  for (const rule of rules) counts.set(rule, (counts.get(rule) ?? 0) + 1)
  return [...counts].sort((a, b) => b[1] - a[1]).map(([rule]) => rule)
}

function idleFinding({ rule, by }: Idle): LintFinding {
  const { owner } = rule.in
  const [first] = by
  const others = by.length > 1 ? ` and ${by.length - 1} more` : ''
  const names = `${first ? ruleName(first, rule) : 'another rule'}${others}`
  const isSame = first && by.length === 1 && sameMatch(first.rule, rule.rule) && isAsGood(rule.rule, first.rule)
  if (isSame && first.in.spec.subject.key === rule.in.spec.subject.key)
    return finding('duplicate', owner.object, rule.place, `says what ${names} says; remove one of them`)
  const what = by.every(other => other.rule.action === rule.rule.action)
    ? `changes nothing: ${names} ${VERBS[rule.rule.action]} all of it already; remove it, or narrow the other`
    : `never decides: ${names} always comes before it; remove it, or narrow the other or change their order`
  return finding('shadowed', owner.object, rule.place, what)
}

const VERBS = { allow: 'allows', deny: 'denies', pass: 'passes' } as const

function ruleName({ rule, in: spec }: LintedRule, from: LintedRule): string {
  if (spec.owner === from.in.owner) return rule.path
  return `${policyName(rule.policy)} ${rule.path}${placeText(rule.origin)}`
}

/** Tier, priority and place: what is left of a precedence without its action. */
const rank = ({ precedence }: Rule): number => precedence >>> 8
/** Tier and priority. */
const priority = ({ precedence }: Rule): number => precedence >>> 16

const sameMatch = (a: Rule, b: Rule): boolean =>
  JSON.stringify([a.direction, a.peers, a.ports]) === JSON.stringify([b.direction, b.peers, b.ports])

type Contradiction = { readonly rule: LintedRule; readonly by: LintedRule }

/** Rules that allow what one rule of the same rank denies wherever they match. */
function contradictions(cells: readonly Cell[]): Contradiction[] {
  const deniers = new Map<LintedRule, ReadonlySet<LintedRule>>()
  for (const cell of cells)
    for (const each of cell) {
      if (each.rule.action !== 'allow' || !each.isEnforced) continue
      const against = new Set(
        cell.filter(other => other.rule.action === 'deny' && other.isEnforced && isOpposite(each, other)),
      )
      deniers.set(each, deniers.get(each)?.intersection(against) ?? against)
    }
  return [...deniers].flatMap(([rule, [by]]) => (by ? [{ rule, by }] : []))
}

/** In one policy the order of its rules decides, where its kind has one; in two policies of such a kind it is a tie. */
function isOpposite(allow: LintedRule, deny: LintedRule): boolean {
  return rank(allow.rule) === rank(deny.rule) && !(isOrdered(allow.rule) && isOrdered(deny.rule))
}

const ORDERED_KINDS: ReadonlySet<string> = new Set([
  CLUSTER_NETWORK_POLICY_KIND,
  ADMIN_NETWORK_POLICY_KIND,
  BASELINE_ADMIN_NETWORK_POLICY_KIND,
])
const isOrdered = ({ policy }: Rule): boolean => ORDERED_KINDS.has(policy.kind)

/** Whether the rules after it, once in its place, would come before those of another policy of the same priority. */
function movesOthers({ rule, in: { owner } }: LintedRule, rules: readonly LintedRule[]): boolean {
  if (!isOrdered(rule)) return false
  const others = rules.filter(other => other.rule.direction === rule.direction)
  const hasNext = others.some(other => other.in.owner === owner && other.rule.index > rule.index)
  const isRival = (other: LintedRule): boolean => other.in.owner !== owner && priority(other.rule) === priority(rule)
  return hasNext && others.some(isRival)
}

function contradictionFinding(rule: LintedRule, by: LintedRule): LintFinding {
  const what = sameMatch(rule.rule, by.rule) ? 'the same peers and ports' : 'everything that this allows'
  const message = `has no effect: ${ruleName(by, rule)} denies ${what}, and a denial wins; remove one of them`
  return finding('contradiction', rule.in.owner.object, rule.place, message)
}

/** Policies of one tier and priority, each of which would decide alone, and differently. */
function ties(cells: readonly Cell[]): LintFinding[] {
  const told = new Map<string, LintFinding>()
  for (const cell of cells)
    for (const first of acting(cell)) {
      if (!isOrdered(first.rule)) continue
      const rivals = cell.filter(
        other =>
          isOrdered(other.rule) &&
          other.in.owner !== first.in.owner &&
          priority(other.rule) === priority(first.rule) &&
          other.rule.action !== first.rule.action &&
          isFirstOfItsPolicy(other, cell),
      )
      for (const rival of rivals) {
        const [a, b] = [first, rival].sort((x, y) =>
          policyName(x.rule.policy) < policyName(y.rule.policy) ? -1 : 1,
        ) as [LintedRule, LintedRule]
        const key = `${policyName(a.rule.policy)} ${policyName(b.rule.policy)}`
        if (!told.has(key)) told.set(key, tieFinding(a, b))
      }
    }
  return [...told.values()]
}

/** What a policy says is what its first matching rule says. */
const isFirstOfItsPolicy = (rule: LintedRule, cell: Cell): boolean =>
  cell.find(each => each.in.owner === rule.in.owner) === rule

function tieFinding(a: LintedRule, b: LintedRule): LintFinding {
  const { object } = b.in.owner
  const message =
    `has the tier and priority of ${policyName(a.rule.policy)}, whose ${a.rule.path} ${VERBS[a.rule.action]} what ` +
    `${b.rule.path} here ${VERBS[b.rule.action]}; the API leaves undefined which one wins: give them different priorities`
  return finding('tie', object, ['spec', 'priority'], message)
}
