// One change at a time: whoever changes what the kernel is to have does so alone, from the
// first look at the tables until the last step is in force.

import { Waiters } from '../state/index.ts'

export class Turns {
  readonly #waiters = new Waiters()
  #isTaken = false

  /** @throws WaitError when the signal is aborted before it is this one's turn; what the work throws */
  async alone(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    await this.whenFree(signal)
    this.#isTaken = true
    try {
      await work()
    } finally {
      this.#isTaken = false
      this.#waiters.release()
    }
  }

  /** Resolves when nobody has the turn; until the next `await` nobody takes it. @throws WaitError */
  async whenFree(signal: AbortSignal): Promise<void> {
    const holds = (): boolean => !this.#isTaken
    while (!holds()) await this.#waiters.wait({ what: 'a change on its way', holds, obstacle: () => undefined }, signal)
  }
}
