// What each peer of a subject has, in the order of identities, and one digest over all
// of it. Peers lie in small shelves by identity, so that a change of one peer makes
// little of it anew, and a copy shares what neither side changes.

import { digestOfNumbered, type NumberedDigest } from './content-key.ts'
import type { PolicyEntry } from './entries.ts'
import type { PeerClass } from './peer-classes.ts'

/** One peer. */
export type PeerRow = {
  readonly identity: number
  readonly peerClass: PeerClass
  readonly entries: readonly PolicyEntry[]
  /** Names the content of the entries, apart from the identity. */
  readonly digest: Uint8Array
}

/** Identities that differ in no higher bit share a shelf. What is on a shelf may not depend on who came first. */
const SHELF_BITS = 6

/** Never changed once made, but for the digest that is worked out late. */
type Shelf = { readonly rows: readonly PeerRow[]; digest: Uint8Array | undefined }

export class PeerTable {
  readonly #shelves: Map<number, Shelf>

  constructor(other?: PeerTable) {
    this.#shelves = new Map(other ? other.#shelves : [])
  }

  get(identity: number): PeerRow | undefined {
    return this.#shelves.get(shelfOf(identity))?.rows.find(row => row.identity === identity)
  }

  set(row: PeerRow): void {
    const others = this.#others(row.identity)
    const at = others.findIndex(({ identity }) => identity > row.identity)
    this.#put(row.identity, at < 0 ? [...others, row] : others.toSpliced(at, 0, row))
  }

  delete(identity: number): void {
    this.#put(identity, this.#others(identity))
  }

  /** Makes it hold these and no others. */
  replace(rows: Iterable<PeerRow>): void {
    const shelves = new Map<number, PeerRow[]>()
    for (const row of rows) {
      const shelf = shelves.get(shelfOf(row.identity))
      if (shelf) shelf.push(row)
      else shelves.set(shelfOf(row.identity), [row])
    }
    this.#shelves.clear()
    for (const [number, list] of shelves)
      this.#shelves.set(number, { rows: list.sort((a, b) => a.identity - b.identity), digest: undefined })
  }

  *rows(): Generator<PeerRow> {
    for (const { rows } of this.#sorted()) yield* rows
  }

  /** Adds all entries, by identity. */
  collect(into: PolicyEntry[]): void {
    for (const { rows } of this.#sorted()) for (const { entries } of rows) for (const entry of entries) into.push(entry)
  }

  /** Names the content of the entries with their identities: equal exactly when they are. */
  digest(): Uint8Array {
    const shelves: NumberedDigest[] = []
    for (const shelf of this.#sorted()) {
      // Who has no entry says nothing, and neither does a shelf of such.
      const rows = shelf.rows.filter(({ entries }) => entries.length > 0)
      const [first] = rows
      if (!first) continue
      shelf.digest ??= digestOfNumbered(rows.map(({ identity, digest }) => ({ number: identity, digest })))
      shelves.push({ number: shelfOf(first.identity), digest: shelf.digest })
    }
    return digestOfNumbered(shelves)
  }

  #others(identity: number): readonly PeerRow[] {
    const rows = this.#shelves.get(shelfOf(identity))?.rows ?? []
    return rows.filter(row => row.identity !== identity)
  }

  #put(identity: number, rows: readonly PeerRow[]): void {
    if (rows.length === 0) this.#shelves.delete(shelfOf(identity))
    else this.#shelves.set(shelfOf(identity), { rows, digest: undefined })
  }

  #sorted(): Shelf[] {
    return [...this.#shelves].sort(([a], [b]) => a - b).map(([, shelf]) => shelf)
  }
}

const shelfOf = (identity: number): number => identity >>> SHELF_BITS
