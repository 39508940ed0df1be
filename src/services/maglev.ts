// Maglev tables: slots, each of which names a backend, that are the same on every node
// for the same backends, whatever their order and their ids. As in Maglev (Eisenbud et
// al., NSDI 2016, section 3.4) each backend goes through the slots in an order of its own
// and takes free ones in turn. But a backend that finds a slot taken does not search on at
// once: it may fall behind its share, or run ahead of it, by a leeway. So when one goes,
// nearly all slots of the others stay as they are (docs/decisions/0012).

import { ip } from '../ip/index.ts'
import { backendHash } from './flow-hash.ts'

/** Sizes of tables: primes, for the orders are made by arithmetic modulo the size. */
export const MAGLEV_TABLE_SIZES = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071] as const
export const DEFAULT_MAGLEV_TABLE_SIZE = 16381

export type MaglevBackend = {
  readonly address: string
  readonly port: number
  /** A whole number above 0: so many turns the backend has where others have one. */
  readonly weight: number
}

/**
 * The table: for each slot, the index of its backend in `backends`, none of which is there twice.
 * @param size one of MAGLEV_TABLE_SIZES
 */
export function maglevTable(backends: readonly MaglevBackend[], protocol: number, size: number): Uint32Array {
  const total = backends.reduce((sum, { weight }) => sum + weight, 0)
  const owners = backends.map(({ weight }, index): Owner => {
    const share = weight / total
    return { index, share, leeway: maglevLeeway(share * size), taken: 0 }
  })
  const runners = owners.flatMap(owner => runnersOf(owner, backends[owner.index], protocol, size))
  // By what all nodes have in common, and in favour of nobody's address.
  runners.sort((a, b) => a.rank - b.rank || a.next - b.next || a.factor - b.factor)
  const table = new Uint32Array(size)
  const inverses = inversesModulo(size)
  // Until all are taken, a slot holds the index and 1, or 0 where it is free.
  let filled = 0
  while (filled < size && runners.length > 0) {
    for (const runner of runners) {
      if (filled < size) filled += takeTurn(runner, { table, inverses, filled })
    }
  }
  for (let slot = 0; slot < size; slot++) table[slot] = (table[slot] ?? 0) - 1
  return table
}

/**
 * How many slots a backend may have more or fewer than its share of so many, and one: two and a half times the deviation
 * that there is when nobody searches on.
 */
export function maglevLeeway(slots: number): number {
  return 2.5 * Math.sqrt(slots / 2) + 1
}

/** A backend, and how many slots it has. `share` is what it is to have of all, 0 to 1. */
type Owner = { readonly index: number; readonly share: number; readonly leeway: number; taken: number }

/** One who takes turns for a backend. Its n-th slot is `factor / (start + n) + shift`, modulo the size. */
type Runner = {
  readonly owner: Owner
  readonly rank: number
  readonly factor: number
  readonly shift: number
  next: number
}

/** As many as the backend has weight: who is there does not depend on the weights of others. */
function runnersOf(owner: Owner, backend: MaglevBackend | undefined, protocol: number, size: number): Runner[] {
  if (!backend) return []
  const { bytes } = ip(backend.address)
  return Array.from({ length: backend.weight }, (_, turn): Runner => {
    const hash = (seed: number): number => backendHash(bytes, backend.port, protocol, 4 * turn + seed)
    return { owner, rank: hash(0), factor: (hash(1) % (size - 1)) + 1, shift: hash(2) % size, next: hash(3) % size }
  })
}

type Progress = { readonly table: Uint32Array; readonly inverses: Uint32Array; readonly filled: number }

/** @return how many slots it took: 0 or 1 */
function takeTurn(runner: Runner, { table, inverses, filled }: Progress): number {
  const { owner, factor, shift } = runner
  const size = table.length
  const due = filled * owner.share
  if (owner.taken > due + owner.leeway) return 0
  do {
    const place = factor * (inverses[runner.next] ?? 0) + shift
    // As place % size, ten times as fast; both are exact, for place is below 2^35.
    const slot = place - Math.floor(place / size) * size
    runner.next = runner.next + 1 < size ? runner.next + 1 : 0
    if (table[slot] !== 0) continue
    table[slot] = owner.index + 1
    owner.taken++
    return 1
  } while (owner.taken < due - owner.leeway)
  return 0
}

const inversesBySize = new Map<number, Uint32Array>()

/**
 * The inverse of each number modulo a prime, and 0 for 0. Division makes orders that have nothing in common; with steps of
 * one length, as in the paper, one backend may follow close upon another everywhere and find nothing free.
 */
function inversesModulo(prime: number): Uint32Array {
  const known = inversesBySize.get(prime)
  if (known) return known
  const inverses = new Uint32Array(prime)
  inverses[1] = 1
  for (let i = 2; i < prime; i++) inverses[i] = ((prime - Math.floor(prime / i)) * (inverses[prime % i] ?? 0)) % prime
  inversesBySize.set(prime, inverses)
  return inverses
}
