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

  *identities(): Generator<number> {
    for (const { places } of this.#shelves.values()) for (const { identity } of places) yield identity
  }

  classOf(identity: number): PeerClass | undefined {
    return this.#shelves.get(shelfOf(identity))?.place(identity)?.peerClass
  }

  /** Sets the rows of identities, or takes them away. */
  apply(changes: ReadonlyMap<number, PeerRow | undefined>): void {
    const byShelf = Map.groupBy(changes.keys(), shelfOf)
    for (const [number, identities] of byShelf) {
      const kept = (this.#shelves.get(number)?.rows() ?? []).filter(({ identity }) => !changes.has(identity))
      const rows = [...kept, ...identities.flatMap(identity => changes.get(identity) ?? [])]
      if (rows.length === 0) this.#shelves.delete(number)
      else this.#shelves.set(number, new Shelf(number, rows))
    }
    if (byShelf.size > 0) this.#digest = undefined
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

  constructor(number: number, rows: readonly PeerRow[]) {
    this.number = number
    const sorted = rows.toSorted((a, b) => a.identity - b.identity)
    const none: readonly PolicyEntry[] = []
    this.entries = none.concat(...sorted.map(({ entries }) => entries))
    this.places = sorted.map(({ identity, peerClass, entries, digest }) => {
      return { identity, peerClass, size: entries.length, digest }
    })
  }

  place(identity: number): Place | undefined {
    return this.places.find(place => place.identity === identity)
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
