// Values that are given out one by one and each have one owner: the addresses of a prefix, the numbers of a range of
// ports. Where nobody asks for a value, the owner's name chooses it, so that the same services get the same values in the
// next sandbox as well. Pure.

import { createHash } from 'node:crypto'
import { addressAt, addressCount, type Cidr, canonicalIp, cidrContains, formatIp, parseIp } from '../../ip/index.ts'

export class Pool {
  readonly #count: number
  readonly #firstFree: number
  readonly #valueAt: (position: number) => string
  readonly #contains: (value: string) => boolean
  readonly #owners = new Map<string, string>()

  private constructor(
    count: number,
    firstFree: number,
    valueAt: (position: number) => string,
    contains: (value: string) => boolean,
  ) {
    this.#count = count
    this.#firstFree = firstFree
    this.#valueAt = valueAt
    this.#contains = contains
  }

  /**
   * All addresses of a prefix but the first (the network's own) and, of IPv4, the last (broadcast). Of a large one the
   * lowest are left for who asks for them, as Kubernetes does (KEP-3070).
   */
  static ofPrefix(prefix: Cidr): Pool {
    const total = addressCount(prefix)
    const count = Number(total > MAX_POSITIONS ? MAX_POSITIONS : total) - (prefix.family === 4 ? 2 : 1)
    return new Pool(
      count,
      leftForRequests(count),
      position => {
        const address = addressAt(prefix, position + 1)
        if (!address) throw new RangeError(`${prefix.text} has no address ${position + 1}`)
        return formatIp(address.bytes)
      },
      value => {
        const address = parseIp(value)
        return address !== undefined && cidrContains(prefix, address)
      },
    )
  }

  static ofNumbers(first: number, last: number): Pool {
    const count = last - first + 1
    return new Pool(
      count,
      leftForRequests(count),
      position => String(first + position),
      value => Number(value) >= first && Number(value) <= last,
    )
  }

  contains(value: string): boolean {
    return this.#contains(canonical(value))
  }

  /** @returns who has it already; undefined when it is now, or was before, the owner's */
  claim(value: string, owner: string): string | undefined {
    const holder = this.#owners.get(canonical(value))
    if (holder !== undefined && holder !== owner) return holder
    this.#owners.set(canonical(value), owner)
    return undefined
  }

  /** A free value. @returns undefined when there is none */
  take(owner: string, seed: string): string | undefined {
    const start = createHash('sha256').update(seed).digest().readUInt32BE() % (this.#count - this.#firstFree)
    for (let step = 0; step < this.#count; step++) {
      const value = this.#valueAt((this.#firstFree + ((start + step) % this.#count)) % this.#count)
      if (this.#owners.has(value)) continue
      this.#owners.set(value, owner)
      return value
    }
    return undefined
  }

  /** Frees what the owner has beyond these. */
  retain(owner: string, values: readonly string[]): void {
    const kept = new Set(values.map(canonical))
    for (const [value, holder] of this.#owners) if (holder === owner && !kept.has(value)) this.#owners.delete(value)
  }
}

const MAX_POSITIONS = 65_536n

/** A sixteenth, at least 16 and at most 256; nothing of a range too small for that. */
const leftForRequests = (count: number): number => (count < 32 ? 0 : Math.min(256, Math.max(16, count >> 4)))

const canonical = (value: string): string => canonicalIp(value) ?? value
