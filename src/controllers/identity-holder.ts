// Numbers for the label sets of all addresses, and of those that an address may get at
// any moment. Taken before they are written down, given back after the addresses are in
// force, so that a label set that moves from one address to another keeps its number.

import { type IdentityAllocator, IdentityRangeExhaustedError, type LabelSet, RESERVED } from '../labels/index.ts'
import type { Address } from '../tables/index.ts'
import type { AddressPlan, Claim } from './identities.ts'

/** An address whose labels got no number. */
export type Unnumbered = Pick<Claim, 'prefix' | 'owner' | 'kind'> & { readonly error: IdentityRangeExhaustedError }

export type Assignment = {
  readonly addresses: readonly Address[]
  readonly identities: ReadonlyMap<number, LabelSet>
  readonly unnumbered: readonly Unnumbered[]
  /** To be called when the addresses are in force: gives back the numbers that are not used any more. */
  readonly release: () => void
}

/** One address that gets other labels, or loses those of its own. */
export type Move = {
  readonly prefix: string
  readonly address: Address | undefined
  /** To be called when it is in force. */
  readonly release: () => void
}

export class IdentityHolder {
  readonly #allocator: IdentityAllocator
  /** By prefix, or by what stands for a label set. */
  #held = new Map<string, number>()

  constructor(allocator: IdentityAllocator) {
    this.#allocator = allocator
  }

  /**
   * Numbers for a plan. Where none is left, a name's address counts as one of the prefix around it, and any other as
   * nobody's: only what is allowed to anybody is allowed to it.
   */
  assign(plan: AddressPlan): Assignment {
    const before = this.#held
    const held = new Map<string, number>()
    const identities = new Map<number, LabelSet>()
    const addresses: Address[] = []
    const unnumbered: Unnumbered[] = []
    const take = (key: string, labels: LabelSet): number | IdentityRangeExhaustedError => {
      const identity = this.#allocate(labels)
      if (typeof identity !== 'number') return identity
      held.set(key, identity)
      identities.set(identity, labels)
      return identity
    }
    for (const { prefix, labels, owner, isHost, kind } of plan.claims.values()) {
      const identity = take(prefix, labels)
      if (typeof identity !== 'number') unnumbered.push({ prefix, owner, kind, error: identity })
      const number = typeof identity === 'number' ? identity : RESERVED.unknown
      if (number !== RESERVED.unknown || kind !== 'name') addresses.push({ prefix, identity: number, isHost, owner })
    }
    for (const labels of plan.usual) take(standIn(labels), labels)
    this.#held = held
    const release = (): void => {
      for (const number of before.values()) this.#allocator.release(number)
    }
    return { addresses, identities, unnumbered, release }
  }

  /** Holds a number for labels that no address has yet, until the next plan. @throws IdentityRangeExhaustedError */
  prepare(labels: LabelSet): number {
    const number = this.#allocator.allocate(labels)
    this.#hold(standIn(labels), number)
    return number
  }

  /** Gives one address other labels, or none of its own, between two plans. @throws IdentityRangeExhaustedError */
  move(prefix: string, claim: Claim | undefined): Move {
    const before = this.#held.get(prefix)
    const identity = claim && this.#allocator.allocate(claim.labels)
    if (identity === undefined) this.#held.delete(prefix)
    else this.#held.set(prefix, identity)
    return {
      prefix,
      address:
        claim && identity !== undefined ? { prefix, identity, isHost: claim.isHost, owner: claim.owner } : undefined,
      release: () => {
        if (before !== undefined) this.#allocator.release(before)
      },
    }
  }

  /** Numbers in use. */
  held(): Set<number> {
    return new Set(this.#held.values())
  }

  #hold(key: string, number: number): void {
    const before = this.#held.get(key)
    this.#held.set(key, number)
    if (before !== undefined) this.#allocator.release(before)
  }

  #allocate(labels: LabelSet): number | IdentityRangeExhaustedError {
    try {
      return this.#allocator.allocate(labels)
    } catch (error) {
      if (error instanceof IdentityRangeExhaustedError) return error
      throw error
    }
  }
}

/** No prefix. */
const standIn = (labels: LabelSet): string => `labels ${labels.key}`
