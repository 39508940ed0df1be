// A reconciler with everything around it that its tests need: a target that
// remembers calls and fails on demand, a table, a clock that the test moves.

import assert from 'node:assert/strict'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import {
  Database,
  defineTable,
  eachRow,
  ManualClock,
  type Operations,
  type ReconcileFailure,
  Reconciler,
} from './index.ts'

type Route = { readonly prefix: string; readonly via: string }

const routeTable = defineTable({
  name: 'routes',
  key: (route: Route) => route.prefix,
  columns: { PREFIX: route => route.prefix, VIA: route => route.via },
})

/** A target that remembers calls and fails on demand, before or after it has done a part of the work. */
export class FakeKernel {
  readonly routes = new Map<string, string>()
  readonly calls: string[] = []
  /** Asked before each row; an error makes that row fail. */
  fault: (operation: string, prefix: string) => string | undefined = () => undefined
  /** Asked before each call as a whole. */
  callFault: (operation: string) => string | undefined = () => undefined
  /** Awaited inside `update`, to hold a round open. */
  gate: Promise<void> = Promise.resolve()

  readonly operations: Operations<Route> = {
    update: async (rows, signal) => {
      this.#enter('update', rows)
      await this.gate
      return eachRow<Route>(route => {
        this.#check('update', route.prefix)
        this.routes.set(route.prefix, route.via)
      })(rows, signal)
    },
    delete: async (rows, signal) => {
      this.#enter('delete', rows)
      return eachRow<Route>(route => {
        this.#check('delete', route.prefix)
        this.routes.delete(route.prefix)
      })(rows, signal)
    },
    prune: async desired => {
      this.#enter('prune', desired)
      const wanted = new Set(desired.map(route => route.prefix))
      for (const prefix of this.routes.keys()) if (!wanted.has(prefix)) this.routes.delete(prefix)
    },
  }

  readonly readableOperations: Operations<Route> = {
    ...this.operations,
    current: async () => {
      this.#enter('current', [])
      return Array.from(this.routes, ([prefix, via]) => ({ prefix, via }))
    },
  }

  #enter(operation: string, rows: readonly Route[]) {
    this.calls.push([operation, ...rows.map(route => route.prefix).sort()].join(' '))
    const fault = this.callFault(operation)
    if (fault) throw new Error(fault)
  }

  #check(operation: string, prefix: string) {
    const fault = this.fault(operation, prefix)
    if (fault) throw new Error(fault)
  }
}

export function setUp(options: { kernel?: FakeKernel; readable?: boolean; refreshIntervalMs?: number } = {}) {
  const kernel = options.kernel ?? new FakeKernel()
  const database = new Database()
  const table = database.add(routeTable)
  const deliver = table.registerInitializer('test')
  const clock = new ManualClock()
  const failures: ReconcileFailure[] = []
  const reconciler = new Reconciler({
    name: 'routes',
    database,
    table,
    operations: options.readable ? kernel.readableOperations : kernel.operations,
    clock,
    backoff: { firstMs: 100, maxMs: 1000, random: () => 0.999 },
    refreshIntervalMs: options.refreshIntervalMs ?? 1e9,
    onFailure: failure => failures.push(failure),
  })
  const stop = new AbortController()
  const set = (rows: Record<string, string>) =>
    database.write(tx =>
      tx.replace(
        table,
        Object.entries(rows).map(([prefix, via]) => ({ prefix, via })),
      ),
    )
  let done: Promise<void> | undefined
  const start = () => {
    done = reconciler.run(stop.signal)
  }
  const end = async () => {
    stop.abort()
    await done
  }
  return { kernel, database, table, deliver, clock, failures, reconciler, set, start, end }
}

/** Lets time pass until everything is done; gives up after ten minutes of it. */
export async function settle({ clock, reconciler }: ReturnType<typeof setUp>) {
  const settled = reconciler.settled(AbortSignal.timeout(10_000)).then(() => true)
  for (let i = 0; i < 600; i++) {
    if (await Promise.race([settled, eventLoopTurn(false)])) return
    await clock.advance(1000)
  }
  assert.fail('never settled')
}
