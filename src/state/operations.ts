// How one kind of row is made real, and how far that has come. An Operations
// object is all that a new reconciler has to write; reconciler.ts decides what is
// called when, and retries.

import type { Row } from './row.ts'
import { defineTable } from './table.ts'

/** The rows of a batch that failed, each with its error. Nothing returned: all succeeded. */
export type Failures<R extends Row> = ReadonlyMap<R, Error>

/**
 * How to make one kind of row real. Calls never overlap. Every one must be idempotent: after a failure, a restart and at
 * every full compare it is called again for what may be done already. One that throws has failed for all its rows.
 *
 * The primary key of the table must be the key of the kernel's object: a deleted row is undone before new rows are made,
 * but a deletion that failed is tried again later, and must not hit what another row has made since.
 */
export type Operations<R extends Row> = {
  /** Creates or changes. Gets all rows of a round at once, so that it can batch. */
  update(rows: readonly R[], signal: AbortSignal): Promise<Failures<R> | void>
  /** Removes; a row that is not there is no error. Gets the row as it was last handed to `update`. */
  delete(rows: readonly R[], signal: AbortSignal): Promise<Failures<R> | void>
  /** Removes from the kernel whatever no desired row accounts for. Called only when the table is initialised. */
  prune(desired: readonly R[], signal: AbortSignal): Promise<void>
  /**
   * Reads what the kernel has, as rows. When given, rows that the kernel has already are not written at start, and a full
   * compare writes only what differs; otherwise a full compare writes every row. Rows that cannot be told are left out.
   */
  current?(signal: AbortSignal): Promise<Iterable<R>>
}

/** Makes a batch operation of one that does a row at a time; the others go on when one fails. */
export function eachRow<R extends Row>(
  operation: (row: R, signal: AbortSignal) => Promise<void> | void,
): (rows: readonly R[], signal: AbortSignal) => Promise<Failures<R>> {
  return async (rows, signal) => {
    const failures = new Map<R, Error>()
    for (const row of rows) {
      try {
        signal.throwIfAborted()
        await operation(row, signal)
      } catch (error) {
        failures.set(row, asError(error))
      }
    }
    return failures
  }
}

export type OperationKind = 'update' | 'delete'

/**
 * How far a reconciler has come with one row; a row of the table `NAME-status`. `revision` is the one of the row that the
 * status speaks of: a row with a higher revision is waiting. The status of a deleted row goes when the deletion is done.
 */
export type Status = { readonly key: string; readonly revision: number } & (
  | { readonly kind: 'pending'; readonly operation: OperationKind }
  | { readonly kind: 'done' }
  | {
      readonly kind: 'failed'
      readonly operation: OperationKind
      readonly error: Error
      /** Failures in a row, at least 1. */
      readonly attempts: number
      /** When it is tried again, in milliseconds since the Unix epoch. */
      readonly nextRetryMs: number
    }
)

/** The table of a reconciler's statuses. It is initialised once the reconciler has pruned for the first time. */
export function statusTable(reconciler: string) {
  return defineTable({
    name: `${reconciler}-status`,
    key: (status: Status) => status.key,
    indexes: { kind: status => [status.kind] },
    columns: {
      KEY: status => status.key,
      STATUS: status => status.kind,
      OPERATION: status => ('operation' in status ? status.operation : ''),
      REVISION: status => String(status.revision),
      ATTEMPTS: status => (status.kind === 'failed' ? String(status.attempts) : ''),
      ERROR: status => (status.kind === 'failed' ? status.error.message : ''),
    },
  })
}

export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
