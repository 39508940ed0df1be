// Since when the kernel has what it has of each service: noted as the reconciler's
// statuses change, and only by this process. A restart begins anew, for nothing tells
// then how long the maps have been as they are.

import { type Clock, type Status, systemClock, type Table, type Watcher } from '../state/index.ts'

type Since = { readonly revision: number; readonly sinceMs: number }

export class ServiceSince {
  readonly #clock: Clock
  readonly #watcher: Watcher<Status>
  readonly #times = new Map<string, Since>()

  /** @param status of each service's entry in the kernel */
  constructor(status: Table<Status, 'kind'>, clock: Clock = systemClock) {
    this.#clock = clock
    this.#watcher = status.watch()
  }

  /** Until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (await this.#watcher.wait(signal)) this.#note()
    this.#watcher.close()
  }

  /** When the entry of a service came to be in the kernel as it is now. Milliseconds since the Unix epoch. */
  sinceMs(key: string): number | undefined {
    if (this.#watcher.ready) this.#note()
    return this.#times.get(key)?.sinceMs
  }

  /** A failure leaves what was there before, and its time. */
  #note(): void {
    const sinceMs = this.#clock.nowMs()
    for (const change of this.#watcher.take()) {
      if (change.kind === 'delete') this.#times.delete(change.key)
      else if (change.row.kind === 'done' && this.#times.get(change.key)?.revision !== change.row.revision)
        this.#times.set(change.key, { revision: change.row.revision, sinceMs })
    }
  }
}
