// How much of requests is held until they are judged: so much in all, a quarter of it for
// one client's address.

import { Admission } from '../admission.ts'

const MOST_BYTES = 256 << 20

export class HeldBytes {
  readonly #admission = new Admission(MOST_BYTES, MOST_BYTES / 4)
  /** Connections that ended because there was no room. */
  full = 0
  /** Connections that ended because the rest of a request did not come. */
  late = 0

  /** @returns false when there is no room for so many more */
  take(client: string, count: number): boolean {
    const fits = this.#admission.enter(client, count)
    if (!fits) this.full++
    return fits
  }

  give(client: string, count: number): void {
    if (count > 0) this.#admission.leave(client, count)
  }

  get bytes(): number {
    return this.#admission.open
  }
}
