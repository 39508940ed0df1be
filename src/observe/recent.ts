// The newest of a stream: so many are kept, and watchers follow them. A watcher that
// lags behind what is kept loses the oldest, and is told how many.

import { setImmediate as nextTurn } from 'node:timers/promises'

/** As many as Hubble's default ring holds. */
export const KEPT_EVENTS = 4096
/** Handed to a watcher at once. To put one in words and on the wire takes far longer than to read it. */
const WATCHED_PER_TURN = 64

/** What a watcher gets: an event, or word that it was too slow and how many it missed. */
export type Observed<Event> = { readonly event: Event } | { readonly missed: number }

/** `position`: how many events had been received before the next one that it is to see. */
type Watcher = { position: number; wake: () => void }

export class Recent<Event> {
  /** Events kept since the start. */
  received = 0
  readonly #eventIn: (slot: number) => Event | undefined
  readonly #watchers = new Set<Watcher>()

  /** @param eventIn the event in a slot, if it is one; it is asked for when somebody wants it */
  constructor(eventIn: (slot: number) => Event | undefined) {
    this.#eventIn = eventIn
  }

  get isWatched(): boolean {
    return this.#watchers.size > 0
  }

  /** The slot for the next event: the oldest one's. To be filled before anything else happens, and told by `wake`. */
  nextSlot(): number {
    return this.received++ % KEPT_EVENTS
  }

  /** Lets watchers see what has been kept since. */
  wake(): void {
    for (const watcher of this.#watchers) watcher.wake()
  }

  /** To be read in one go. */
  *newestFirst(): Generator<Event> {
    const count = Math.min(this.received, KEPT_EVENTS)
    for (let back = 1; back <= count; back++) {
      const event = this.#eventIn((this.received - back) % KEPT_EVENTS)
      if (event !== undefined) yield event
    }
  }

  /** Events from this call on, until the signal is aborted. They are made one by one, and everything else gets its turn in between. */
  watch(signal: AbortSignal): AsyncGenerator<Observed<Event>> {
    const watcher: Watcher = { position: this.received, wake: () => undefined }
    if (signal.aborted) return this.#follow(watcher, signal)
    this.#watchers.add(watcher)
    const onAbort = (): void => {
      this.#watchers.delete(watcher)
      watcher.wake()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    return this.#follow(watcher, signal, onAbort)
  }

  async *#follow(
    watcher: Watcher,
    signal: AbortSignal,
    onAbort = (): void => undefined,
  ): AsyncGenerator<Observed<Event>> {
    try {
      for (let inTurn = 1; !signal.aborted; inTurn++) {
        const missed = this.received - KEPT_EVENTS - watcher.position
        if (missed > 0) {
          watcher.position += missed
          yield { missed }
        } else if (watcher.position < this.received) {
          const event = this.#eventIn(watcher.position++ % KEPT_EVENTS)
          if (event !== undefined) yield { event }
          if (inTurn % WATCHED_PER_TURN === 0) await nextTurn()
        } else {
          const { promise, resolve } = Promise.withResolvers<void>()
          watcher.wake = resolve
          await promise
        }
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#watchers.delete(watcher)
    }
  }
}
