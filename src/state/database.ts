// The tables of one process, and the one way to change them: a synchronous write
// that takes effect on all tables it touches or on none. Revisions count writes
// across the whole database, so a table's, a row's and a status's can be compared.

import type { Row } from './row.ts'
import { type PrintableTable, StoredTable, type Table, type TableSpec } from './table.ts'
import { View, type ViewSpec } from './view.ts'

/** The changes that the body of a write may make. Usable only until the body returns. */
export type Transaction = {
  /** Sets a row. Returns false, and changes nothing, when the table holds an equal row. @throws on an empty key */
  put<R extends Row, I extends string>(table: Table<R, I>, row: R): boolean
  /** Removes a row. Returns false when there is none. */
  delete<R extends Row, I extends string>(table: Table<R, I>, key: string): boolean
  /**
   * Makes the rows be exactly these: those of the whole table or, with a scope, those found under one key of an index.
   * Rows that are equal already are not touched, so watchers see only what differs.
   * @throws when two rows have the same key, or a row lies outside the scope
   */
  replace<R extends Row, I extends string>(table: Table<R, I>, rows: Iterable<R>, scope?: Scope<I>): void
}

/** The rows that are found under `key` of `index`. */
export type Scope<I extends string> = { readonly index: I; readonly key: string }

export class Database {
  /** Number of writes so far that changed something. */
  revision = 0
  readonly #tables = new Map<string, PrintableTable>()
  #open: OpenTransaction | undefined

  /** Creates the table of a spec. @throws when a table of this name exists */
  add<R extends Row, I extends string>(spec: TableSpec<R, I>): Table<R, I> {
    if (this.#tables.has(spec.name)) throw new Error(`table ${spec.name} exists`)
    const table = new StoredTable(spec, action => (this.#open ? this.#open.atCommit.push(action) : action()))
    this.#tables.set(spec.name, table)
    return table
  }

  /** Lists a view among the tables. @throws when a table of this name exists */
  addView<R>(spec: ViewSpec<R>): View<R> {
    if (this.#tables.has(spec.name)) throw new Error(`table ${spec.name} exists`)
    const view = new View(spec)
    this.#tables.set(spec.name, view)
    return view
  }

  /** All tables and views, sorted by name. */
  tables(): PrintableTable[] {
    return [...this.#tables.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  table(name: string): PrintableTable | undefined {
    return this.#tables.get(name)
  }

  /**
   * Runs `body` as one write and returns its result. Inside, tables read as the body has changed them so far. When it
   * throws, every table is as it was before. Watchers learn of it after the commit.
   * @throws what the body throws; when called inside another write; when the body returns a promise
   */
  write<T>(body: (tx: Transaction) => T): T {
    if (this.#open) throw new Error('write inside a write: use the transaction that is open')
    const tx = new OpenTransaction(this.revision + 1, table => this.#tables.get(table.name) === table)
    this.#open = tx
    try {
      const result = body(tx)
      if (result instanceof Promise) throw new TypeError('the body of a write must not be async')
      this.#open = undefined
      if (tx.commit()) this.revision++
      return result
    } catch (error) {
      tx.rollback()
      throw error
    } finally {
      this.#open = undefined
    }
  }
}

type ChangedTable = { revision: number; wakeWatchers(): void }

class OpenTransaction implements Transaction {
  readonly #revision: number
  readonly #owns: (table: PrintableTable) => boolean
  /** Put back what was there, newest last. */
  readonly #undo: (() => void)[] = []
  /** For each table, how to tell its watchers of each key that changed: from what it was before the write. */
  readonly #changes = new Map<ChangedTable, Map<string, () => void>>()
  readonly atCommit: (() => void)[] = []
  #closed = false

  constructor(revision: number, owns: (table: PrintableTable) => boolean) {
    this.#revision = revision
    this.#owns = owns
  }

  put<R extends Row, I extends string>(table: Table<R, I>, row: R): boolean {
    const stored = this.#stored(table)
    const key = table.spec.key(row)
    if (key === '') throw new Error(`table ${table.name}: a row has an empty key`)
    if (stored.holds(key, row)) return false
    this.#replace(stored, key, row)
    return true
  }

  delete<R extends Row, I extends string>(table: Table<R, I>, key: string): boolean {
    const stored = this.#stored(table)
    if (!stored.get(key)) return false
    this.#replace(stored, key, undefined)
    return true
  }

  replace<R extends Row, I extends string>(table: Table<R, I>, rows: Iterable<R>, scope?: Scope<I>): void {
    const stored = this.#stored(table)
    const surplus = new Set((scope ? table.by(scope.index, scope.key) : table.all()).map(table.spec.key))
    const seen = new Set<string>()
    for (const row of rows) {
      const key = table.spec.key(row)
      if (seen.has(key)) throw new Error(`table ${table.name}: two rows have the key ${key}`)
      seen.add(key)
      surplus.delete(key)
      this.put(table, row)
      if (scope && !stored.isUnder(scope.index, scope.key, key)) {
        throw new Error(`table ${table.name}: row ${key} is not under ${scope.index} ${scope.key}`)
      }
    }
    for (const key of surplus) this.delete(table, key)
  }

  /** Makes the changes known. Returns whether there were any. */
  commit(): boolean {
    this.#closed = true
    for (const [table, changes] of this.#changes) {
      table.revision = this.#revision
      for (const record of changes.values()) record()
    }
    for (const action of this.atCommit) action()
    for (const table of this.#changes.keys()) table.wakeWatchers()
    return this.#changes.size > 0
  }

  rollback(): void {
    this.#closed = true
    for (const restore of this.#undo.reverse()) restore()
  }

  #replace<R extends Row, I extends string>(table: StoredTable<R, I>, key: string, row: R | undefined): void {
    const before = table.replace(key, row, this.#revision)
    this.#undo.push(() => table.replace(key, before?.row, before?.revision ?? 0))
    const changes = this.#changes.get(table) ?? new Map<string, () => void>()
    if (!changes.has(key)) changes.set(key, () => table.recordChange(key, before?.row))
    this.#changes.set(table, changes)
  }

  #stored<R extends Row, I extends string>(table: Table<R, I>): StoredTable<R, I> {
    if (this.#closed) throw new Error('this transaction is over')
    if (!(table instanceof StoredTable) || !this.#owns(table))
      throw new Error(`table ${table.name} is of another database`)
    return table
  }
}
