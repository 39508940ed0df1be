// How many elements maps have, for those who ask often. The kernel tells it only to who
// walks through a map, which takes tens of milliseconds where there are tens of thousands:
// such a count is kept for so long that counting takes but a fiftieth of the time.

/** A count, and how long ago it was taken. */
type ElementCount = { readonly entries: number; readonly ageMs: number }

type Countable = { count(): number }
type Counted = { readonly entries: number; readonly atMs: number; readonly tookMs: number }

/** A count that takes less is taken each time. */
const QUICK_MS = 5
/** A count is kept for so many times as long as it took. */
const KEPT_FACTOR = 50

export class ElementCounts {
  readonly #counted = new WeakMap<Countable, Counted>()
  readonly #nowMs: () => number

  constructor(nowMs = () => performance.now()) {
    this.#nowMs = nowMs
  }

  of(map: Countable): ElementCount {
    const nowMs = this.#nowMs()
    const known = this.#counted.get(map)
    if (known && known.tookMs >= QUICK_MS && nowMs - known.atMs < known.tookMs * KEPT_FACTOR)
      return { entries: known.entries, ageMs: Math.round(nowMs - known.atMs) }
    const entries = map.count()
    const atMs = this.#nowMs()
    this.#counted.set(map, { entries, atMs, tookMs: atMs - nowMs })
    return { entries, ageMs: 0 }
  }
}
