// Growing pauses between attempts, as everything in the sandbox that is started again uses them.

import { setTimeout as sleep } from 'node:timers/promises'

export type BackoffOptions = {
  readonly firstMs: number
  readonly maxMs: number
  /** After this long without a failure the pauses start small again. */
  readonly resetAfterMs?: number
}

export class Backoff {
  readonly #options: BackoffOptions
  #failures = 0
  #startedAt = performance.now()

  constructor(options: BackoffOptions) {
    this.#options = options
  }

  /** Call when an attempt begins. */
  start(): void {
    this.#startedAt = performance.now()
  }

  /** Milliseconds to wait after the attempt that has just failed; twice as long each time. */
  fail(): number {
    const { firstMs, maxMs, resetAfterMs = Infinity } = this.#options
    if (performance.now() - this.#startedAt > resetAfterMs) this.#failures = 0
    return Math.min(maxMs, firstMs * 2 ** this.#failures++)
  }
}

/** Waits, or returns early when the signal is aborted. @returns false when it was aborted */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(milliseconds, undefined, { signal })
    return true
  } catch (error) {
    if (signal.aborted) return false
    throw error
  }
}
