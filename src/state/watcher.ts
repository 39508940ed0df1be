// A watcher tells one reader which rows changed since it last looked. It holds a
// set of dirty keys, not a queue of events: however often a row changes, the reader
// sees it once, as it is now. So a watcher never holds more keys than the table had
// at the last look and has now, however slow its reader is.

import type { Row } from './row.ts'

/** One row that differs from what the reader saw last. `previous` is the row as the reader last took it. */
export type Change<R extends Row> =
  | { readonly kind: 'put'; readonly key: string; readonly row: R; readonly previous?: R; readonly revision: number }
  | { readonly kind: 'delete'; readonly key: string; readonly previous: R; readonly revision: number }

/** What a watcher needs of its table. */
type Watched<R extends Row> = {
  readonly revision: number
  get(key: string): R | undefined
  revisionOf(key: string): number | undefined
}

/** Something that can be waited for. Watchers of tables with different rows have this in common. */
export type Waitable = {
  /** Whether there is something to take now. */
  readonly ready: boolean
  /** Whether there will never be anything again. */
  readonly closed: boolean
  /** Calls back once at the next wake-up. Returns how to stop listening. */
  onWake(callback: () => void): () => void
}

/**
 * Follows one table; made by `table.watch()`. The rows that the table holds at that moment count as changed.
 *
 *     using watcher = table.watch()
 *     while (await watcher.wait(signal)) for (const change of watcher.take()) …
 */
export class Watcher<R extends Row> implements Waitable, Disposable {
  readonly #table: Watched<R>
  readonly #onClose: () => void
  /** Dirty key to the row that the reader saw last, if it ever saw one. */
  readonly #dirty = new Map<string, R | undefined>()
  readonly #listeners = new Set<() => void>()
  #awake = false
  closed = false

  constructor(table: Watched<R>, keys: Iterable<string>, onClose: () => void) {
    this.#table = table
    this.#onClose = onClose
    for (const key of keys) this.#dirty.set(key, undefined)
    this.#awake = this.#dirty.size > 0
  }

  /** Number of keys that `take` would return now. */
  get size(): number {
    return this.#dirty.size
  }

  get ready(): boolean {
    return this.#awake && !this.closed
  }

  /** Whether the row of this key changed since the last `take`. */
  has(key: string): boolean {
    return this.#dirty.has(key)
  }

  /**
   * Waits until rows changed or the table's "initialised" mark did. Resolves to false once the signal is aborted or the
   * watcher closed, else to true; then call `take`, which may return nothing.
   */
  wait(signal?: AbortSignal): Promise<boolean> {
    return waitForAny([this], signal)
  }

  /** The changes since the last call, each key once, in the order in which the keys first changed. */
  take(): Change<R>[] {
    const changes: Change<R>[] = []
    for (const [key, previous] of this.#dirty) {
      const row = this.#table.get(key)
      if (row) {
        const revision = this.#table.revisionOf(key) ?? this.#table.revision
        changes.push({ kind: 'put', key, row, revision, ...(previous && { previous }) })
      } else if (previous) {
        changes.push({ kind: 'delete', key, previous, revision: this.#table.revision })
      }
    }
    this.#dirty.clear()
    this.#awake = false
    return changes
  }

  /** The same as an async iterable of non-empty batches; ends when the signal is aborted or the watcher closed. */
  async *batches(signal?: AbortSignal): AsyncGenerator<Change<R>[], void, undefined> {
    while (await this.wait(signal)) {
      const changes = this.take()
      if (changes.length > 0) yield changes
    }
  }

  onWake(callback: () => void): () => void {
    this.#listeners.add(callback)
    return () => this.#listeners.delete(callback)
  }

  /** Makes `wait` resolve although no row changed: for the table's marks and for the reader's own timers. */
  wake(): void {
    this.#awake = true
    const listeners = [...this.#listeners]
    this.#listeners.clear()
    for (const listener of listeners) listener()
  }

  /** Called by the table for every row of a committed write. A row that came and went unseen is forgotten. */
  record(key: string, before: R | undefined, now: R | undefined): void {
    const seen = this.#dirty.has(key) ? this.#dirty.get(key) : before
    if (seen === undefined && now === undefined) this.#dirty.delete(key)
    else this.#dirty.set(key, seen)
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    this.#onClose()
    this.#dirty.clear()
    this.wake()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/**
 * Waits until any of the watchers has something to take. Resolves to false once the signal is aborted or all of them are
 * closed.
 */
export function waitForAny(waitables: readonly Waitable[], signal?: AbortSignal): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  if (signal?.aborted || waitables.every(waitable => waitable.closed)) return Promise.resolve(false)
  if (waitables.some(waitable => waitable.ready)) return Promise.resolve(true)
  const stops: (() => void)[] = []
  const finish = () => {
    for (const stop of stops) stop()
    resolve(!signal?.aborted && waitables.some(waitable => waitable.ready))
  }
  for (const waitable of waitables) stops.push(waitable.onWake(finish))
  signal?.addEventListener('abort', finish, { once: true })
  stops.push(() => signal?.removeEventListener('abort', finish))
  return promise
}
