// Endpoints as requests come and go: what is taken, what is given back, and when. The
// kernel is a stand-in that does as it is told.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { AddressPool, type Memory, volatileMemory } from '../controllers/index.ts'
import { type Operations, Reconciler } from '../state/index.ts'
import { createTables, type Endpoint, type EndpointEntry } from '../tables/index.ts'
import { podRow } from '../tables/testing/rows.ts'
import { Endpoints } from './endpoints.ts'

const REQUEST = {
  containerId: 'c1',
  netns: '/proc/self/ns/net',
  interface: 'eth0',
  pod: { namespace: 'shop', name: 'web' },
}
const POD = podRow('web')
/** The kernel tells cookies to root alone. */
const NAMESPACES = { whenTranslated: async () => undefined, namespaceCookie: () => 7n }

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
    /** Resolves when an endpoint's policy map is in force. */
    policyMaps: { waitFor: (key: string, revision: number, signal?: AbortSignal) => Promise<void> }
    signal: AbortSignal
  }) => Promise<void>,
  morePools: readonly AddressPool[] = [],
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
    const endpoints = new Endpoints({
      tables,
      memory,
      pools: [pool, ...morePools],
      policyMaps,
      ...NAMESPACES,
      ...reconcilers,
    })
    await body({ endpoints, tables, pool, devices, memory, policyMaps, signal })
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

const addressesOf = (tables: ReturnType<typeof createTables>) => tables.endpoints.all().flatMap(row => row.addresses)

const declare = (tables: ReturnType<typeof createTables>, name: string, addresses: readonly string[] = []): void =>
  void tables.database.write(tx => tx.put(tables.pods, { ...POD, name, addresses }))

const requestOf = (containerId: string, name: string) => ({ ...REQUEST, containerId, pod: { namespace: 'shop', name } })

test('a request is answered alike when it is made again', () =>
  withEndpoints(async ({ endpoints, tables, signal }) => {
    declare(tables, 'web')
    const first = await endpoints.add(REQUEST, signal)
    assert.deepEqual(first, { id: 1, addresses: ['10.0.0.2'], mac: first.mac, hostInterface: 'axo1' })
    assert.match(first.mac, /^0a(:[0-9a-f]{2}){5}$/)
    assert.deepEqual(await endpoints.add(REQUEST, signal), first)
    await endpoints.delete(REQUEST.containerId)
    await endpoints.delete(REQUEST.containerId)
    assert.equal(tables.endpoints.size, 0)
  }))

test('a pod gets the address that its status names, and nobody else does', () =>
  withEndpoints(async ({ endpoints, tables, signal }) => {
    declare(tables, 'web', ['192.0.2.1', '10.0.0.3'])
    declare(tables, 'other')
    declare(tables, 'more')
    for (const name of ['other', 'more', 'web']) await endpoints.add(requestOf(name, name), signal)
    assert.deepEqual(addressesOf(tables), ['10.0.0.2', '10.0.0.4', '10.0.0.3'])
    declare(tables, 'thief', ['10.0.0.3'])
    await assert.rejects(endpoints.add(requestOf('thief', 'thief'), signal), { status: 409, code: 'ADDRESS_IN_USE' })
    assert.equal(tables.endpoints.size, 3)
  }))

test('without a free address a request fails, and leaves nothing behind', () =>
  withEndpoints(async ({ endpoints, tables, pool, memory, signal }) => {
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) declare(tables, name)
    for (const name of ['a', 'b', 'c', 'd', 'e']) await endpoints.add(requestOf(name, name), signal)
    await assert.rejects(endpoints.add(requestOf('f', 'f'), signal), { status: 507, code: 'POOL_EXHAUSTED' })
    assert.deepEqual([pool.used, tables.endpoints.size, memory.entries('endpoint').size], [5, 5, 5])
    await endpoints.delete('c')
    assert.deepEqual((await endpoints.add(requestOf('f', 'f'), signal)).addresses, ['10.0.0.4'])
  }))

test('what cannot be is refused at once', () =>
  withEndpoints(async ({ endpoints, tables, signal }) => {
    declare(tables, 'web')
    for (const netns of ['/proc/self/ns/nothing', '/dev/null'])
      await assert.rejects(endpoints.add({ ...REQUEST, netns }, signal), { status: 400, code: 'NO_NAMESPACE' })
    await endpoints.add(REQUEST, signal)
    const [row] = tables.endpoints.all()
    tables.database.write(tx => row && tx.put(tables.endpoints, { ...row, networkNamespaceInode: 1 }))
    await assert.rejects(endpoints.add(REQUEST, signal), { status: 409, code: 'CONTAINER_EXISTS' })
  }))

test('a pod that nobody declares is waited for, but not for ever', t =>
  withEndpoints(async ({ endpoints, tables, signal }) => {
    t.mock.method(AbortSignal, 'timeout', () => AbortSignal.abort())
    await assert.rejects(endpoints.add(REQUEST, signal), {
      status: 404,
      code: 'NO_POD',
      message: /pod shop\/web within 5 s/,
    })
    assert.equal(tables.endpoints.size, 0)
  }))

test('one that the kernel does not take is given up with the reason, and all is as before', () =>
  withEndpoints(async ({ endpoints, tables, pool, devices, memory }) => {
    declare(tables, 'web')
    devices.update = async () => {
      throw new Error('no veth pairs today')
    }
    const stop = new AbortController()
    const adding = endpoints.add(REQUEST, stop.signal)
    while (tables.endpoints.size === 0) await eventLoopTurn()
    for (let turn = 0; turn < 20; turn++) await eventLoopTurn()
    stop.abort()
    await assert.rejects(adding, {
      status: 503,
      code: 'NOT_READY',
      message: /^pod shop\/web got no network: .*no veth pairs today/,
    })
    assert.deepEqual([pool.used, tables.endpoints.size, memory.entries('endpoint').size], [0, 0, 0])
  }))

test('a container that comes again while it is being deleted waits until it is gone', () =>
  withEndpoints(async ({ endpoints, tables, devices, signal }) => {
    declare(tables, 'web')
    const { id } = await endpoints.add(REQUEST, signal)
    devices.fault = new Error('busy')
    const deleting = endpoints.delete(REQUEST.containerId)
    const adding = endpoints.add(REQUEST, signal)
    for (let turn = 0; turn < 20; turn++) await eventLoopTurn()
    assert.equal(tables.endpoints.size, 0)
    devices.fault = undefined
    await deleting
    assert.notEqual((await adding).id, id)
  }))

test('a request that fails late does not take away what a later one has made', () =>
  withEndpoints(async ({ endpoints, tables, policyMaps, signal }) => {
    declare(tables, 'web')
    const isWaiting = Promise.withResolvers<void>()
    const never = Promise.withResolvers<void>()
    policyMaps.waitFor = (_key, _revision, aborted) => {
      aborted?.addEventListener('abort', () => never.reject(new Error('too late')))
      isWaiting.resolve()
      return never.promise
    }
    const stop = new AbortController()
    const first = endpoints.add(REQUEST, stop.signal)
    await isWaiting.promise
    await endpoints.delete(REQUEST.containerId)
    policyMaps.waitFor = async () => undefined
    const second = await endpoints.add(REQUEST, signal)
    stop.abort()
    await assert.rejects(first, { code: 'NOT_READY' })
    assert.equal(tables.endpoints.get(REQUEST.containerId)?.id, second.id)
  }))

test('a request that was deleted while it waited is not answered with what it had', () =>
  withEndpoints(async ({ endpoints, tables, policyMaps, signal }) => {
    declare(tables, 'web')
    const isWaiting = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    policyMaps.waitFor = () => {
      isWaiting.resolve()
      return gate.promise
    }
    const adding = endpoints.add(REQUEST, signal)
    await isWaiting.promise
    await endpoints.delete(REQUEST.containerId)
    gate.resolve()
    await assert.rejects(adding, { code: 'NOT_READY', message: /deleted meanwhile/ })
  }))

test('where one family has no address left, that of the other is given back', () => {
  const six = new AddressPool('fd00::/126')
  return withEndpoints(
    async ({ endpoints, tables, pool, signal }) => {
      for (const name of ['a', 'b', 'c']) declare(tables, name)
      assert.deepEqual((await endpoints.add(requestOf('a', 'a'), signal)).addresses, ['10.0.0.2', 'fd00::2'])
      await endpoints.add(requestOf('b', 'b'), signal)
      await assert.rejects(endpoints.add(requestOf('c', 'c'), signal), {
        code: 'POOL_EXHAUSTED',
        message: /fd00::\/126/,
      })
      assert.deepEqual([pool.used, six.used], [2, 2])
    },
    [six],
  )
})

test('the next agent takes over endpoints whose pods are there, and lets go of the others', () =>
  withEndpoints(async ({ endpoints, tables, memory, signal }) => {
    for (const name of ['a', 'b', 'c']) {
      declare(tables, name)
      await endpoints.add(requestOf(name, name), signal)
    }
    const there = memory.entries('endpoint')
    memory.set('endpoint', 'b', { ...(there.get('b') as Endpoint), networkNamespace: '/proc/self/ns/nothing' })
    memory.set('endpoint', 'c', { ...(there.get('c') as Endpoint), networkNamespaceInode: 1 })
    memory.set('endpoint', 'damaged', { id: 'seven' })
    const nextTables = createTables()
    const pool = new AddressPool('10.0.0.0/29')
    const waits = { waitFor: async () => undefined }
    const next = new Endpoints({
      tables: nextTables,
      memory,
      pools: [pool],
      policyMaps: waits,
      devices: waits,
      entries: waits,
      ...NAMESPACES,
    })
    assert.equal(nextTables.endpoints.initialized, false)
    assert.equal(next.restore(), 3)
    assert.equal(nextTables.endpoints.initialized, true)
    assert.deepEqual(nextTables.endpoints.all(), [tables.endpoints.get('a')])
    assert.deepEqual([...memory.entries('endpoint').keys()], ['a'])
    assert.equal(pool.claim('10.0.0.2'), false)
    assert.equal(pool.used, 1)
  }))
