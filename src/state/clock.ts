// Time as an argument: the reconciler reads the time and sets timers only through
// this, so that its tests need not sleep.

import { setImmediate as eventLoopTurn } from 'node:timers/promises'

export type Clock = {
  /** Milliseconds since the Unix epoch; never goes back. */
  nowMs(): number
  /** Calls back once after the delay; the timer does not keep the process alive. Returns how to cancel it. */
  setTimer(delayMs: number, callback: () => void): () => void
}

/** The longest delay that Node's timers take; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  nowMs: () => performance.timeOrigin + performance.now(),
  setTimer(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(0, delayMs), MAX_DELAY_MS))
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** A clock for tests: time passes only when told to. */
export class ManualClock implements Clock {
  #nowMs = 0
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>()

  nowMs(): number {
    return this.#nowMs
  }

  /** When the next timer is due. */
  get nextMs(): number | undefined {
    return this.#firstDue(Infinity)?.atMs
  }

  /** Number of timers that are set. */
  get timers(): number {
    return this.#timers.size
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), callback }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Lets time pass: fires each timer that comes due, in order, and lets the event loop turn after each. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs
    await eventLoopTurn()
    for (let next = this.#firstDue(endMs); next; next = this.#firstDue(endMs)) {
      this.#timers.delete(next)
      this.#nowMs = next.atMs
      next.callback()
      await eventLoopTurn()
    }
    this.#nowMs = endMs
  }

  #firstDue(endMs: number) {
    return [...this.#timers].filter(timer => timer.atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0]
  }
}
