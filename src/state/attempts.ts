// What has failed and when it is tried again: exponential back-off with jitter, per
// key. Pure: time and chance are arguments.

export type Backoff = {
  /** Wait after the first failure, before jitter. */
  readonly firstMs: number
  readonly maxMs: number
  /** A number in [0, 1), such as `Math.random`. The wait is between half and the whole of the back-off. */
  readonly random: () => number
}

const DEFAULT_BACKOFF: Backoff = { firstMs: 50, maxMs: 30_000, random: Math.random }

/** Failures in a row of one item. */
export type Attempt<Item> = {
  readonly item: Item
  readonly error: Error
  readonly attempts: number
  /** When it is tried again. */
  readonly atMs: number
}

export class Attempts<Item> {
  readonly #backoff: Backoff
  readonly #failed = new Map<string, Attempt<Item>>()

  constructor(backoff: Partial<Backoff> = {}) {
    this.#backoff = { ...DEFAULT_BACKOFF, ...backoff }
  }

  /** Number of keys that have failed and not succeeded since. */
  get size(): number {
    return this.#failed.size
  }

  has(key: string): boolean {
    return this.#failed.has(key)
  }

  /** When a key that has failed is tried again; undefined when it has not failed. */
  retryMs(key: string): number | undefined {
    return this.#failed.get(key)?.atMs
  }

  recordFailure(key: string, item: Item, error: Error, nowMs: number): Attempt<Item> {
    const attempts = (this.#failed.get(key)?.attempts ?? 0) + 1
    const { firstMs, maxMs, random } = this.#backoff
    const waitMs = Math.min(maxMs, firstMs * 2 ** (attempts - 1)) * (0.5 + random() / 2)
    const attempt = { item, error, attempts, atMs: nowMs + waitMs }
    this.#failed.set(key, attempt)
    return attempt
  }

  recordSuccess(key: string): void {
    this.#failed.delete(key)
  }

  /** Items whose time has come. */
  due(nowMs: number): Item[] {
    return [...this.#failed.values()].filter(attempt => attempt.atMs <= nowMs).map(attempt => attempt.item)
  }

  /** When the next item is due; Infinity when nothing has failed. */
  nextMs(): number {
    return Math.min(...this.#failed.values().map(attempt => attempt.atMs))
  }

  lastError(): Error | undefined {
    return [...this.#failed.values()].at(-1)?.error
  }
}
