// Reads the kernel's flow events, keeps the newest, and hands them to whoever watches.
// The kernel does not wake the reader for each event; the reader looks often while
// packets flow and seldom while none do. Records become objects only for a watcher.

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { RingBuffer } from '../bpf/index.ts'
import { decodeFlowEvent, type FlowEvent, type FlowEventLayout } from '../maps/event.ts'

/** As many as Hubble's default ring holds. */
const KEPT_EVENTS = 4096
/** Read at once. A pod can make events faster than they are read: what else the agent has to do gets its turn. */
const EVENTS_PER_TURN = 4096
/** Handed to a watcher at once. To put one in words and on the wire takes far longer than to read it. */
const WATCHED_PER_TURN = 64
const BUSY_POLL_MS = 10
const IDLE_POLL_MS = 100

/** What a watcher gets: an event, or word that it was too slow and how many it missed. */
export type Observed = { readonly event: FlowEvent } | { readonly missed: number }

/** What the observer needs of its ring buffer. */
export type EventRing = Pick<RingBuffer, 'drain' | 'onReadable' | 'close'>

/** `position`: how many events had been received before the next one that it is to see. */
type Watcher = { position: number; wake: () => void }

export class FlowObserver {
  /** Events read since the start. */
  received = 0
  readonly #ring: EventRing
  readonly #layout: FlowEventLayout
  /** The newest records, byte for byte, in a circle. */
  readonly #kept: Uint8Array
  readonly #keptView: DataView
  readonly #watchers = new Set<Watcher>()

  constructor(ring: EventRing, layout: FlowEventLayout) {
    this.#ring = ring
    this.#layout = layout
    this.#kept = new Uint8Array(KEPT_EVENTS * layout.size)
    this.#keptView = new DataView(this.#kept.buffer)
  }

  /** Until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    this.#ring.onReadable(() => this.poll(), { unref: true })
    while (!signal.aborted) {
      const count = this.poll()
      if (count === EVENTS_PER_TURN) {
        await nextTurn()
        continue
      }
      const pauseMs = count > 0 || this.#watchers.size > 0 ? BUSY_POLL_MS : IDLE_POLL_MS
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
    }
    this.#ring.close()
  }

  /** Reads what there is, up to a bound. @returns the number of events */
  poll(): number {
    const count = this.#ring.drain((view, offset, length) => this.#keep(view, offset, length), EVENTS_PER_TURN)
    if (count > 0) for (const watcher of this.#watchers) watcher.wake()
    return count
  }

  /** The events that are kept, the newest first. To be read in one go: a `poll` changes what is kept. */
  *newestFirst(): Generator<FlowEvent> {
    const count = Math.min(this.received, KEPT_EVENTS)
    for (let back = 1; back <= count; back++) yield this.#decodeKept((this.received - back) % KEPT_EVENTS)
  }

  /**
   * Events from this call on, until the signal is aborted. A watcher that lags behind what is kept loses the oldest, and
   * is told. Events are made for it one by one, as it takes them, and everything else gets its turn in between.
   */
  watch(signal: AbortSignal): AsyncGenerator<Observed> {
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

  async *#follow(watcher: Watcher, signal: AbortSignal, onAbort = (): void => undefined): AsyncGenerator<Observed> {
    try {
      for (let inTurn = 1; !signal.aborted; inTurn++) {
        const missed = this.received - KEPT_EVENTS - watcher.position
        if (missed > 0) {
          watcher.position += missed
          yield { missed }
        } else if (watcher.position < this.received) {
          yield { event: this.#decodeKept(watcher.position++ % KEPT_EVENTS) }
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

  #keep(view: DataView, offset: number, length: number): void {
    const { size } = this.#layout
    if (length !== size) return
    const slot = this.received % KEPT_EVENTS
    this.received++
    this.#kept.set(new Uint8Array(view.buffer, view.byteOffset + offset, size), slot * size)
  }

  #decodeKept(slot: number): FlowEvent {
    const { size } = this.#layout
    return decodeFlowEvent(this.#layout, this.#keptView, slot * size, size)
  }
}
