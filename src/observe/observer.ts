// Reads the kernel's flow events, keeps the newest, and hands them to whoever watches.
// The kernel does not wake the reader for each event; the reader looks often while
// packets flow and seldom while none do. Records become objects only for a watcher.

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { RingBuffer } from '../bpf/index.ts'
import { decodeFlowEvent, type FlowEvent, type FlowEventLayout } from '../maps/event.ts'
import { KEPT_EVENTS, type Observed, Recent } from './recent.ts'

/** Read at once. A pod can make events faster than they are read: what else the agent has to do gets its turn. */
const EVENTS_PER_TURN = 4096
const BUSY_POLL_MS = 10
const IDLE_POLL_MS = 100

/** What the observer needs of its ring buffer. */
export type EventRing = Pick<RingBuffer, 'drain' | 'onReadable' | 'close'>

export class FlowObserver {
  readonly #ring: EventRing
  readonly #layout: FlowEventLayout
  /** The newest records, byte for byte, in a circle. */
  readonly #kept: Uint8Array
  readonly #keptView: DataView
  readonly #recent: Recent<FlowEvent>

  constructor(ring: EventRing, layout: FlowEventLayout) {
    this.#ring = ring
    this.#layout = layout
    this.#kept = new Uint8Array(KEPT_EVENTS * layout.size)
    this.#keptView = new DataView(this.#kept.buffer)
    this.#recent = new Recent(slot => decodeFlowEvent(layout, this.#keptView, slot * layout.size, layout.size))
  }

  /** Events read since the start. */
  get received(): number {
    return this.#recent.received
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
      const pauseMs = count > 0 || this.#recent.isWatched ? BUSY_POLL_MS : IDLE_POLL_MS
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
    }
    this.#ring.close()
  }

  /** Reads what there is, up to a bound. @returns the number of events */
  poll(): number {
    const count = this.#ring.drain((view, offset, length) => this.#keep(view, offset, length), EVENTS_PER_TURN)
    if (count > 0) this.#recent.wake()
    return count
  }

  /** The events that are kept, the newest first. To be read in one go: a `poll` changes what is kept. */
  newestFirst(): Generator<FlowEvent> {
    return this.#recent.newestFirst()
  }

  /** Events from this call on, until the signal is aborted. A watcher that lags behind what is kept loses the oldest. */
  watch(signal: AbortSignal): AsyncGenerator<Observed<FlowEvent>> {
    return this.#recent.watch(signal)
  }

  #keep(view: DataView, offset: number, length: number): void {
    const { size } = this.#layout
    if (length !== size) return
    this.#kept.set(new Uint8Array(view.buffer, view.byteOffset + offset, size), this.#recent.nextSlot() * size)
  }
}
