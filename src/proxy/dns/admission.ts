// How much may be open at a time: so much in all, and so much for one pod, so that no
// pod can take the others' share.

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
  enter(client: string): boolean {
    const its = this.#open.get(client) ?? 0
    if (this.#all >= this.#most || its >= this.#mostEach) return false
    this.#open.set(client, its + 1)
    this.#all++
    return true
  }

  leave(client: string): void {
    const its = this.#open.get(client) ?? 0
    if (its > 1) this.#open.set(client, its - 1)
    else this.#open.delete(client)
    this.#all--
  }
}
