// One change at a time: whoever changes what the kernel is to have does so alone, from the
// first look at the tables until the last step is in force.

import { Waiters } from '../state/index.ts'

export class Turns {
  readonly #waiters = new Waiters()
  #isTaken = false

  /** Somebody works. Between this being false and the next `await` nobody begins. */
  get isTaken(): boolean {
    return this.#isTaken
  }

  /** @throws WaitError when the signal is aborted before it is this one's turn; what the work throws */
  async alone(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    // To be looked at again after each wait: another one may have been faster.
    while (this.#isTaken) await this.whenFree(signal)
    this.#isTaken = true
    try {
      await work()
    } finally {
      this.#isTaken = false
      this.#waiters.release()
    }
  }

  /** Resolves after nobody had the turn for a moment: look at `isTaken` again. @throws WaitError */
  whenFree(signal: AbortSignal): Promise<void> {
    const holds = (): boolean => !this.#isTaken
    return this.#waiters.wait({ what: 'a change on its way', holds, obstacle: () => undefined }, signal)
  }
}
