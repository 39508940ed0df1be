// What each peer of a subject has, in the order of identities, and one digest over all
// of it. Peers lie on small shelves by identity, so that a change of one peer makes
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

/** As it lies on a shelf: its entries are the next `size` ones of the shelf's. */
type Place = Omit<PeerRow, 'entries'> & { readonly size: number }

/** Identities that differ in no higher bit share a shelf. What is on a shelf may not depend on who came first. */
const SHELF_BITS = 6

export class PeerTable {
  readonly #shelves: Map<number, Shelf>
  #digest: Uint8Array | undefined

  constructor(other?: PeerTable) {
    this.#shelves = new Map(other ? other.#shelves : [])
  }

  classOf(identity: number): PeerClass | undefined {
    return this.#shelves.get(shelfOf(identity))?.places.find(place => place.identity === identity)?.peerClass
  }

  set(row: PeerRow): void {
    const rows = this.#rowsBeside(row.identity)
    const at = rows.findIndex(({ identity }) => identity > row.identity)
    this.#put(shelfOf(row.identity), at < 0 ? [...rows, row] : rows.toSpliced(at, 0, row))
  }

  delete(identity: number): void {
    if (this.classOf(identity)) this.#put(shelfOf(identity), this.#rowsBeside(identity))
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
    this.#digest = undefined
    for (const [number, list] of shelves)
      this.#put(
        number,
        list.sort((a, b) => a.identity - b.identity),
      )
  }

  /** By identity. */
  rows(): Map<number, PeerRow> {
    return new Map(this.#sorted().flatMap(shelf => shelf.rows().map(row => [row.identity, row] as const)))
  }

  /** All entries, by identity, in lists that follow each other. */
  lists(): (readonly PolicyEntry[])[] {
    return this.#sorted().map(({ entries }) => entries)
  }

  /** Names the content of the entries with their identities: equal exactly when they are. */
  digest(): Uint8Array {
    this.#digest ??= digestOfNumbered(this.#sorted().filter(({ entries }) => entries.length > 0))
    return this.#digest
  }

  #rowsBeside(identity: number): PeerRow[] {
    const rows = this.#shelves.get(shelfOf(identity))?.rows() ?? []
    return rows.filter(row => row.identity !== identity)
  }

  #put(number: number, rows: readonly PeerRow[]): void {
    this.#digest = undefined
    if (rows.length === 0) this.#shelves.delete(number)
    else this.#shelves.set(number, new Shelf(number, rows))
  }

  #sorted(): Shelf[] {
    return [...this.#shelves.values()].sort((a, b) => a.number - b.number)
  }
}

const shelfOf = (identity: number): number => identity >>> SHELF_BITS

/** Never changed once made. */
class Shelf implements NumberedDigest {
  readonly number: number
  readonly places: readonly Place[]
  /** Of all places, one after the other: one list takes less room than one for each. */
  readonly entries: readonly PolicyEntry[]
  #digest: Uint8Array | undefined

  /** `rows` in the order of identities. */
  constructor(number: number, rows: readonly PeerRow[]) {
    this.number = number
    const none: readonly PolicyEntry[] = []
    this.entries = none.concat(...rows.map(({ entries }) => entries))
    this.places = rows.map(({ identity, peerClass, entries, digest }) => {
      return { identity, peerClass, size: entries.length, digest }
    })
  }

  get digest(): Uint8Array {
    // Who has no entry says nothing.
    const said = (): Place[] => this.places.filter(({ size }) => size > 0)
    this.#digest ??= digestOfNumbered(said().map(({ identity, digest }) => ({ number: identity, digest })))
    return this.#digest
  }

  rows(): PeerRow[] {
    let end = 0
    return this.places.map(({ identity, peerClass, size, digest }) => {
      end += size
      return { identity, peerClass, entries: this.entries.slice(end - size, end), digest }
    })
  }
}
