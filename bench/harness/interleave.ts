// Measures in turns: every contestant once a round, in another order each round, so that a machine that grows slower or
// is disturbed for a while does not favour one of them.

export type Contestant<Name extends string, Sample = number> = {
  readonly name: Name
  /** One sample: a number in the unit of the measurement, or several that were taken at once. */
  readonly sample: () => Promise<Sample>
}

export type Rounds = {
  /** Those that count; one before them warms caches and is thrown away. */
  readonly count: number
  readonly signal: AbortSignal
  /** After each contestant of a round. */
  readonly onSample?: () => void
}

/** @returns the samples of each contestant, one a round, in the order of the rounds. @throws what a sample throws */
export async function interleave<Name extends string, Sample = number>(
  contestants: readonly Contestant<Name, Sample>[],
  { count, signal, onSample }: Rounds,
): Promise<Record<Name, Sample[]>> {
  const samples = Object.fromEntries(contestants.map(({ name }) => [name, []])) as unknown as Record<Name, Sample[]>
  for (let round = -1; round < count; round++) {
    for (const { name, sample } of orderOf(round, contestants)) {
      signal.throwIfAborted()
      const value = await sample()
      if (round >= 0) samples[name].push(value)
      onSample?.()
    }
  }
  return samples
}

/** Begins with another contestant each round, and goes the other way round every second time through. */
export function orderOf<T>(round: number, contestants: readonly T[]): T[] {
  const first = ((round % contestants.length) + contestants.length) % contestants.length
  const order = [...contestants.slice(first), ...contestants.slice(0, first)]
  return Math.floor(round / contestants.length) % 2 === 0 ? order : order.reverse()
}
