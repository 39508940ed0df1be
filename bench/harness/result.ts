// What a benchmark says: one line of the table with its target, its yardstick and every sample. Pure.

import { median, type Ratio, ratioOfRounds } from './statistics.ts'

export type Bound = { readonly kind: 'at least' | 'at most'; readonly value: number }

export type Verdict = 'met' | 'missed' | 'no target'

export type Line = {
  /** Stable: `pod-to-pod/stream/ipv4/100-rules`. */
  readonly id: string
  readonly text: string
  readonly unit: string
  readonly measured: number
  readonly yardstick?: { readonly text: string; readonly value: number }
  readonly ratio?: Ratio
  /** On the ratio where there is one, else on what was measured. */
  readonly target?: Bound
  readonly verdict: Verdict
  /** By name; two series that are compared have one sample a round each. */
  readonly samples: Readonly<Record<string, readonly number[]>>
  readonly note?: string
}

export type Section = { readonly name: string; readonly title: string; readonly lines: readonly Line[] }

type Described = Pick<Line, 'id' | 'text' | 'unit'> & Partial<Pick<Line, 'target' | 'note' | 'samples'>>

/** A figure that stands for itself. */
export function plainLine(described: Described, measured: number): Line {
  const { target } = described
  return { samples: {}, ...described, measured, verdict: verdictOf(measured, target) }
}

export type Series = { readonly measured: readonly number[]; readonly yardstick: readonly number[] }

/** A figure against one that was measured in turns with it. */
export function comparedLine(described: Described, yardstickText: string, series: Series): Line {
  const { measured, yardstick } = series
  const ratio = ratioOfRounds(measured, yardstick)
  return {
    ...described,
    measured: median(measured),
    yardstick: { text: yardstickText, value: median(yardstick) },
    ratio,
    verdict: verdictOf(ratio.median, described.target),
    samples: { measured, yardstick },
  }
}

export function verdictOf(value: number, target: Bound | undefined): Verdict {
  if (!target) return 'no target'
  const isMet = target.kind === 'at least' ? value >= target.value : value <= target.value
  return isMet ? 'met' : 'missed'
}
