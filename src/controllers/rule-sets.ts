// Numbers of rule sets for what is said on connections, by their content: the same over
// a restart, and never one with two meanings, for tracked connections carry them. A set
// that no policy map names any more stays for a moment, for what is judged meanwhile.

import type { KeyedL7Rules, L7RuleSet, RuleKey } from '../policy/index.ts'
import type { PolicyMap } from '../tables/index.ts'
import { Linger } from './linger.ts'
import { type Memory, StableNumbers } from './memory.ts'

/** 0 in a policy entry or a flow stands for none. */
const FIRST_NUMBER = 1
/** Longer than a tracked connection lives without a packet. */
const NUMBER_LINGER_MS = 3 * 60 * 60_000
/** Until every connection has been judged anew, and every request that was under way. */
const SET_LINGER_MS = 60_000

export class RuleSets {
  readonly #numbers: StableNumbers
  readonly #numberLinger: Linger<string>
  readonly #setLinger: Linger<string>
  /** By the key of their content: those in use and those that linger. */
  readonly #sets = new Map<string, L7RuleSet>()

  /** @param now milliseconds on a clock that never goes back */
  constructor(memory: Memory, now: () => number) {
    this.#numbers = new StableNumbers('l7-rule-set', memory, FIRST_NUMBER)
    this.#numberLinger = new Linger(NUMBER_LINGER_MS, now)
    this.#setLinger = new Linger(SET_LINGER_MS, now)
    this.#numberLinger.update(this.#numbers.keys())
  }

  /** The set with its number; the same object as long as it stays. */
  of({ key, rules }: KeyedL7Rules): L7RuleSet {
    const known = this.#sets.get(key)
    if (known) return known
    const made = { number: this.#numbers.of(key), rules }
    this.#sets.set(key, made)
    return made
  }

  /** The rules of policies that a set is made of, by the key of its content. */
  rulesIn(key: string): ReadonlySet<RuleKey> {
    return new Set(this.#sets.get(key)?.rules.rules.map(({ rule }) => rule))
  }

  /** The sets that these maps name, and those that maps named a moment ago. */
  rows(maps: readonly PolicyMap[]): L7RuleSet[] {
    const keys = new Set<string>()
    for (const { entries } of maps) for (const key of setKeysOf(entries)) keys.add(key)
    for (const key of this.#numberLinger.update(keys).ended) this.#numbers.forget(key)
    const kept = keys.union(new Set(this.#setLinger.update(keys).lingering))
    for (const key of this.#sets.keys()) if (!kept.has(key)) this.#sets.delete(key)
    return [...kept].flatMap(key => this.#sets.get(key) ?? [])
  }

  /** When the first of the sets that linger can go; undefined when there is none. */
  nextEndMs(): number | undefined {
    return this.#setLinger.nextEndMs()
  }
}

const setKeys = new WeakMap<PolicyMap['entries'], ReadonlySet<string>>()

function setKeysOf(entries: PolicyMap['entries']): ReadonlySet<string> {
  const keys = setKeys.get(entries) ?? new Set(entries.flatMap(({ l7 }) => l7?.key ?? []))
  setKeys.set(entries, keys)
  return keys
}
