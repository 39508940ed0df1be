// Equal content as one object, for as long as somebody has that object.

/** Dead references are looked for each time so many more are held than after the last look. */
const SPARE = 1000

export class Interner<T extends object> {
  readonly #byKey = new Map<string, WeakRef<T>>()
  #sweepAt = SPARE

  /** The object that this key already names, or the new one. */
  get(key: string, make: () => T): T {
    const known = this.#byKey.get(key)?.deref()
    if (known) return known
    const made = make()
    this.#byKey.set(key, new WeakRef(made))
    if (this.#byKey.size > this.#sweepAt) this.#sweep()
    return made
  }

  #sweep(): void {
    for (const [key, reference] of this.#byKey) if (!reference.deref()) this.#byKey.delete(key)
    this.#sweepAt = 2 * this.#byKey.size + SPARE
  }
}

/** Small numbers for objects, as parts of keys: different for different objects. */
export class ObjectNumbers {
  readonly #numbers = new WeakMap<object, number>()
  #next = 0

  of(object: object): number {
    const known = this.#numbers.get(object)
    if (known !== undefined) return known
    const number = this.#next++
    this.#numbers.set(object, number)
    return number
  }

  ofAll(objects: readonly object[]): string {
    return objects.map(object => this.of(object)).join()
  }
}
