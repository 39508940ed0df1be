// Hands out pod addresses of this node's ranges. Goes round a range in order, so that
// an address that was just freed is the last to come back. Pure; which addresses are
// in use is the caller's to tell.

import { addressAt, addressCount, type Cidr, cidr, cidrContains, formatIp, parseIp } from '../ip/index.ts'

/** No address of the range is free. */
export class PoolExhaustedError extends Error {
  override readonly name = 'PoolExhaustedError'
  readonly code = 'POOL_EXHAUSTED'

  constructor(pool: Cidr, used: number) {
    super(
      `the address pool ${pool.text} has no free address: ${used} are in use; delete pods or give the node a larger pool`,
    )
  }
}

/** A range larger than this is not walked to its end: with so many pods the search itself would be the fault. */
const MAX_STEPS = 1 << 20

export class AddressPool {
  readonly range: Cidr
  readonly #used = new Set<string>()
  #next = 2n

  /** @param range a prefix such as `10.244.0.0/24`; its first two addresses and, in IPv4, its last are never given out */
  constructor(range: string) {
    this.range = cidr(range)
  }

  get family(): 4 | 6 {
    return this.range.family
  }

  get used(): number {
    return this.#used.size
  }

  /** Whether an address lies in the range, given out or not. */
  contains(address: string): boolean {
    const parsed = parseIp(address)
    return parsed !== undefined && cidrContains(this.range, parsed)
  }

  /** Takes one particular address. @returns false when it is in use */
  claim(address: string): boolean {
    if (this.#used.has(address)) return false
    this.#used.add(address)
    return true
  }

  /** Takes the next free address. @throws PoolExhaustedError */
  take(): string {
    const size = addressCount(this.range)
    const last = this.range.family === 4 ? size - 1n : size
    for (let step = 0; step < MAX_STEPS && BigInt(step) < last; step++) {
      if (this.#next >= last) this.#next = 2n
      const found = addressAt(this.range, this.#next++)
      const text = found && formatIp(found.bytes)
      if (text && this.claim(text)) return text
    }
    throw new PoolExhaustedError(this.range, this.#used.size)
  }

  release(address: string): void {
    this.#used.delete(address)
  }
}
