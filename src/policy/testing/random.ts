// Chance that repeats itself: the same seed, the same choices, on every machine.

export type Random = {
  /** 0 to `bound` - 1. */
  readonly below: (bound: number) => number
  readonly pick: <T>(choices: readonly T[]) => T
  /** Some of the choices, each once, in their order. */
  readonly some: <T>(choices: readonly T[], count: number) => T[]
  /** True in one of `bound` cases. */
  readonly oneIn: (bound: number) => boolean
}

/** A generator of 32 bits of state (Marsaglia, Xorshift RNGs, 2003). `seed` is not 0. */
export function random(seed: number): Random {
  let state = seed | 0
  const next = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
  const below = (bound: number): number => next() % bound
  const pick = <T>(choices: readonly T[]): T => {
    if (choices.length === 0) throw new RangeError('there is nothing to choose from')
    return choices[below(choices.length)] as T
  }
  const some = <T>(choices: readonly T[], count: number): T[] => {
    const places = new Set<number>()
    while (places.size < Math.min(count, choices.length)) places.add(below(choices.length))
    return choices.filter((_, i) => places.has(i))
  }
  return { below, pick, some, oneIn: bound => below(bound) === 0 }
}
