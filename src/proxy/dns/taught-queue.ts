// What is to be told to the agent, by name: answers for one name are told as one. Names
// that somebody waits for go first. Bounded: beyond that, names that nobody waits for go.

import type { TaughtName } from '../../dns/index.ts'
import { oldestKeyOf } from '../../state/index.ts'
import type { DnsCounts } from './counts.ts'

/** Somebody who waits until a name is in force, but not for ever. */
export type Waiter = {
  readonly isOver: boolean
  /** @param inForce whether the agent has confirmed it */
  end(inForce: boolean): void
}

export type Waiting = { readonly taught: TaughtName; readonly waiters: ReadonlySet<Waiter> }

const MAX_NAMES = 10_000
const MAX_TAKEN = { names: 200, addresses: 4_000 } as const
/** An answer can hold more, but no name needs them. */
const MAX_ADDRESSES = 4_000

type Entry = {
  taught: TaughtName
  readonly waiters: Set<Waiter>
}

export class TaughtQueue {
  /** Those that somebody waits for, and those that nobody does. */
  readonly #urgent = new Map<string, Entry>()
  readonly #lazy = new Map<string, Entry>()
  readonly #oldestLazy = oldestKeyOf(this.#lazy)
  readonly #counts: Pick<DnsCounts, 'untaught'>
  readonly #maxNames: number

  constructor(counts: Pick<DnsCounts, 'untaught'>, maxNames = MAX_NAMES) {
    this.#counts = counts
    this.#maxNames = maxNames
  }

  get size(): number {
    return this.#urgent.size + this.#lazy.size
  }

  add(taught: TaughtName, waiter?: Waiter): void {
    const entry = this.#urgent.get(taught.name) ?? this.#lazy.get(taught.name)
    if (entry) {
      entry.taught = united(entry.taught, taught)
      if (waiter) this.#await(entry, waiter)
      return
    }
    const added = { taught: united(taught), waiters: new Set<Waiter>() }
    if (waiter) this.#await(added, waiter)
    else this.#lazy.set(taught.name, added)
    this.#keepWithinBounds()
  }

  /** The waiter waits no longer; what it waited for is told all the same. */
  forget(name: string, waiter: Waiter): void {
    const entry = this.#urgent.get(name)
    if (!entry?.waiters.delete(waiter) || entry.waiters.size > 0) return
    this.#urgent.delete(name)
    this.#lazy.set(name, entry)
    this.#keepWithinBounds()
  }

  take(): Waiting[] {
    const taken: Waiting[] = []
    let addresses = 0
    for (const entries of [this.#urgent, this.#lazy])
      for (const [name, entry] of entries) {
        addresses += entry.taught.addresses.length
        if (taken.length >= MAX_TAKEN.names || (taken.length > 0 && addresses > MAX_TAKEN.addresses)) return taken
        entries.delete(name)
        taken.push(entry)
      }
    return taken
  }

  /** What could not be told after all. */
  putBack(some: readonly Waiting[]): void {
    for (const { taught, waiters } of some) {
      const waiting = [...waiters].filter(waiter => !waiter.isOver)
      if (waiting.length === 0) this.add(taught)
      for (const waiter of waiting) this.add(taught, waiter)
    }
  }

  #await(entry: Entry, waiter: Waiter): void {
    entry.waiters.add(waiter)
    this.#lazy.delete(entry.taught.name)
    this.#urgent.set(entry.taught.name, entry)
  }

  /** Those who wait are bounded by the questions that may be open. */
  #keepWithinBounds(): void {
    while (this.size > this.#maxNames) {
      const name = this.#oldestLazy()
      if (name === undefined) return
      this.#lazy.delete(name)
      this.#counts.untaught++
    }
  }
}

/** Later lifetimes count. */
function united(first: TaughtName, second: TaughtName = first): TaughtName {
  const lifetimes = new Map(first.addresses.map(({ address, ttlSeconds }) => [address, ttlSeconds]))
  for (const { address, ttlSeconds } of second.addresses) lifetimes.set(address, ttlSeconds)
  const addresses = Array.from(lifetimes, ([address, ttlSeconds]) => ({ address, ttlSeconds })).slice(0, MAX_ADDRESSES)
  return { ...second, addresses }
}
