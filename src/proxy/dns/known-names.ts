// Which addresses of which names the agent has confirmed, for as long as it promised to
// keep them: what is known still need not be told, nor be waited for. Bounded: what was
// confirmed longest ago is forgotten first, and told again.

import type { TaughtName } from '../../dns/index.ts'
import { oldestKeyOf } from '../../state/index.ts'

const MAX_ADDRESSES = 100_000
/** What ends this soon may have ended by the time somebody uses it. */
const SLACK_MICROS = 1e6

/** `news`: not in force, or not for sure. `renew`: in force, but not for as long as the answer says. */
export type Knowledge = 'news' | 'renew' | 'known'

export class KnownNames {
  /** In the order of their confirmation; of each address until when, in microseconds since the Unix epoch. */
  readonly #names = new Map<string, Map<string, number>>()
  readonly #oldest = oldestKeyOf(this.#names)
  readonly #maxAddresses: number
  #addresses = 0

  constructor(maxAddresses = MAX_ADDRESSES) {
    this.#maxAddresses = maxAddresses
  }

  look({ name, addresses, timeMicros }: TaughtName): Knowledge {
    const known = this.#names.get(name)
    if (!known) return 'news'
    let knowledge: Knowledge = 'known'
    for (const { address, ttlSeconds } of addresses) {
      const untilMicros = known.get(address) ?? 0
      if (untilMicros < timeMicros + SLACK_MICROS) return 'news'
      if (untilMicros < timeMicros + ttlSeconds * 1e6 - SLACK_MICROS) knowledge = 'renew'
    }
    return knowledge
  }

  /** The agent has confirmed it. */
  add({ name, addresses, timeMicros }: TaughtName): void {
    const known = this.#names.get(name) ?? new Map<string, number>()
    this.#addresses -= known.size
    for (const { address, ttlSeconds } of addresses) {
      known.set(address, Math.max(timeMicros + ttlSeconds * 1e6, known.get(address) ?? 0))
    }
    for (const [address, untilMicros] of known) if (untilMicros <= timeMicros) known.delete(address)
    this.#names.delete(name)
    if (known.size > 0) this.#names.set(name, known)
    this.#addresses += known.size
    while (this.#addresses > this.#maxAddresses) {
      const oldest = this.#oldest()
      if (oldest === undefined) break
      this.#addresses -= this.#names.get(oldest)?.size ?? 0
      this.#names.delete(oldest)
    }
  }
}
