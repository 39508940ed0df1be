// What a reconciler counts since its start. Reading them is free; whoever exports
// metrics turns them into series named `reconciler_*` with the reconciler as label.

export type ReconcilerMetrics = {
  /** Rows written and rows removed; rows that failed are counted once per attempt. */
  updates: number
  updateFailures: number
  deletes: number
  deleteFailures: number
  prunes: number
  pruneFailures: number
  /** Full compares, and rows that one of them found to differ. */
  compares: number
  compareFailures: number
  drifted: number
  /** Rows that the target had already at start. */
  adopted: number
  /** Time spent in operations: in all of them, and in the last. */
  operationsMs: number
  lastOperationMs: number
}

export function noMetrics(): ReconcilerMetrics {
  return {
    updates: 0,
    updateFailures: 0,
    deletes: 0,
    deleteFailures: 0,
    prunes: 0,
    pruneFailures: 0,
    compares: 0,
    compareFailures: 0,
    drifted: 0,
    adopted: 0,
    operationsMs: 0,
    lastOperationMs: 0,
  }
}
