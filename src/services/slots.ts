// The slots that new clients of a service are given backends from: one for each backend,
// or a Maglev table.

import { MAGLEV_TABLE_SIZES, maglevTable } from './maglev.ts'
import { type ClientKind, notChosenOf, type ServicePortEntry } from './resolved.ts'

/** Most slots that weights are written out in; more are rounded. */
const MOST_WEIGHTED_SLOTS = 65536

/**
 * For each slot, the index of its backend in `port.backends`; none where no backend is chosen. Random: each chosen backend as
 * often as its weight says. Maglev: a table of `tableSize`, or of the next size that has a slot for each backend.
 */
export function slotsOf(
  port: Pick<ServicePortEntry, 'algorithm' | 'protocol' | 'backends'>,
  kind: ClientKind,
  tableSize: number,
): Uint32Array {
  const chosen = port.backends.flatMap((backend, index) => {
    return notChosenOf(backend, kind) === undefined && backend.weight > 0 ? [{ ...backend, index }] : []
  })
  const indexes = Uint32Array.from(chosen, ({ index }) => index)
  // Whatever is chosen out of one is that one.
  if (chosen.length < 2) return indexes
  if (port.algorithm === 'random') return weightedSlots(chosen)
  const size = MAGLEV_TABLE_SIZES.find(known => known >= tableSize && known >= chosen.length)
  return size === undefined
    ? weightedSlots(chosen)
    : maglevTable(chosen, port.protocol, size).map(place => indexes[place] ?? 0)
}

function weightedSlots(chosen: readonly { readonly index: number; readonly weight: number }[]): Uint32Array {
  const divisor = chosen.reduce((common, { weight }) => greatestDivisor(common, weight), 0)
  const total = chosen.reduce((sum, { weight }) => sum + weight / divisor, 0)
  const scale = Math.min(1, MOST_WEIGHTED_SLOTS / total) / divisor
  return Uint32Array.from(
    chosen.flatMap(({ index, weight }) => {
      return Array.from({ length: Math.max(1, Math.round(weight * scale)) }, () => index)
    }),
  )
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b)
}
