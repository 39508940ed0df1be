// The identities that policies are resolved for: those in use, and those that were a
// moment ago, for packets under way. What is known here and has been carried out is in
// the policy maps, so that an address may get such an identity without waiting for them.

import type { LabelSet } from '../labels/index.ts'
import type { PolicyRepository } from '../policy/index.ts'
import type { Identity } from '../tables/index.ts'
import { Linger } from './linger.ts'

export class KnownIdentities {
  readonly #repository: PolicyRepository
  readonly #labels = new Map<number, LabelSet>()
  readonly #numbers = new Map<string, number>()
  readonly #linger: Linger<number>

  /** @param lingerMs how long one that is not used any more stays; `now` on a clock that never goes back */
  constructor(repository: PolicyRepository, lingerMs: number, now: () => number) {
    this.#repository = repository
    this.#linger = new Linger(lingerMs, now)
  }

  /** Those that are in use now. */
  feed(identities: ReadonlyMap<number, LabelSet>): void {
    for (const [number, labels] of identities) this.add(number, labels)
    for (const number of this.#linger.update(identities.keys()).ended) {
      this.#repository.deleteIdentity(number)
      const labels = this.#labels.get(number)
      if (labels && this.#numbers.get(labels.key) === number) this.#numbers.delete(labels.key)
      this.#labels.delete(number)
    }
  }

  /** Of those that are known, these are in use. */
  retain(numbers: ReadonlySet<number>): void {
    this.feed(new Map([...this.#labels].filter(([number]) => numbers.has(number))))
  }

  /** One more. */
  add(number: number, labels: LabelSet): void {
    if (this.#labels.get(number)?.key === labels.key) return
    this.#repository.setIdentity(number, labels)
    this.#labels.set(number, labels)
    this.#numbers.set(labels.key, number)
  }

  has(labels: LabelSet): boolean {
    return this.#numbers.has(labels.key)
  }

  rows(): Identity[] {
    return Array.from(this.#labels, ([number, labels]) => ({ number, labels }))
  }

  /** When the first of those that linger will have ended. */
  nextEndMs(): number | undefined {
    return this.#linger.nextEndMs()
  }
}
