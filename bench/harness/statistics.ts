// The arithmetic of the benchmarks: quantiles, and ratios of what was measured in turns. Pure. Ratios are taken round
// by round, because what disturbs a machine disturbs both sides of a round; the median over the rounds is the result.

/** Linear between the two nearest samples. @throws RangeError without samples */
export function quantile(samples: readonly number[], part: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  const position = (sorted.length - 1) * part
  const below = sorted[Math.floor(position)]
  const above = sorted[Math.ceil(position)]
  if (below === undefined || above === undefined) throw new RangeError('a quantile needs samples')
  return below + (above - below) * (position - Math.floor(position))
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5)
}

export type Ratio = {
  readonly median: number
  /** Bounds between which the true median lies with a probability of at least 95 %. */
  readonly low: number
  readonly high: number
}

/**
 * Of two series that were measured in turns, round by round.
 * @throws RangeError for series of different lengths, or empty ones
 */
export function ratioOfRounds(measured: readonly number[], yardstick: readonly number[]): Ratio {
  if (measured.length !== yardstick.length)
    throw new RangeError(`${measured.length} rounds cannot be compared with ${yardstick.length}`)
  const ratios = measured.map((value, round) => value / (yardstick[round] ?? Number.NaN)).sort((a, b) => a - b)
  const outer = outerSamples(ratios.length)
  return {
    median: median(ratios),
    low: ratios[outer] ?? Number.NaN,
    high: ratios[ratios.length - 1 - outer] ?? Number.NaN,
  }
}

const CONFIDENCE = 0.95

/**
 * How many of the sorted samples may be left out at each end so that the rest still spans the median with 95 %
 * confidence: each sample is above or below it like a toss of a coin. 0 where there are too few to be sure.
 */
function outerSamples(count: number): number {
  const chanceOutside = (1 - CONFIDENCE) / 2
  let chance = 0.5 ** count
  let below = chance
  let outer = 0
  while (below <= chanceOutside && outer < (count - 1) / 2) {
    outer++
    chance *= (count - outer + 1) / outer
    below += chance
  }
  return Math.max(0, outer - 1)
}
