// Numbers for identities. The interface is what allocators over Kubernetes and etcd
// implement too; the one below lives in this process. A number that packets, flows or
// conntrack entries may still carry is never given to other labels: numbers go round
// their range in order, and a released one rests before its turn may come again.

import {
  IDENTITY_RANGES,
  type IdentityScope,
  identityScope,
  reservedIdentities,
  reservedLabelsOf,
  reservedNumber,
} from './identity.ts'
import type { LabelSet } from './label-set.ts'

export type Identity = { readonly number: number; readonly labels: LabelSet }

export type IdentityAllocator = {
  /**
   * The number of these labels, the same for every call, and one more use of it. Reserved identities have theirs.
   * @throws IdentityRangeExhaustedError
   */
  allocate(labels: LabelSet): number
  /** Takes one use back. After the last one the number rests, then may be given to other labels. */
  release(number: number): void
  /** Labels of a number that is reserved, in use or resting. */
  lookup(number: number): LabelSet | undefined
  /** The reserved identities and all in use or resting, by number. */
  entries(): Identity[]
}

/** No number of the range is free: too many identities, or too many released within the time that numbers rest. */
export class IdentityRangeExhaustedError extends Error {
  override readonly name = 'IdentityRangeExhaustedError'
  readonly code = 'IDENTITY_RANGE_EXHAUSTED'
  readonly scope: IdentityScope

  constructor(scope: IdentityScope, inUse: number, resting: number, labels: LabelSet) {
    super(
      `no ${scope} identity number is free for ${labels.key}: ${inUse} in use, ${resting} released too recently to be reused`,
    )
    this.scope = scope
  }
}

export type LocalAllocatorOptions = {
  /** Milliseconds on a clock that never goes back. */
  readonly now: () => number
  /** How long a released number rests: longer than any packet, event or conntrack entry can carry it. */
  readonly restMs?: number
  readonly ranges?: Readonly<Record<IdentityScope, { readonly first: number; readonly last: number }>>
  /** Identities of an earlier run. They are held until `releaseUnclaimed`, whether allocated anew or not. */
  readonly restored?: Iterable<Identity>
  /** Told of each number whose rest has ended: from now on it may be given to other labels, and its labels get another. */
  readonly onForgotten?: (number: number) => void
}

const DEFAULT_REST_MS = 10 * 60_000

type Holding = Identity & { readonly scope: IdentityScope; uses: number; isRestored: boolean; releasedAt: number }

/** An allocator in this process. */
export class LocalIdentityAllocator implements IdentityAllocator {
  readonly #now: () => number
  readonly #restMs: number
  readonly #ranges: NonNullable<LocalAllocatorOptions['ranges']>
  readonly #onForgotten: (number: number) => void
  readonly #byNumber = new Map<number, Holding>()
  readonly #byLabels = new Map<string, Holding>()
  /** Resting numbers of a scope, the longest rested first. */
  readonly #resting: Record<IdentityScope, Set<number>> = { cluster: new Set(), local: new Set() }
  /** The number to try next. */
  readonly #cursor: Record<IdentityScope, number>
  readonly #held: Record<IdentityScope, number> = { cluster: 0, local: 0 }

  /** @throws TypeError when restored identities contradict each other or lie outside their range */
  constructor(options: LocalAllocatorOptions) {
    const { ranges = IDENTITY_RANGES } = options
    this.#now = options.now
    this.#restMs = options.restMs ?? DEFAULT_REST_MS
    this.#ranges = ranges
    this.#onForgotten = options.onForgotten ?? (() => undefined)
    this.#cursor = { cluster: ranges.cluster.first, local: ranges.local.first }
    for (const identity of options.restored ?? []) this.#restore(identity)
  }

  allocate(labels: LabelSet): number {
    const reserved = reservedNumber(labels)
    if (reserved !== undefined) return reserved
    const known = this.#byLabels.get(labels.key)
    if (known) {
      known.uses++
      this.#resting[known.scope].delete(known.number)
      return known.number
    }
    const scope = identityScope(labels)
    const number = this.#takeFree(scope, labels)
    this.#hold({ number, labels, scope, uses: 1, isRestored: false, releasedAt: 0 })
    return number
  }

  release(number: number): void {
    const holding = this.#byNumber.get(number)
    if (!holding || holding.uses === 0) return
    holding.uses--
    if (holding.uses === 0 && !holding.isRestored) this.#rest(holding)
  }

  lookup(number: number): LabelSet | undefined {
    return this.#byNumber.get(number)?.labels ?? reservedLabelsOf(number)
  }

  entries(): Identity[] {
    const held = [...this.#byNumber.values()].map(({ number, labels }) => ({ number, labels }))
    return [...reservedIdentities(), ...held].sort((a, b) => a.number - b.number)
  }

  /** To be called once every source has told all it knows: restored identities that nobody allocated begin to rest. */
  releaseUnclaimed(): void {
    for (const holding of this.#byNumber.values()) {
      if (holding.isRestored && holding.uses === 0) this.#rest(holding)
      holding.isRestored = false
    }
  }

  #takeFree(scope: IdentityScope, labels: LabelSet): number {
    this.#endRests(scope)
    const { first, last } = this.#ranges[scope]
    if (this.#held[scope] > last - first)
      throw new IdentityRangeExhaustedError(
        scope,
        this.#held[scope] - this.#resting[scope].size,
        this.#resting[scope].size,
        labels,
      )
    while (this.#byNumber.has(this.#cursor[scope])) this.#advance(scope)
    const number = this.#cursor[scope]
    this.#advance(scope)
    return number
  }

  #advance(scope: IdentityScope): void {
    const { first, last } = this.#ranges[scope]
    this.#cursor[scope] = this.#cursor[scope] >= last ? first : this.#cursor[scope] + 1
  }

  #rest(holding: Holding): void {
    holding.releasedAt = this.#now()
    this.#resting[holding.scope].delete(holding.number)
    this.#resting[holding.scope].add(holding.number)
  }

  #endRests(scope: IdentityScope): void {
    const rested = this.#now() - this.#restMs
    for (const number of this.#resting[scope]) {
      const holding = this.#byNumber.get(number)
      if (holding && holding.releasedAt > rested) return
      this.#resting[scope].delete(number)
      if (!holding) continue
      this.#byNumber.delete(number)
      this.#byLabels.delete(holding.labels.key)
      this.#held[scope]--
      this.#onForgotten(number)
    }
  }

  #hold(holding: Holding): void {
    this.#byNumber.set(holding.number, holding)
    this.#byLabels.set(holding.labels.key, holding)
    this.#held[holding.scope]++
  }

  #restore({ number, labels }: Identity): void {
    if (reservedNumber(labels) === number) return
    const scope = identityScope(labels)
    const { first, last } = this.#ranges[scope]
    const isTaken = this.#byNumber.has(number) || this.#byLabels.has(labels.key) || reservedNumber(labels) !== undefined
    if (isTaken || !Number.isInteger(number) || number < first || number > last)
      throw new TypeError(`identity ${number} (${labels.key}) cannot be restored: outside its range, or there already`)
    this.#hold({ number, labels, scope, uses: 0, isRestored: true, releasedAt: 0 })
    // Numbers released before the restart are not known, so continue behind the highest.
    if (number >= this.#cursor[scope]) this.#cursor[scope] = number >= last ? first : number + 1
  }
}
