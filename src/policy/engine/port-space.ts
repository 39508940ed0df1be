// From rules to decisions over the space of protocols and ports: which rule decides a
// connection to each port, all rules considered. Nothing here knows of identities or
// of map entries.

import type { KeyedL7Rules, L7Parser, Visibility } from '../model/l7.ts'
import { DEFAULT_PRECEDENCE } from '../model/precedence.ts'
import {
  DEFAULT_DENY,
  L7_CONFLICT,
  NOT_ISOLATED,
  type Rule,
  type RuleKey,
  type Tier,
  type Treatment,
} from '../model/rule.ts'
import type { Isolation, Isolations } from './isolation.ts'
import { everythingOf, judgeOf, L7Unions, triedOut } from './l7-rules.ts'

/** What an entry says of a packet. */
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

/** `some` where those that are audited are not, `none` where the subject itself is audited. */
export type EnforcedRules = 'all' | 'some' | 'none'

const AUDIT: Treatment = Object.freeze({ audit: true })

/** Ports of one direction where what is said is to be seen. */
export type VisiblePort = Omit<Visibility, 'direction'>

/**
 * Decides for one subject in one direction, twice: by all rules, and by those alone that are enforced. What the enforced
 * ones deny is denied. What only all of them deny is a denial for the record, which passes; but not where the enforced
 * ones have rules for what is said, for these must go on to judge it. Where the enforced ones allow whatever is said, and
 * all of them would judge it, it is judged for the record. What neither denies is allowed, by the rule that all of them
 * name.
 */
export class Decider {
  readonly #all: Reading
  /** The same where nothing is audited. */
  readonly #enforced: Reading
  readonly #visible: readonly VisiblePort[]
  readonly #triesRequests: boolean
  readonly #unions = new L7Unions()
  readonly #decisions = new Map<string, Decision>()
  readonly #withOwnPrecedence = new Map<Decision, Decision>()

  constructor(
    { all, enforced }: Isolations,
    enforcedRules: EnforcedRules,
    visible: readonly VisiblePort[] = [],
    triesRequests = true,
  ) {
    this.#triesRequests = triesRequests
    this.#all = { isolation: all, asked: 'all' }
    const isSame = enforcedRules === 'all' && all === enforced
    this.#enforced = isSame ? this.#all : { isolation: enforced, asked: enforcedRules }
    this.#visible = visible
  }

  /** Whether a rule is asked at all: the baseline tier is not where a policy of the normal tier isolates. */
  considers(rule: Rule): boolean {
    return asks(this.#all, rule) || asks(this.#enforced, rule)
  }

  /**
   * The decision of rules that all match a connection, in the order of `compareRules`. `visible`: in whose language what
   * is said is to be seen, if it is allowed and nobody judges it.
   */
  decide(matching: Iterable<Rule>, visible?: L7Parser): Decision | undefined {
    const rules = Array.isArray(matching) ? matching : [...matching]
    // Lent from the first rule that either reading asks: more rules never make it weaker.
    const lender = rules.find(rule => this.considers(rule))
    const enforced = this.#answer(this.#enforced, rules)
    if (enforced.verdict === 'deny') {
      const { rule, treatment } = enforced
      if (rule) return this.#lend(lender, this.#decision('deny', rule.precedence, rule.key, treatment))
      return lender && this.#lend(lender, this.#decision('deny', 0, DEFAULT_DENY))
    }
    const all = this.#enforced === this.#all ? enforced : this.#answer(this.#all, rules)
    if (all.verdict === 'deny' && !enforced.treatment?.l7) {
      const { precedence, key } = all.rule ?? BY_DEFAULT
      return this.#lend(lender, this.#decision('deny', precedence, key, { ...AUDIT, ...onlyConflict(all.treatment) }))
    }
    const tried = this.#triesRequests && !enforced.treatment?.l7 ? rulesToTry(all) : undefined
    if (tried) {
      const { precedence, key } = all.rule ?? OPEN
      return this.#lend(lender, this.#decision('allow', precedence, key, { ...enforced.treatment, l7: tried }))
    }
    // What is tried out may name the rule, and never how the connection is treated.
    const named = all.verdict === 'allow' && isTreatedAlike(all, enforced) ? all : enforced
    const treatment = named.treatment?.l7 || !visible ? named.treatment : seen(named.treatment, visible)
    const { precedence, key } = named.rule ?? OPEN
    return this.#lend(lender, this.#decision('allow', precedence, key, treatment))
  }

  /** The decision with its rule's own precedence: the same outcome, for where none need be lent. */
  withOwnPrecedence(decision: Decision): Decision {
    return this.#withOwnPrecedence.get(decision) ?? decision
  }

  /** Decisions over all ports of the named protocols and of the rest. `rules` in the order of `compareRules`. */
  space(rules: readonly RuleSpans[], protocols: Iterable<number>): PortSpace {
    const visible = this.#visible.map(({ protocol }) => protocol)
    return new Map([...protocols, ...visible, 0].map(protocol => [protocol, this.#regions(rules, protocol)]))
  }

  #regions(rules: readonly RuleSpans[], protocol: number): Region[] {
    const changes = changesAt(rules, protocol)
    const visible = new Map<number, L7Parser>()
    for (const { protocol: own, port, parser } of this.#visible)
      if (own === protocol) {
        if (!visible.has(port)) visible.set(port, parser)
        for (const bound of [port, port + 1]) if (bound <= LAST_PORT && !changes.has(bound)) changes.set(bound, [])
      }
    const bounds = [...changes.keys()].sort((a, b) => a - b)
    const active = new ActiveRules()
    const regions: Region[] = []
    for (const [i, first] of bounds.entries()) {
      for (const change of changes.get(first) ?? []) active.apply(change)
      const decision = this.decide(active.inOrder(rules), visible.get(first))
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

  /** What one reading says. Rules that allow alike are alternatives: one of them without rules for what is said lifts the others'. */
  #answer(reading: Reading, rules: readonly Rule[]): Answer {
    const first = decisiveRule(reading, rules)
    if (!first) return reading.isolation === 'none' ? OPENED : CLOSED
    const { action, precedence, key, l7, treatment } = first
    if (action === 'deny') return { verdict: 'deny', rule: first, treatment }
    if (!l7) return { verdict: 'allow', rule: first, treatment }
    const alike = rules.filter(rule => rule.precedence === precedence && asks(reading, rule))
    const plain = alike.find(rule => !rule.l7)
    if (plain) return { verdict: 'allow', rule: plain, treatment: plain.treatment }
    const united = this.#unions.unite(alike)
    if ('key' in united) return { verdict: 'allow', rule: { key, precedence }, treatment: { ...treatment, l7: united } }
    return { verdict: 'deny', rule: { key: L7_CONFLICT, precedence }, treatment: united }
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

/** One way to read the rules. */
type Reading = { readonly isolation: Isolation; readonly asked: EnforcedRules }

function asks({ isolation, asked }: Reading, rule: Rule): boolean {
  if (asked === 'none' || (asked === 'some' && rule.audit)) return false
  return !(isolation === 'policy' && rule.tier === 'baseline')
}

/** The rule that decides, or undefined: the default does. */
function decisiveRule(reading: Reading, rules: readonly Rule[]): Rule | undefined {
  let passedTier: Tier | undefined
  for (const rule of rules) {
    if (rule.tier === passedTier || !asks(reading, rule)) continue
    if (rule.action !== 'pass') return rule
    passedTier = rule.tier
  }
  return undefined
}

/** What a reading says. `rule` undefined: the default does. */
type Answer = {
  readonly verdict: Verdict
  readonly rule?: Pick<Rule, 'key' | 'precedence'>
  readonly treatment?: Treatment | undefined
}
const OPENED: Answer = { verdict: 'allow' }
const CLOSED: Answer = { verdict: 'deny' }
const OPEN = { key: NOT_ISOLATED, precedence: DEFAULT_PRECEDENCE }
const BY_DEFAULT = { key: DEFAULT_DENY, precedence: DEFAULT_PRECEDENCE }

const isTreatedAlike = (a: Answer, b: Answer): boolean =>
  a === b || treatmentKey(a.treatment ?? {}) === treatmentKey(b.treatment ?? {})

const onlyConflict = (treatment: Treatment = {}): Treatment =>
  treatment.conflict ? { conflict: treatment.conflict } : {}

const seen = (treatment: Treatment | undefined, parser: L7Parser): Treatment => ({
  ...treatment,
  l7: everythingOf(parser),
})

/** To end TLS for the record alone would change what both ends see of it. */
function rulesToTry({ treatment }: Answer): KeyedL7Rules | undefined {
  const l7 = treatment?.l7
  return l7 && judgeOf(l7.rules) !== 'https' ? triedOut(l7) : undefined
}

/** Canonical text of a treatment. */
export function treatmentKey({ audit, authentication, l7, conflict }: Treatment): string {
  return JSON.stringify([audit ?? false, authentication ?? '', l7?.key ?? '', conflict ?? ''])
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
