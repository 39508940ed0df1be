// Tables hold the agent's state: typed, frozen rows under a primary key and any
// number of secondary indexes. A reader sees only whole writes, unless it awaits
// between two reads. Rows change only inside `database.write()` (database.ts);
// what is here stores, finds, prints and tells watchers.

import { freezeRow, type Row, rowsEqual } from './row.ts'
import { Watcher } from './watcher.ts'

/** What a table is, declared once. Made with `defineTable`, which infers the row and index types. */
export type TableSpec<R extends Row, I extends string = never> = {
  /** Name as the CLI prints it, in lower case with dashes: `policy-entries`. */
  readonly name: string
  /** Primary key; never the empty string. */
  readonly key: (row: R) => string
  /** Secondary indexes: each says under which keys a row is found. */
  readonly indexes?: { readonly [Name in I]: (row: R) => Iterable<string> }
  /** How a row is printed: column title, in capitals, to text. */
  readonly columns: Readonly<Record<string, (row: R) => string>>
  /** Whether two rows say the same; then a `put` changes nothing. Default: `rowsEqual`. */
  readonly equal?: (a: R, b: R) => boolean
}

/**
 * Declares a table. Annotate the parameter of `key`, the rest is inferred:
 *
 *     const podTable = defineTable({ name: 'pods', key: (pod: Pod) => pod.name, indexes: { node: pod => [pod.node] }, … })
 */
export function defineTable<R extends Row, I extends string = never>(spec: TableSpec<R, I>): TableSpec<R, I> {
  return spec
}

/** What can be listed and printed without knowing its rows. */
export type PrintableTable = {
  readonly name: string
  readonly size: number
  /** Revision of the last write that changed this table; 0 when none did. */
  readonly revision: number
  readonly initialized: boolean
  /** Sources that have not delivered yet. */
  readonly pendingSources: readonly string[]
  /** Rows as text, sorted by primary key, numbers in it by their value. */
  print(): { readonly columns: readonly string[]; readonly rows: readonly (readonly string[])[] }
}

/** A table as its readers see it. Arrays returned are the caller's own. */
export type Table<R extends Row, I extends string = string> = PrintableTable & {
  readonly spec: TableSpec<R, I>
  get(key: string): R | undefined
  /** Revision of the write that last changed the row. */
  revisionOf(key: string): number | undefined
  all(): R[]
  by(index: I, key: string): R[]
  watch(): Watcher<R>
  /**
   * Announces a source that will fill the table. The table is initialised when at least one source is registered and
   * every registered source has called the function returned here (again is harmless; inside a write it counts from
   * the commit). Nobody registered means not initialised: what nobody fills must not make a reconciler prune.
   * @throws when the name is taken
   */
  registerInitializer(source: string): () => void
  /** Resolves to true when initialised, to false when the signal is aborted first. */
  whenInitialized(signal?: AbortSignal): Promise<boolean>
}

type Entry<R> = { readonly row: R; readonly revision: number }

/** A table with the means to change it. Only database.ts uses this; everybody else sees `Table`. */
export class StoredTable<R extends Row, I extends string = string> implements Table<R, I> {
  readonly spec: TableSpec<R, I>
  revision = 0
  readonly #entries = new Map<string, Entry<R>>()
  readonly #indexes = new Map<string, Index<R>>()
  readonly #watchers = new Set<Watcher<R>>()
  readonly #initializedBySource = new Map<string, boolean>()
  readonly #deferUntilCommit: (action: () => void) => void

  constructor(spec: TableSpec<R, I>, deferUntilCommit: (action: () => void) => void) {
    this.spec = spec
    this.#deferUntilCommit = deferUntilCommit
    for (const [name, keysOf] of Object.entries<Index<R>['keysOf']>(spec.indexes ?? {})) {
      this.#indexes.set(name, { keysOf, keys: new Map() })
    }
  }

  get name(): string {
    return this.spec.name
  }

  get size(): number {
    return this.#entries.size
  }

  get initialized(): boolean {
    return this.#initializedBySource.size > 0 && this.#initializedBySource.values().every(Boolean)
  }

  get pendingSources(): readonly string[] {
    return [...this.#initializedBySource].filter(([, delivered]) => !delivered).map(([source]) => source)
  }

  get(key: string): R | undefined {
    return this.#entries.get(key)?.row
  }

  revisionOf(key: string): number | undefined {
    return this.#entries.get(key)?.revision
  }

  all(): R[] {
    return Array.from(this.#entries.values(), entry => entry.row)
  }

  by(index: I, key: string): R[] {
    const keys = this.#indexes.get(index)?.keys.get(key) ?? []
    return Array.from(keys, primary => this.#entries.get(primary)).flatMap(entry => (entry ? [entry.row] : []))
  }

  watch(): Watcher<R> {
    const watcher: Watcher<R> = new Watcher(this, this.#entries.keys(), () => this.#watchers.delete(watcher))
    this.#watchers.add(watcher)
    return watcher
  }

  registerInitializer(source: string): () => void {
    if (this.#initializedBySource.has(source)) throw new Error(`table ${this.name}: source ${source} registered twice`)
    this.#initializedBySource.set(source, false)
    return () =>
      this.#deferUntilCommit(() => {
        if (this.#initializedBySource.get(source)) return
        this.#initializedBySource.set(source, true)
        this.wakeWatchers()
      })
  }

  async whenInitialized(signal?: AbortSignal): Promise<boolean> {
    using watcher = this.watch()
    while (!this.initialized) {
      watcher.take()
      if (!(await watcher.wait(signal))) return false
    }
    return true
  }

  print(): { columns: string[]; rows: string[][] } {
    const columns = Object.entries(this.spec.columns)
    const entries = [...this.#entries].sort(([a], [b]) => readingOrder.compare(a, b) || (a < b ? -1 : 1))
    return {
      columns: columns.map(([title]) => title),
      rows: entries.map(([, { row }]) => columns.map(([, text]) => text(row))),
    }
  }

  /** Whether the row of a primary key is found under a key of an index. */
  isUnder(index: I, key: string, primary: string): boolean {
    return this.#indexes.get(index)?.keys.get(key)?.has(primary) ?? false
  }

  /** Whether putting this row would change nothing. */
  holds(key: string, row: R): boolean {
    const current = this.get(key)
    return current !== undefined && (this.spec.equal ?? rowsEqual)(current, row)
  }

  /** Sets or removes one row and returns what was there before. Throws before it has changed anything or not at all. */
  replace(key: string, row: R | undefined, revision: number): Entry<R> | undefined {
    const previous = this.#entries.get(key)
    const unindexed = this.#indexKeys(previous?.row)
    const indexed = this.#indexKeys(row)
    for (const [index, keys] of unindexed) removeFromIndex(index, keys, key)
    for (const [index, keys] of indexed) addToIndex(index, keys, key)
    if (row) this.#entries.set(key, { row: freezeRow(row), revision })
    else this.#entries.delete(key)
    return previous
  }

  /** Tells the watchers of a committed change; `wakeWatchers` follows once per write. */
  recordChange(key: string, before: R | undefined): void {
    const now = this.get(key)
    for (const watcher of this.#watchers) watcher.record(key, before, now)
  }

  wakeWatchers(): void {
    for (const watcher of this.#watchers) watcher.wake()
  }

  #indexKeys(row: R | undefined): [Index<R>, string[]][] {
    if (!row) return []
    return Array.from(this.#indexes.values(), index => [index, [...index.keysOf(row)]])
  }
}

/** Numbers inside keys by their value: 9 before 10, 10.0.0.9 before 10.0.0.10. */
const readingOrder = new Intl.Collator('en', { numeric: true })

type Index<R> = {
  readonly keysOf: (row: R) => Iterable<string>
  /** Index key to primary keys; never an empty set. */
  readonly keys: Map<string, Set<string>>
}

function addToIndex<R>(index: Index<R>, keys: readonly string[], primary: string): void {
  for (const key of keys) {
    const primaries = index.keys.get(key)
    if (primaries) primaries.add(primary)
    else index.keys.set(key, new Set([primary]))
  }
}

function removeFromIndex<R>(index: Index<R>, keys: readonly string[], primary: string): void {
  for (const key of keys) {
    const primaries = index.keys.get(key)
    primaries?.delete(primary)
    if (primaries?.size === 0) index.keys.delete(key)
  }
}
