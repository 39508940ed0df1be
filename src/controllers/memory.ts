// Numbers that must mean the same after a restart of the agent, and where they are
// remembered. A number for a rule is never given to another one: events and tracked
// connections may carry it for as long as the kernel runs.

import { DEFAULT_DENY, L7_CONFLICT, NOT_ISOLATED, type RuleKey } from '../policy/index.ts'

/** Where facts outlive the process; the agent's journal. */
export type Memory = {
  entries(kind: string): ReadonlyMap<string, unknown>
  set(kind: string, key: string, value: unknown): void
  delete(kind: string, key: string): void
}

/** For tests and one-off runs. */
export function volatileMemory(): Memory {
  const kinds = new Map<string, Map<string, unknown>>()
  const factsOf = (kind: string): Map<string, unknown> => {
    const facts = kinds.get(kind) ?? new Map<string, unknown>()
    kinds.set(kind, facts)
    return facts
  }
  return {
    entries: factsOf,
    set: (kind, key, value) => void factsOf(kind).set(key, value),
    delete: (kind, key) => void factsOf(kind).delete(key),
  }
}

/** Numbers of keys that are no rule of any policy. 0 means that no rule decided. */
const FIXED_RULE_NUMBERS: ReadonlyMap<RuleKey, number> = new Map([
  [NOT_ISOLATED, 1],
  [DEFAULT_DENY, 2],
  [L7_CONFLICT, 3],
])
const FIRST_RULE_NUMBER = 16
const LAST_NUMBER = 2 ** 32 - 1

/** Gives a number to each key, the same one until it is forgotten, and none twice. */
export class StableNumbers {
  readonly #kind: string
  readonly #memory: Memory
  readonly #numbers = new Map<string, number>()
  #next: number

  /** @param first the lowest number to give */
  constructor(kind: string, memory: Memory, first: number) {
    this.#kind = kind
    this.#memory = memory
    this.#next = first
    const highest = memory.entries(HIGHEST).get(kind)
    if (isNumber(highest)) this.#next = Math.max(this.#next, highest + 1)
    for (const [key, number] of memory.entries(kind)) {
      if (!isNumber(number)) continue
      this.#numbers.set(key, number)
      this.#next = Math.max(this.#next, number + 1)
    }
  }

  /** @throws Error when all numbers have been given */
  of(key: string): number {
    const known = this.#numbers.get(key)
    if (known !== undefined) return known
    if (this.#next > LAST_NUMBER) throw new Error(`no ${this.#kind} number is left`)
    const number = this.#next++
    this.#memory.set(this.#kind, key, number)
    this.#numbers.set(key, number)
    return number
  }

  /** Keys that have a number, those of an earlier run too. */
  keys(): string[] {
    return [...this.#numbers.keys()]
  }

  /** Lets go of a key; its number is not given again. */
  forget(key: string): void {
    if (!this.#numbers.delete(key)) return
    this.#memory.set(HIGHEST, this.#kind, this.#next - 1)
    this.#memory.delete(this.#kind, key)
  }
}

/** Kind of the fact that tells the highest number ever given, by kind. */
const HIGHEST = 'highest-number'

const isNumber = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0

/** Numbers of rules; those that stand for no rule of a policy are fixed. */
export function ruleNumbers(memory: Memory): Pick<StableNumbers, 'of' | 'keys' | 'forget'> {
  const numbers = new StableNumbers('rule', memory, FIRST_RULE_NUMBER)
  return {
    of: key => FIXED_RULE_NUMBERS.get(key) ?? numbers.of(key),
    keys: () => numbers.keys(),
    forget: key => numbers.forget(key),
  }
}
