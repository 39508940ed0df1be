// Keeps what is no longer wanted for a moment: packets that are under way, and events
// that are read a moment later, may still refer to it.

export class Linger<Key> {
  readonly #forMs: number
  readonly #now: () => number
  readonly #wanted = new Set<Key>()
  /** Since when a key is not wanted any more. */
  readonly #sinceMs = new Map<Key, number>()

  /** @param now milliseconds on a clock that never goes back */
  constructor(forMs: number, now: () => number) {
    this.#forMs = forMs
    this.#now = now
  }

  /**
   * Tells which keys are wanted now.
   * @returns those wanted until a moment ago, and those whose moment has just ended
   */
  update(wanted: Iterable<Key>): { readonly lingering: Key[]; readonly ended: Key[] } {
    const nowMs = this.#now()
    const current = new Set(wanted)
    for (const key of this.#wanted) if (!current.has(key)) this.#sinceMs.set(key, nowMs)
    this.#wanted.clear()
    for (const key of current) {
      this.#wanted.add(key)
      this.#sinceMs.delete(key)
    }
    const ended = [...this.#sinceMs].filter(([, sinceMs]) => nowMs - sinceMs >= this.#forMs).map(([key]) => key)
    for (const key of ended) this.#sinceMs.delete(key)
    return { lingering: [...this.#sinceMs.keys()], ended }
  }

  /** When the first of those that linger now will have ended; undefined when none does. */
  nextEndMs(): number | undefined {
    const [first] = this.#sinceMs.values()
    return first === undefined ? undefined : first + this.#forMs
  }
}
