// A reconciler makes the rows of one table real through an Operations object, and is
// the only place where anything is retried. It promises: what the target ends up
// with depends on the table alone, never on the path to it; nothing is pruned before
// every source of the table has delivered; statuses stand beside the rows. It knows
// nothing of what the rows mean.

import { Attempts, type Backoff } from './attempts.ts'
import { type Clock, systemClock } from './clock.ts'
import type { Database } from './database.ts'
import { noMetrics, type ReconcilerMetrics } from './metrics.ts'
import { asError, type Failures, type OperationKind, type Operations, type Status, statusTable } from './operations.ts'
import { type Row, rowsEqual } from './row.ts'
import type { Table } from './table.ts'
import { Waiters } from './waiters.ts'
import type { Watcher } from './watcher.ts'

export type ReconcilerOptions<R extends Row, I extends string> = {
  /** Lower case with dashes. Its status table is called `NAME-status`. */
  readonly name: string
  readonly database: Database
  readonly table: Table<R, I>
  readonly operations: Operations<R>
  /** Time between two full compares with the target. Default 300,000 (five minutes). */
  readonly refreshIntervalMs?: number
  /** Wait before a retry. Default: 50 ms, doubled each time up to 30 s, with jitter. */
  readonly backoff?: Partial<Backoff>
  readonly clock?: Clock
  /** Told of every failure, for the log. */
  readonly onFailure?: (failure: ReconcileFailure) => void
}

export type ReconcileFailure = {
  readonly reconciler: string
  readonly operation: OperationKind | 'prune' | 'current'
  /** Key of the row; absent where the operation is about all rows. */
  readonly key?: string
  readonly error: Error
  /** Failures in a row. */
  readonly attempts: number
  readonly retryInMs: number
}

type Work<R> = { readonly key: string; readonly row: R; readonly revision: number }

export class Reconciler<R extends Row, I extends string = string> {
  readonly metrics: ReconcilerMetrics = noMetrics()
  /** Status per row. A row without one, or with one of a lower revision, has not been looked at yet. */
  readonly status: Table<Status, 'kind'>
  readonly #options: ReconcilerOptions<R, I>
  readonly #clock: Clock
  readonly #watcher: Watcher<R>
  readonly #rowAttempts: Attempts<Work<R>>
  /** Failures of `prune` and `current`. */
  readonly #wholeAttempts: Attempts<undefined>
  readonly #waiters = new Waiters()
  readonly #markInitialized: () => void
  /** What the target had at start; a key goes when it is handled. Undefined when unknown, and once pruned. */
  #inherited: Map<string, R> | undefined
  #phase: 'created' | 'working' | 'idle' = 'created'
  /** Revision of the table whose changes have all been tried; -1 before the first round. */
  #triedRevision = -1
  #pruneDue = true
  #compareDue = false
  #nextCompareMs: number

  constructor(options: ReconcilerOptions<R, I>) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#rowAttempts = new Attempts(options.backoff)
    this.#wholeAttempts = new Attempts(options.backoff)
    this.#watcher = options.table.watch()
    this.#nextCompareMs = this.#clock.nowMs() + this.#refreshIntervalMs
    this.status = options.database.add(statusTable(options.name))
    this.#markInitialized = this.status.registerInitializer(`reconciler ${options.name}`)
  }

  /** Reconciles until the signal is aborted; an operation under way is awaited. Call once. */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#phase !== 'created') throw new Error(`reconciler ${this.#options.name} was started before`)
    this.#phase = 'working'
    this.#inherited = await this.#readTarget(signal)
    this.#compareDue ||= this.#wholeAttempts.has('current')
    while (!signal.aborted) {
      this.#phase = 'working'
      await this.#round(signal)
      this.#phase = 'idle'
      this.#waiters.release()
      await this.#waitForWork(signal)
    }
    this.#waiters.stop()
    this.#watcher.close()
  }

  /** Asks for a full compare with the target now: something is known to have gone wrong there. */
  refresh(): void {
    this.#compareDue = true
    this.#watcher.wake()
  }

  /**
   * Resolves when the row of this key, as of this revision or a later one, is real in the target or, where it was
   * deleted, gone from it. Failures are waited out.
   * @throws WaitError when the signal is aborted first, with the row's last error as cause, or the reconciler stops
   */
  waitFor(key: string, revision: number, signal?: AbortSignal): Promise<void> {
    const what = `${key} at revision ${revision} in ${this.#options.name}`
    const obstacle = () => {
      const status = this.status.get(key)
      return status?.kind === 'failed' ? status.error : undefined
    }
    return this.#waiters.wait({ what, holds: () => this.#isReal(key, revision), obstacle }, signal)
  }

  /**
   * Resolves when the target agrees with the table: nothing waits, nothing has failed and, where the table is
   * initialised, what does not belong is pruned.
   * @throws WaitError when the signal is aborted first, with the last error as cause, or the reconciler stops
   */
  settled(signal?: AbortSignal): Promise<void> {
    const obstacle = () => this.#rowAttempts.lastError() ?? this.#wholeAttempts.lastError()
    return this.#waiters.wait({ what: this.#options.name, holds: () => this.#isSettled(), obstacle }, signal)
  }

  /**
   * Resolves when every change that was there at the call has been tried once, whether it worked or not: for another
   * reconciler whose rows make sense only after these.
   * @throws WaitError when the signal is aborted first, or the reconciler stops
   */
  attempted(signal?: AbortSignal): Promise<void> {
    const { revision } = this.#options.table
    const holds = () => this.#triedRevision >= revision
    return this.#waiters.wait({ what: `a round of ${this.#options.name}`, holds, obstacle: () => undefined }, signal)
  }

  get #refreshIntervalMs(): number {
    return this.#options.refreshIntervalMs ?? 300_000
  }

  #isReal(key: string, revision: number): boolean {
    const status = this.status.get(key)
    if (status) return status.kind === 'done' && status.revision >= revision
    return !this.#options.table.get(key) && !this.#watcher.has(key)
  }

  #isSettled(): boolean {
    const pruned = !this.#pruneDue || !this.#options.table.initialized
    return (
      this.#phase === 'idle' && this.#watcher.size === 0 && this.#rowAttempts.size === 0 && !this.#compareDue && pruned
    )
  }

  /** One round. Deletions come before updates, so that a thing can move from one row to another. */
  async #round(signal: AbortSignal): Promise<void> {
    const { revision } = this.#options.table
    const { updates, deletes } = this.#takeWork()
    await this.#apply('delete', deletes, signal)
    await this.#apply('update', this.#withoutInherited(updates), signal)
    if (signal.aborted) return
    this.#triedRevision = revision
    this.#waiters.release()
    if (this.#clock.nowMs() >= this.#nextCompareMs) this.#compareDue = true
    if (this.#compareDue) await this.#compare(signal)
    if (this.#pruneDue && this.#options.table.initialized) await this.#prune(signal)
  }

  /** Changed rows, and failed ones that are due again, with what is desired now. */
  #takeWork(): { updates: Work<R>[]; deletes: Work<R>[] } {
    const updates: Work<R>[] = []
    const deletes: Work<R>[] = []
    const taken = new Set<string>()
    for (const change of this.#watcher.take()) {
      taken.add(change.key)
      if (change.kind === 'put') updates.push(change)
      else deletes.push({ key: change.key, row: change.previous, revision: change.revision })
    }
    for (const failed of this.#rowAttempts.due(this.#clock.nowMs())) {
      if (taken.has(failed.key)) continue
      if (this.#options.table.get(failed.key)) updates.push(failed)
      else deletes.push(failed)
    }
    return { updates, deletes }
  }

  async #apply(operation: OperationKind, work: readonly Work<R>[], signal: AbortSignal): Promise<void> {
    if (work.length === 0 || signal.aborted) return
    this.#writeStatuses(work.map(({ key, revision }) => ({ key, revision, kind: 'pending', operation })))
    const rows = work.map(item => item.row)
    const failures = await this.#call(operation, rows, signal)
    const statuses = work.map(item => this.#conclude(operation, item, failures.get(item.row)))
    this.#writeStatuses(statuses)
    this.#waiters.release()
  }

  async #call(operation: OperationKind, rows: readonly R[], signal: AbortSignal): Promise<Failures<R>> {
    try {
      return (await this.#timed(() => this.#options.operations[operation](rows, signal))) ?? new Map()
    } catch (error) {
      return new Map(rows.map(row => [row, asError(error)]))
    }
  }

  /** Books the outcome of one row and returns its new status; only the key where a deletion is done. */
  #conclude(operation: OperationKind, item: Work<R>, error: Error | undefined): Status | string {
    const { key, revision } = item
    if (!error) {
      this.metrics[`${operation}s`]++
      this.#rowAttempts.recordSuccess(key)
      return operation === 'update' ? { key, revision, kind: 'done' } : key
    }
    this.metrics[`${operation}Failures`]++
    const { attempts, atMs } = this.#rowAttempts.recordFailure(key, item, error, this.#clock.nowMs())
    this.#report({ operation, key, error, attempts, retryInMs: atMs - this.#clock.nowMs() })
    return { key, revision, kind: 'failed', operation, error, attempts, nextRetryMs: atMs }
  }

  #writeStatuses(statuses: readonly (Status | string)[]): void {
    this.#options.database.write(tx => {
      for (const status of statuses) {
        if (typeof status === 'string') tx.delete(this.status, status)
        else tx.put(this.status, status)
      }
    })
  }

  /** Books rows that the target has had since before the start, and returns the others. */
  #withoutInherited(updates: readonly Work<R>[]): readonly Work<R>[] {
    const inherited = this.#inherited
    if (!inherited) return updates
    const adopted = new Set(updates.filter(({ key, row }) => this.#agrees(inherited.get(key), row)))
    for (const { key } of updates) inherited.delete(key)
    this.metrics.adopted += adopted.size
    this.#writeStatuses(Array.from(adopted, ({ key, revision }) => ({ key, revision, kind: 'done' })))
    return updates.filter(item => !adopted.has(item))
  }

  /** Writes again what the target lost or has otherwise, and has it pruned. */
  async #compare(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#mustWait('current')) return
    const { table, operations } = this.#options
    const target = await this.#readTarget(signal)
    if (operations.current && !target) return
    this.#compareDue = false
    this.#pruneDue = true
    this.#nextCompareMs = this.#clock.nowMs() + this.#refreshIntervalMs
    this.metrics.compares++
    const work: Work<R>[] = []
    for (const row of table.all()) {
      const key = table.spec.key(row)
      // What changed meanwhile is for the next round; what has failed waits for its retry.
      if (this.#watcher.has(key) || this.#rowAttempts.has(key)) continue
      if (this.#agrees(target?.get(key), row)) continue
      if (target) this.metrics.drifted++
      work.push({ key, row, revision: table.revisionOf(key) ?? 0 })
    }
    await this.#apply('update', work, signal)
  }

  async #prune(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#mustWait('prune')) return
    try {
      await this.#timed(() => this.#options.operations.prune(this.#options.table.all(), signal))
    } catch (error) {
      this.metrics.pruneFailures++
      this.#failWhole('prune', asError(error))
      return
    }
    this.#wholeAttempts.recordSuccess('prune')
    this.#pruneDue = false
    this.#inherited = undefined
    this.metrics.prunes++
    this.#markInitialized()
  }

  /** What the target has, by key. Undefined when the operations cannot tell or reading failed. */
  async #readTarget(signal: AbortSignal): Promise<Map<string, R> | undefined> {
    const { table, operations } = this.#options
    try {
      const rows = await this.#timed(async () => operations.current?.(signal))
      this.#wholeAttempts.recordSuccess('current')
      return rows && new Map(Array.from(rows, row => [table.spec.key(row), row]))
    } catch (error) {
      this.metrics.compareFailures++
      this.#failWhole('current', asError(error))
      return undefined
    }
  }

  /** Whether an operation on everything has failed lately and its time has not come. */
  #mustWait(operation: 'prune' | 'current'): boolean {
    return (this.#wholeAttempts.retryMs(operation) ?? 0) > this.#clock.nowMs()
  }

  #failWhole(operation: 'prune' | 'current', error: Error): void {
    const { attempts, atMs } = this.#wholeAttempts.recordFailure(operation, undefined, error, this.#clock.nowMs())
    this.#report({ operation, error, attempts, retryInMs: atMs - this.#clock.nowMs() })
  }

  #report(failure: Omit<ReconcileFailure, 'reconciler'>): void {
    this.#options.onFailure?.({ reconciler: this.#options.name, ...failure })
  }

  #agrees(actual: R | undefined, desired: R): boolean {
    return actual !== undefined && (this.#options.table.spec.equal ?? rowsEqual)(actual, desired)
  }

  async #timed<T>(operation: () => Promise<T>): Promise<T> {
    const startMs = this.#clock.nowMs()
    try {
      return await operation()
    } finally {
      this.metrics.lastOperationMs = this.#clock.nowMs() - startMs
      this.metrics.operationsMs += this.metrics.lastOperationMs
    }
  }

  async #waitForWork(signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.nowMs()
    const compareMs = this.#compareDue ? (this.#wholeAttempts.retryMs('current') ?? nowMs) : this.#nextCompareMs
    const canPrune = this.#pruneDue && this.#options.table.initialized
    const pruneMs = canPrune ? (this.#wholeAttempts.retryMs('prune') ?? nowMs) : Infinity
    const nextMs = Math.min(this.#rowAttempts.nextMs(), compareMs, pruneMs)
    const cancel = this.#clock.setTimer(nextMs - nowMs, () => this.#watcher.wake())
    await this.#watcher.wait(signal)
    cancel()
  }
}
