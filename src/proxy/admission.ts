// How much may be open, or held, at a time: so much in all, and so much for one client's
// address, so that none can take the others' share.

export class Admission {
  readonly #most: number
  readonly #mostEach: number
  readonly #open = new Map<string, number>()
  #all = 0

  constructor(most: number, mostEach: number) {
    this.#most = most
    this.#mostEach = mostEach
  }

  get open(): number {
    return this.#all
  }

  /** @returns false when there is no room; else `leave` must follow */
  enter(client: string, count = 1): boolean {
    const its = this.#open.get(client) ?? 0
    if (this.#all + count > this.#most || its + count > this.#mostEach) return false
    this.#open.set(client, its + count)
    this.#all += count
    return true
  }

  leave(client: string, count = 1): void {
    const its = this.#open.get(client) ?? 0
    if (its > count) this.#open.set(client, its - count)
    else this.#open.delete(client)
    this.#all -= count
  }
}
