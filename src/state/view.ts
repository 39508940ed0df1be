// A view: listed and printed as a table, and computed from tables whenever it is. For
// what is asked now and then and would cost something at every change.

import type { PrintableTable } from './table.ts'

export type ViewSpec<R> = {
  /** As a table's: lower case with dashes. */
  readonly name: string
  /** The tables that it is computed from. */
  readonly from: readonly PrintableTable[]
  /** In the order in which they are printed. */
  readonly rows: () => readonly R[]
  readonly columns: Readonly<Record<string, (row: R) => string>>
}

export class View<R> implements PrintableTable {
  readonly #spec: ViewSpec<R>

  constructor(spec: ViewSpec<R>) {
    this.#spec = spec
  }

  get name(): string {
    return this.#spec.name
  }

  get size(): number {
    return this.rows().length
  }

  get revision(): number {
    return Math.max(0, ...this.#spec.from.map(table => table.revision))
  }

  get initialized(): boolean {
    return this.#spec.from.every(table => table.initialized)
  }

  get pendingSources(): readonly string[] {
    return [...new Set(this.#spec.from.flatMap(table => table.pendingSources))]
  }

  rows(): readonly R[] {
    return this.#spec.rows()
  }

  print(): { columns: string[]; rows: string[][] } {
    const columns = Object.entries(this.#spec.columns)
    return {
      columns: columns.map(([title]) => title),
      rows: this.rows().map(row => columns.map(([, text]) => text(row))),
    }
  }
}
