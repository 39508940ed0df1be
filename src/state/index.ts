// The table store and the reconciler: all that the rest of the agent needs of them.

export type { Backoff } from './attempts.ts'
export { type Clock, ManualClock, systemClock } from './clock.ts'
export { Database, type Scope, type Transaction } from './database.ts'
export type { ReconcilerMetrics } from './metrics.ts'
export { oldestKeyOf } from './oldest.ts'
export { asError, eachRow, type Failures, type OperationKind, type Operations, type Status } from './operations.ts'
export { type ReconcileFailure, Reconciler, type ReconcilerOptions } from './reconciler.ts'
export { type Row, rowsEqual } from './row.ts'
export { defineTable, type PrintableTable, type Table, type TableSpec } from './table.ts'
export { View, type ViewSpec } from './view.ts'
export { WaitError, Waiters } from './waiters.ts'
export { type Change, type Waitable, type Watcher, waitForAny } from './watcher.ts'
