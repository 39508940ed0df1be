// Keeps what is no longer wanted for a moment: packets that are under way, and maps that
// are written a moment later, may still refer to it.

export class Linger<Key> {
  readonly #forMs: number
  readonly #now: () => number
  /** When a key was last wanted. */
  readonly #lastMs = new Map<Key, number>()

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
    for (const key of current) this.#lastMs.set(key, nowMs)
    const lingering: Key[] = []
    const ended: Key[] = []
    for (const [key, lastMs] of this.#lastMs) {
      if (current.has(key)) continue
      if (nowMs - lastMs < this.#forMs) lingering.push(key)
      else ended.push(key)
    }
    for (const key of ended) this.#lastMs.delete(key)
    return { lingering, ended }
  }
}
