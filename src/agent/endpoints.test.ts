// Endpoints as requests come and go: what is taken, what is given back, and when. The
// kernel is a stand-in that does as it is told.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { AddressPool, type Memory, volatileMemory } from '../controllers/index.ts'
import { type Operations, Reconciler } from '../state/index.ts'
import { createTables, type Endpoint, type EndpointEntry } from '../tables/index.ts'
import { Endpoints } from './endpoints.ts'

const REQUEST = {
  containerId: 'c1',
  netns: '/proc/self/ns/net',
  interface: 'eth0',
  pod: { namespace: 'shop', name: 'web' },
}
const POD = {
  ...REQUEST.pod,
  labels: {},
  serviceAccount: 'default',
  hostNetwork: false,
  addresses: [],
  ports: [],
  origin: { file: '', line: 0 },
}

type Kernel<Row extends object> = Operations<Row> & { fault: Error | undefined }

function kernel<Row extends object>(): Kernel<Row> {
  const made: Kernel<Row> = {
    fault: undefined,
    update: async () => undefined,
    delete: async rows => new Map(made.fault ? rows.map(row => [row, made.fault as Error]) : []),
    prune: async () => undefined,
  }
  return made
}

/** Endpoints over reconcilers that run, and somebody who resolves each endpoint's policy. */
async function withEndpoints(
  body: (parts: {
    endpoints: Endpoints
    tables: ReturnType<typeof createTables>
    pool: AddressPool
    devices: Kernel<Endpoint>
    memory: Memory
    signal: AbortSignal
  }) => Promise<void>,
): Promise<void> {
  const stop = new AbortController()
  const { signal } = stop
  const tables = createTables()
  const memory = volatileMemory()
  const pool = new AddressPool('10.0.0.0/29')
  const devices = kernel<Endpoint>()
  const common = { database: tables.database, backoff: { firstMs: 1, maxMs: 1 } }
  const reconcilers = {
    devices: new Reconciler({ ...common, name: 'devices', table: tables.endpoints, operations: devices }),
    entries: new Reconciler({
      ...common,
      name: 'entries',
      table: tables.endpointEntries,
      operations: kernel<EndpointEntry>(),
    }),
  }
  const resolvePolicies = async (): Promise<void> => {
    for await (const changes of tables.endpoints.watch().batches(signal))
      tables.database.write(tx => {
        for (const change of changes) {
          const { addresses } = change.kind === 'put' ? change.row : change.previous
          for (const address of addresses)
            if (change.kind === 'put') tx.put(tables.endpointEntries, entryOf(change.row, address))
            else tx.delete(tables.endpointEntries, address)
        }
      })
  }
  const tasks = [reconcilers.devices.run(signal), reconcilers.entries.run(signal), resolvePolicies()]
  try {
    const policyMaps = { waitFor: async () => undefined }
    const endpoints = new Endpoints({ tables, memory, pools: [pool], policyMaps, ...reconcilers })
    await body({ endpoints, tables, pool, devices, memory, signal })
  } finally {
    stop.abort()
    await Promise.all(tasks)
  }
}

const entryOf = ({ id, ifindex, mac, containerId }: Endpoint, address: string): EndpointEntry => ({
  address,
  endpoint: id,
  ifindex,
  mac,
  identity: 256,
  policy: 1,
  containerId,
})

test('a request that comes again while its pod is waited for has the same endpoint', () =>
  withEndpoints(async ({ endpoints, tables, pool, signal }) => {
    const both = Promise.all([endpoints.add(REQUEST, signal), endpoints.add(REQUEST, signal)])
    tables.database.write(tx => tx.put(tables.pods, POD))
    const [first, second] = await both
    assert.deepEqual(second, first)
    assert.equal(pool.used, 1)
    assert.equal(tables.endpoints.size, 1)
  }))

test('an address is free when nothing can be taken for the pod any more, however long that lasts', t =>
  withEndpoints(async ({ endpoints, tables, pool, devices, memory, signal }) => {
    tables.database.write(tx => tx.put(tables.pods, POD))
    await endpoints.add(REQUEST, signal)
    devices.fault = new Error('the device is busy')
    t.mock.method(AbortSignal, 'timeout', () => AbortSignal.abort())
    await assert.rejects(endpoints.delete(REQUEST.containerId), { code: 'NOT_DELETED' })
    assert.equal(memory.entries('endpoint').size, 0)
    assert.equal(pool.used, 1)
    devices.fault = undefined
    while (pool.used > 0) await eventLoopTurn()
  }))
