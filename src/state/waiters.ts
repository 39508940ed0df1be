// Callers that wait until a condition holds, re-examined whenever its owner says
// that something may have changed.

/** Rejection of a wait that was given up. `cause` is why it took long, or the signal's reason. */
export class WaitError extends Error {
  override readonly name = 'WaitError'
  readonly code: 'aborted' | 'stopped'

  constructor(what: string, code: WaitError['code'], cause: unknown) {
    const reason = cause instanceof Error ? `: ${cause.message}` : ''
    super(`gave up waiting for ${what} (${code})${reason}`, { cause })
    this.code = code
  }
}

type Condition = {
  /** What is waited for, for the error message. */
  readonly what: string
  readonly holds: () => boolean
  /** What is in the way, for the error message. */
  readonly obstacle: () => Error | undefined
}

export class Waiters {
  readonly #waiting = new Set<Condition & { readonly resolve: () => void; readonly reject: (error: Error) => void }>()
  #stopped = false

  /** @throws WaitError when the signal is aborted, or the owner stopped, before the condition holds */
  async wait(condition: Condition, signal?: AbortSignal): Promise<void> {
    if (condition.holds()) return
    if (signal?.aborted) throw new WaitError(condition.what, 'aborted', condition.obstacle() ?? signal.reason)
    if (this.#stopped) throw new WaitError(condition.what, 'stopped', condition.obstacle())
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter = { ...condition, resolve, reject }
    const giveUp = () => reject(new WaitError(condition.what, 'aborted', condition.obstacle() ?? signal?.reason))
    this.#waiting.add(waiter)
    signal?.addEventListener('abort', giveUp, { once: true })
    try {
      await promise
    } finally {
      signal?.removeEventListener('abort', giveUp)
      this.#waiting.delete(waiter)
    }
  }

  /** Lets go those whose condition holds now. */
  release(): void {
    for (const waiter of this.#waiting) if (waiter.holds()) waiter.resolve()
  }

  /** Turns everybody away, now and later. */
  stop(): void {
    this.#stopped = true
    for (const waiter of this.#waiting) waiter.reject(new WaitError(waiter.what, 'stopped', waiter.obstacle()))
  }
}
