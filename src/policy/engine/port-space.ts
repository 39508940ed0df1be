// From rules to decisions over the space of protocols and ports: which rule decides a
// connection to each port, all rules considered. Nothing here knows of identities or
// of map entries.

import { NOT_ISOLATED_PRECEDENCE } from '../model/precedence.ts'
import { DEFAULT_DENY, NOT_ISOLATED, type Rule, type RuleKey, type Tier, type Treatment } from '../model/rule.ts'

export type Verdict = 'allow' | 'deny'

export const LAST_PORT = 0xffff

/** Ports of one protocol, or all of every protocol (`protocol` 0, then `first` 0 and `last` 65535). */
export type PortSpan = { readonly protocol: number; readonly first: number; readonly last: number }

export const ALL_PORTS: PortSpan = { protocol: 0, first: 0, last: LAST_PORT }

/** A rule with its ports as numbers. */
export type RuleSpans = { readonly rule: Rule; readonly spans: readonly PortSpan[] }

/** What decides a connection. Of one Decider, equal decisions are the same object. */
export type Decision = {
  readonly verdict: Verdict
  /** What the kernel compares: that of the deciding rule, or one lent by the first pass rule on the way to it. */
  readonly precedence: number
  readonly rule: RuleKey
  readonly treatment?: Treatment | undefined
}

/** A run of ports with one decision; undefined: no rule decides and the subject is isolated. */
export type Region = { readonly first: number; readonly last: number; readonly decision: Decision | undefined }

/** Regions by protocol, each list whole from 0 to 65535 and without equal neighbours. Protocol 0 is every other protocol: one region. */
export type PortSpace = ReadonlyMap<number, readonly Region[]>

/** Decides for one subject in one direction. */
export class Decider {
  readonly #isIsolated: boolean
  readonly #decisions = new Map<string, Decision>()
  readonly #withOwnPrecedence = new Map<Decision, Decision>()

  constructor(isIsolated: boolean) {
    this.#isIsolated = isIsolated
  }

  /** Whether a rule is asked at all: the baseline tier is not where the normal tier isolates. */
  considers(rule: Rule): boolean {
    return !(this.#isIsolated && rule.tier === 'baseline')
  }

  /** The decision of rules that all match a connection, in the order of `compareRules`. */
  decide(matching: Iterable<Rule>): Decision | undefined {
    let first: Rule | undefined
    let passedTier: Tier | undefined
    for (const rule of matching) {
      if (rule.tier === passedTier || !this.considers(rule)) continue
      first ??= rule
      const { action: verdict, precedence, key, treatment } = rule
      if (verdict !== 'pass') return this.#lend(first, this.#decision(verdict, precedence, key, treatment))
      passedTier = rule.tier
    }
    if (!this.#isIsolated) return this.#lend(first, this.#decision('allow', NOT_ISOLATED_PRECEDENCE, NOT_ISOLATED))
    return first && this.#lend(first, this.#decision('deny', 0, DEFAULT_DENY))
  }

  /** The decision with its rule's own precedence: the same outcome, for where none need be lent. */
  withOwnPrecedence(decision: Decision): Decision {
    return this.#withOwnPrecedence.get(decision) ?? decision
  }

  /** Decisions over all ports of the named protocols and of the rest. `rules` in the order of `compareRules`. */
  space(rules: readonly RuleSpans[], protocols: Iterable<number>): PortSpace {
    return new Map([...protocols, 0].map(protocol => [protocol, this.#regions(rules, protocol)]))
  }

  #regions(rules: readonly RuleSpans[], protocol: number): Region[] {
    const changes = changesAt(rules, protocol)
    const bounds = [...changes.keys()].sort((a, b) => a - b)
    const active = new ActiveRules()
    const regions: Region[] = []
    for (const [i, first] of bounds.entries()) {
      for (const change of changes.get(first) ?? []) active.apply(change)
      const decision = this.decide(active.inOrder(rules))
      const last = (bounds[i + 1] ?? LAST_PORT + 1) - 1
      const previous = regions.at(-1)
      if (previous && previous.decision === decision) regions[regions.length - 1] = { ...previous, last }
      else regions.push({ first, last, decision })
    }
    return regions
  }

  #lend(lender: Rule | undefined, own: Decision): Decision {
    if (!lender || lender.precedence === own.precedence) return own
    const lent = this.#decision(own.verdict, lender.precedence, own.rule, own.treatment)
    this.#withOwnPrecedence.set(lent, own)
    return lent
  }

  #decision(verdict: Verdict, precedence: number, rule: RuleKey, treatment?: Treatment): Decision {
    const key = `${verdict} ${precedence} ${rule} ${treatment ? treatmentKey(treatment) : ''}`
    const known = this.#decisions.get(key)
    if (known) return known
    const decision: Decision = treatment ? { verdict, precedence, rule, treatment } : { verdict, precedence, rule }
    this.#decisions.set(key, decision)
    return decision
  }
}

/** Canonical text of a treatment. */
export function treatmentKey({ audit, authentication, l7 }: Treatment): string {
  return JSON.stringify([audit ?? false, authentication ?? '', l7 ?? ''])
}

type Change = { readonly rank: number; readonly step: 1 | -1 }

/** Where rules, by their place in the list, begin and end to match. There is always a bound at 0 and none past the last port. */
function changesAt(rules: readonly RuleSpans[], protocol: number): Map<number, Change[]> {
  const changes = new Map<number, Change[]>([[0, []]])
  const add = (port: number, change: Change): void => {
    const known = changes.get(port)
    if (known) known.push(change)
    else changes.set(port, [change])
  }
  for (const [rank, { spans }] of rules.entries())
    for (const span of spans)
      if (span.protocol === 0 || span.protocol === protocol) {
        add(span.first, { rank, step: 1 })
        if (span.last < LAST_PORT) add(span.last + 1, { rank, step: -1 })
      }
  return changes
}

/** The rules that match at the sweep's place, kept in order. A rule counts as often as its spans overlap. */
class ActiveRules {
  readonly #counts = new Map<number, number>()
  readonly #ranks: number[] = []

  apply({ rank, step }: Change): void {
    const before = this.#counts.get(rank) ?? 0
    this.#counts.set(rank, before + step)
    if (before === 0) this.#ranks.splice(this.#place(rank), 0, rank)
    else if (before + step === 0) this.#ranks.splice(this.#place(rank), 1)
  }

  *inOrder(rules: readonly RuleSpans[]): Generator<Rule> {
    for (const rank of this.#ranks) yield (rules[rank] as RuleSpans).rule
  }

  #place(rank: number): number {
    let low = 0
    let high = this.#ranks.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#ranks[middle] as number) < rank) low = middle + 1
      else high = middle
    }
    return low
  }
}
