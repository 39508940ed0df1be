// From resolved policies to the rows of policy maps and rules. Holds the numbers that
// both have: the same over a restart, and none given twice. A rule's number keeps its
// text as long as an event or a tracked connection can carry it.

import {
  DEFAULT_DENY,
  judgeOf,
  L7_CONFLICT,
  type L7RuleSet,
  NOT_ISOLATED,
  placeText,
  policyName,
  type ResolvedPolicy,
  type Rule,
  type RuleKey,
  VISIBILITY,
} from '../policy/index.ts'
import type { NumberedEntry, NumberedRule, PolicyMap } from '../tables/index.ts'
import { Linger } from './linger.ts'
import { type Memory, ruleNumbers, StableNumbers } from './memory.ts'
import type { Subject } from './pod-labels.ts'
import { RuleSets } from './rule-sets.ts'

/** Longer than a tracked connection lives without a packet. */
const RULE_LINGER_MS = 3 * 60 * 60_000
const FIRST_POLICY_ID = 1

export class PolicyRows {
  readonly #rules: ReturnType<typeof ruleNumbers>
  readonly #ids: StableNumbers
  readonly #ruleLinger: Linger<RuleKey>
  readonly #ruleSets: RuleSets
  /** Entries with numbers, by content. */
  #numbered: ReadonlyMap<string, readonly NumberedEntry[]> = new Map()

  /** @param now milliseconds on a clock that never goes back */
  constructor(memory: Memory, now: () => number) {
    this.#rules = ruleNumbers(memory)
    this.#ids = new StableNumbers('policy-map', memory, FIRST_POLICY_ID)
    this.#ruleLinger = new Linger(RULE_LINGER_MS, now)
    this.#ruleLinger.update(this.#rules.keys())
    this.#ruleSets = new RuleSets(memory, now)
  }

  /** Keys of subjects that have a policy map's number, also from an earlier run. */
  subjectKeys(): string[] {
    return this.#ids.keys()
  }

  /** Number of a subject's policy map. */
  idOf({ key }: Pick<Subject, 'key'>): number {
    return this.#ids.of(key)
  }

  /** Lets go of a subject's policy map; its number is not given again. */
  forget(subjectKey: string): void {
    this.#ids.forget(subjectKey)
  }

  /** Rows of policy maps. What the last call made is made anew only where its content differs. */
  policyMaps(policies: Iterable<readonly [Subject, ResolvedPolicy]>): PolicyMap[] {
    const numbered = new Map<string, readonly NumberedEntry[]>()
    const rows = Array.from(policies, ([subject, { key, entries, isolatedBy }]): PolicyMap => {
      const mine = numbered.get(key) ?? this.#numbered.get(key) ?? entries.map(entry => this.#number(entry))
      numbered.set(key, mine)
      return { id: this.idOf(subject), subject: subject.key, entries: mine, contentKey: key, isolatedBy }
    })
    this.#numbered = numbered
    return rows
  }

  /** Of the rules that decide, and of those whose rules for what is said they are told with. */
  #ruleKeysOf(entries: readonly NumberedEntry[]): ReadonlySet<RuleKey> {
    const known = ruleKeys.get(entries)
    if (known) return known
    const keys = new Set<RuleKey>()
    const sets = new Set<string>()
    for (const { key, l7 } of entries) {
      keys.add(key)
      if (l7) sets.add(l7.key)
    }
    for (const set of sets) for (const key of this.#ruleSets.rulesIn(set)) keys.add(key)
    ruleKeys.set(entries, keys)
    return keys
  }

  #number({ rule, treatment, ...entry }: ResolvedPolicy['entries'][number]): NumberedEntry {
    const numbered = { ...entry, key: rule, rule: this.#rules.of(rule) }
    if (!treatment) return numbered
    const { l7, ...others } = treatment
    const treated = Object.keys(others).length > 0 ? { ...numbered, treatment: others } : numbered
    if (!l7) return treated
    const { audit } = l7.rules
    const judged = { number: this.#ruleSets.of(l7).number, key: l7.key, judge: judgeOf(l7.rules) }
    return { ...treated, l7: audit ? { ...judged, audit } : judged }
  }

  /** The rule sets that the maps name, and those that maps named a moment ago. */
  ruleSets(maps: readonly PolicyMap[]): L7RuleSet[] {
    return this.#ruleSets.rows(maps)
  }

  /** When something that is kept for a moment can go; undefined when there is nothing. */
  nextEndMs(): number | undefined {
    return this.#ruleSets.nextEndMs()
  }

  /**
   * Rows of the rules that maps carry, and of those that events may still carry.
   * @param ruleOf a rule that is in force
   * @param before what was said of a number before
   */
  rules(
    maps: readonly PolicyMap[],
    ruleOf: (key: RuleKey) => Rule | undefined,
    before: (number: number) => NumberedRule | undefined,
  ): NumberedRule[] {
    const keys = new Set<RuleKey>()
    for (const { entries } of maps) for (const key of this.#ruleKeysOf(entries)) keys.add(key)
    const { lingering, ended } = this.#ruleLinger.update(keys)
    for (const key of ended) this.#rules.forget(key)
    return [...keys, ...lingering].map(key => {
      const number = this.#rules.of(key)
      const rule = ruleOf(key)
      const text = ruleText(key, rule)
      if (text === undefined) return before(number) ?? { number, key, text: key }
      return { number, key, text, ...(rule && furtherOf(rule)) }
    })
  }
}

function furtherOf({ policy, path, origin: { file }, l7Lines: lines, log }: Rule): Pick<NumberedRule, 'said' | 'log'> {
  return {
    ...(lines && { said: { name: `${policyName(policy)} ${path}`, file, lines } }),
    ...(log !== undefined && { log }),
  }
}

const ruleKeys = new WeakMap<readonly NumberedEntry[], ReadonlySet<RuleKey>>()

function ruleText(key: RuleKey, rule: Rule | undefined): string | undefined {
  if (key === NOT_ISOLATED) return 'open: no policy isolates this direction'
  if (key === DEFAULT_DENY) return 'default deny'
  if (key === VISIBILITY) return 'seen, and not judged: visibility is asked for'
  if (key === L7_CONFLICT) return 'conflict: rules that nobody can judge by at once, about the same peer and port'
  if (!rule) return undefined
  const { policy, path, origin } = rule
  return `${policyName(policy)} ${path}${placeText(origin)}`
}
