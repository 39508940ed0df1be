// What answers of DNS taught, and for how long it holds: the rows of the table of names,
// the oldest answer first. Bounded for each name and in all: what was answered longest
// ago goes first. Pure: the time is an argument, and nothing is looked up.

import { oldestKeyOf } from '../state/index.ts'
import { type LearntName, learntNameKey } from '../tables/index.ts'

export type NameBounds = {
  readonly addressesPerName: number
  readonly addresses: number
}

/** One address that a name was answered with. */
export type Answered = Pick<LearntName, 'name' | 'address' | 'client' | 'server'> & {
  readonly seenMs: number
  readonly untilMs: number
}

export class NameStore {
  readonly #bounds: NameBounds
  /** By key, in the order in which they were answered last. */
  readonly #rows = new Map<string, LearntName>()
  readonly #oldest = oldestKeyOf(this.#rows)
  /** Keys by name, in the same order. */
  readonly #byName = new Map<string, Set<string>>()

  constructor(bounds: NameBounds) {
    this.#bounds = bounds
  }

  rows(): LearntName[] {
    return [...this.#rows.values()]
  }

  get(key: string): LearntName | undefined {
    return this.#rows.get(key)
  }

  /**
   * A time to live may grow, and never shrinks: who was told a longer one still believes it.
   * @returns keys of the rows that are other ones now, or gone to make room
   */
  learn(answered: Answered): string[] {
    const key = learntNameKey(answered)
    const untilMs = Math.max(answered.untilMs, this.#rows.get(key)?.untilMs ?? 0)
    this.#remove(key)
    const evicted = [...this.#overflow(answered.name)]
    this.#put({ ...answered, untilMs, state: 'valid' })
    return [key, ...evicted]
  }

  /** Those whose time is over. */
  expired(nowMs: number): LearntName[] {
    return [...this.#rows.values()].filter(({ untilMs }) => untilMs <= nowMs)
  }

  /** Its time is over, and connections use it still. */
  keepInUse(row: LearntName): void {
    const key = learntNameKey(row)
    if (this.#rows.get(key) === row) this.#rows.set(key, { ...row, state: 'in-use' })
  }

  /** @returns whether it was there still, and not answered anew */
  forget(row: LearntName): boolean {
    const key = learntNameKey(row)
    if (this.#rows.get(key) !== row) return false
    this.#remove(key)
    return true
  }

  /** Takes out what there is no room for beside one more of this name. */
  *#overflow(name: string): Generator<string> {
    for (;;) {
      const own = this.#byName.get(name)
      const isFull = (own?.size ?? 0) >= this.#bounds.addressesPerName
      if (!isFull && this.#rows.size < this.#bounds.addresses) return
      const oldest = isFull ? own?.values().next().value : this.#oldest()
      if (oldest === undefined) return
      this.#remove(oldest)
      yield oldest
    }
  }

  #put(row: LearntName): void {
    const key = learntNameKey(row)
    this.#rows.set(key, row)
    const keys = this.#byName.get(row.name) ?? new Set()
    this.#byName.set(row.name, keys.add(key))
  }

  #remove(key: string): void {
    const row = this.#rows.get(key)
    if (!row) return
    this.#rows.delete(key)
    const keys = this.#byName.get(row.name)
    keys?.delete(key)
    if (keys?.size === 0) this.#byName.delete(row.name)
  }
}
