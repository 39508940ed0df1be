// What a reconciler calls when: batches, retries, pruning, full compares, waits and the
// end. That it always gets there is in reconciler-paths.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { FakeKernel, settle, setUp } from './reconciler-fixture.ts'

test('a round hands over all its rows at once, deletions first', async () => {
  const world = setUp()
  world.set({ a: 'x', b: 'x', c: 'x' })
  world.deliver()
  world.start()
  await settle(world)
  world.set({ b: 'y', c: 'y', d: 'y' })
  await settle(world)
  await world.end()
  assert.deepEqual(world.kernel.calls, ['update a b c', 'prune a b c', 'delete a', 'update b c d'])
})

test('only the row that failed is tried again, later each time, with what is desired then', async () => {
  const world = setUp()
  world.kernel.fault = (_operation, prefix) => (prefix === 'a' ? 'EBUSY' : undefined)
  world.set({ a: 'x', b: 'x' })
  world.deliver()
  world.start()
  await world.clock.advance(0)
  assert.deepEqual(
    world.failures.map(({ operation, key, error, attempts }) => [operation, key, error.message, attempts]),
    [['update', 'a', 'EBUSY', 1]],
  )
  const status = world.reconciler.status.get('a')
  assert.equal(status?.kind, 'failed')
  assert.deepEqual(
    [status.attempts, status.operation, status.error.message, Math.round(status.nextRetryMs)],
    [1, 'update', 'EBUSY', 100],
  )
  assert.deepEqual(world.reconciler.status.get('b'), { key: 'b', revision: 1, kind: 'done' })
  world.kernel.calls.length = 0
  await world.clock.advance(99)
  assert.deepEqual(world.kernel.calls, [])
  await world.clock.advance(10_000)
  const waits = world.failures.map(failure => Math.round(failure.retryInMs))
  assert.deepEqual(waits.slice(0, 6), [100, 200, 400, 800, 1000, 1000])
  assert.ok(world.kernel.calls.every(call => call === 'update a'))

  world.kernel.fault = () => undefined
  world.set({ a: 'y', b: 'x' })
  await settle(world)
  assert.deepEqual(Object.fromEntries(world.kernel.routes), { a: 'y', b: 'x' })
  assert.equal(world.reconciler.status.get('a')?.kind, 'done')
  await world.end()
})

test('a row that changes while its retry comes due is written once, as it is now', async () => {
  const world = setUp()
  world.kernel.fault = (_operation, prefix) => (prefix === 'a' ? 'EBUSY' : undefined)
  world.set({ a: 'old' })
  world.deliver()
  world.start()
  await world.clock.advance(0)
  const gate = Promise.withResolvers<void>()
  world.kernel.gate = gate.promise
  world.set({ a: 'old', b: 'x' })
  await world.clock.advance(500)
  world.set({ a: 'new', b: 'x' })
  world.kernel.fault = () => undefined
  world.kernel.calls.length = 0
  gate.resolve()
  await settle(world)
  assert.deepEqual(world.kernel.calls, ['update a'])
  assert.equal(world.kernel.routes.get('a'), 'new')
  await world.end()
})

test('a row that changes during a full compare is no drift', async () => {
  const world = setUp({ readable: true })
  world.set({ a: 'x', b: 'x' })
  world.deliver()
  world.start()
  await settle(world)
  world.kernel.callFault = operation => {
    if (operation === 'current') world.set({ a: 'y', b: 'x' })
    return undefined
  }
  world.kernel.calls.length = 0
  world.reconciler.refresh()
  await settle(world)
  assert.deepEqual(world.kernel.calls, ['current', 'prune a b', 'update a'])
  assert.equal(world.reconciler.metrics.drifted, 0)
  assert.equal(world.kernel.routes.get('a'), 'y')
  await world.end()
})

test('back-off starts anew after a success, and jitter takes up to half of it', async () => {
  const world = setUp()
  let broken = true
  world.kernel.fault = () => (broken ? 'EBUSY' : undefined)
  world.set({ a: 'x' })
  world.start()
  await world.clock.advance(500)
  broken = false
  await settle(world)
  broken = true
  world.set({ a: 'y' })
  await world.clock.advance(0)
  assert.equal(Math.round(world.failures.at(-1)?.retryInMs ?? 0), 100)
  assert.equal(world.failures.at(-1)?.attempts, 1)
  await world.end()
})

test('a deletion that failed is forgotten when the row comes back', async () => {
  const world = setUp()
  world.set({ a: 'x' })
  world.deliver()
  world.start()
  await settle(world)
  world.kernel.fault = operation => (operation === 'delete' ? 'EBUSY' : undefined)
  world.set({})
  await world.clock.advance(0)
  assert.deepEqual(Object.fromEntries(world.kernel.routes), { a: 'x' })
  world.set({ a: 'z' })
  await settle(world)
  world.kernel.fault = () => undefined
  await world.clock.advance(5000)
  assert.deepEqual(Object.fromEntries(world.kernel.routes), { a: 'z' })
  await world.end()
})

test('nothing is pruned until every source has delivered; then once', async () => {
  const kernel = new FakeKernel()
  kernel.routes.set('stale', 'x')
  const world = setUp({ kernel })
  const deliverLate = world.table.registerInitializer('late')
  world.set({ a: 'x' })
  world.start()
  world.deliver()
  await world.clock.advance(1000)
  assert.deepEqual(Object.fromEntries(kernel.routes), { stale: 'x', a: 'x' })
  assert.equal(world.reconciler.status.initialized, false)
  deliverLate()
  await settle(world)
  assert.deepEqual(Object.fromEntries(kernel.routes), { a: 'x' })
  assert.equal(world.reconciler.status.initialized, true)
  await world.clock.advance(1000)
  assert.deepEqual(kernel.calls, ['update a', 'prune a'])
  await world.end()
})

test('a prune that fails is tried again', async () => {
  const kernel = new FakeKernel()
  kernel.routes.set('stale', 'x')
  kernel.callFault = operation => (operation === 'prune' ? 'EIO' : undefined)
  const world = setUp({ kernel })
  world.deliver()
  world.start()
  await world.clock.advance(1000)
  assert.ok(world.reconciler.metrics.pruneFailures > 1)
  assert.deepEqual(world.failures[0]?.operation, 'prune')
  kernel.callFault = () => undefined
  await settle(world)
  assert.equal(kernel.routes.size, 0)
  await world.end()
})

test('at start, rows that the target has already are not written again', async () => {
  const kernel = new FakeKernel()
  for (const [prefix, via] of [
    ['a', 'x'],
    ['b', 'old'],
    ['stale', 'x'],
  ] as const)
    kernel.routes.set(prefix, via)
  const world = setUp({ kernel, readable: true })
  world.set({ a: 'x', b: 'new', c: 'x' })
  world.deliver()
  world.start()
  await settle(world)
  assert.deepEqual(kernel.calls, ['current', 'update b c', 'prune a b c'])
  assert.deepEqual(Object.fromEntries(kernel.routes), { a: 'x', b: 'new', c: 'x' })
  assert.equal(world.reconciler.metrics.adopted, 1)
  assert.equal(world.reconciler.status.get('a')?.kind, 'done')
  await world.end()
})

test('a target that cannot be read at start is written in full and compared later', async () => {
  const world = setUp({ readable: true })
  let broken = true
  world.kernel.callFault = operation => (broken && operation === 'current' ? 'EIO' : undefined)
  world.set({ a: 'x' })
  world.deliver()
  world.start()
  await world.clock.advance(0)
  assert.deepEqual(Object.fromEntries(world.kernel.routes), { a: 'x' })
  broken = false
  await settle(world)
  assert.equal(world.reconciler.metrics.compares, 1)
  assert.equal(world.failures[0]?.operation, 'current')
  await world.end()
})

for (const readable of [true, false]) {
  test(`a full compare heals a target changed by others (${readable ? 'read' : 'written again'})`, async () => {
    const world = setUp({ readable, refreshIntervalMs: 60_000 })
    world.set({ a: 'x', b: 'x', c: 'x' })
    world.deliver()
    world.start()
    await settle(world)
    world.kernel.calls.length = 0
    world.kernel.routes.delete('a')
    world.kernel.routes.set('b', 'wrong')
    world.kernel.routes.set('stray', 'x')
    await world.clock.advance(59_000)
    assert.deepEqual(world.kernel.calls, [])
    await world.clock.advance(2000)
    assert.deepEqual(Object.fromEntries(world.kernel.routes), { a: 'x', b: 'x', c: 'x' })
    const want = readable ? ['current', 'update a b', 'prune a b c'] : ['update a b c', 'prune a b c']
    assert.deepEqual(world.kernel.calls, want)
    assert.equal(world.reconciler.metrics.drifted, readable ? 2 : 0)

    world.kernel.routes.clear()
    world.reconciler.refresh()
    await settle(world)
    assert.deepEqual(Object.fromEntries(world.kernel.routes), { a: 'x', b: 'x', c: 'x' })
    await world.end()
  })
}

test('waitFor resolves when that revision, or a later one, or the deletion is real', async () => {
  const world = setUp()
  world.deliver()
  world.start()
  await settle(world)
  const gate = Promise.withResolvers<void>()
  world.kernel.gate = gate.promise
  world.set({ a: 'x' })
  const waiting = world.reconciler.waitFor('a', world.database.revision).then(() => 'real')
  await world.clock.advance(100)
  assert.equal(await Promise.race([waiting, eventLoopTurn('not yet')]), 'not yet')
  assert.equal(world.reconciler.status.get('a')?.kind, 'pending')
  gate.resolve()
  await waiting
  assert.equal(world.kernel.routes.get('a'), 'x')
  await world.reconciler.waitFor('a', 1)

  world.kernel.fault = operation => (operation === 'delete' ? 'EBUSY' : undefined)
  world.set({})
  const deletion = world.reconciler.waitFor('a', world.database.revision)
  await world.clock.advance(50)
  assert.equal(world.kernel.routes.get('a'), 'x')
  world.kernel.fault = () => undefined
  await world.clock.advance(1000)
  await deletion
  assert.equal(world.kernel.routes.has('a'), false)
  assert.equal(world.reconciler.status.get('a'), undefined)
  await world.end()
})

test('attempted resolves when what was there at the call has been tried, even without success or an end of changes', async () => {
  const world = setUp()
  world.kernel.fault = (_operation, prefix) => (prefix === 'a' ? 'EBUSY' : undefined)
  const gate = Promise.withResolvers<void>()
  world.kernel.gate = gate.promise
  world.set({ a: 'x', b: 'x' })
  const attempted = world.reconciler.attempted().then(() => 'tried')
  world.start()
  await world.clock.advance(0)
  assert.equal(await Promise.race([attempted, eventLoopTurn('not yet')]), 'not yet')
  world.set({ a: 'x', b: 'x', c: 'x' })
  const gateOfNext = Promise.withResolvers<void>()
  world.kernel.gate = gateOfNext.promise
  gate.resolve()
  assert.equal(await attempted, 'tried')
  assert.equal(world.reconciler.status.get('a')?.kind, 'failed')
  assert.equal(world.kernel.routes.has('c'), false)
  gateOfNext.resolve()
  await world.reconciler.attempted()
  assert.equal(world.kernel.routes.has('c'), true)
  await world.end()
})

test('a wait that is given up says why', async () => {
  const world = setUp()
  world.kernel.fault = () => 'ENOSPC'
  world.set({ a: 'x' })
  world.start()
  await world.clock.advance(0)
  const stop = new AbortController()
  const waits = [world.reconciler.waitFor('a', 1, stop.signal), world.reconciler.settled(stop.signal)]
  stop.abort()
  for (const wait of waits) await assert.rejects(wait, { name: 'WaitError', code: 'aborted', message: /ENOSPC/ })
  const stopped = assert.rejects(world.reconciler.settled(), { code: 'stopped' })
  await world.end()
  await stopped
  await assert.rejects(world.reconciler.waitFor('a', 1), { code: 'stopped' })
})

test('an abort awaits the operation under way, starts no other and leaves no timer', async () => {
  const world = setUp()
  const gate = Promise.withResolvers<void>()
  world.kernel.gate = gate.promise
  world.set({ a: 'x' })
  world.deliver()
  world.start()
  await world.clock.advance(0)
  const ended = world.end()
  world.set({ a: 'x', b: 'x' })
  gate.resolve()
  await ended
  assert.deepEqual(world.kernel.calls, ['update a'])
  assert.equal(world.clock.timers, 0)
  await assert.rejects(world.reconciler.run(new AbortController().signal), /started before/)
})

test('what happened is counted, and statuses print as a table', async () => {
  const world = setUp()
  world.kernel.fault = (_operation, prefix) => (prefix === 'bad' ? 'EINVAL' : undefined)
  world.set({ a: 'x', bad: 'x' })
  world.deliver()
  world.start()
  await world.clock.advance(150)
  const { updates, updateFailures, deletes, prunes } = world.reconciler.metrics
  assert.deepEqual(
    { updates, updateFailures, deletes, prunes },
    { updates: 1, updateFailures: 2, deletes: 0, prunes: 1 },
  )
  assert.deepEqual(world.database.table('routes-status')?.print(), {
    columns: ['KEY', 'STATUS', 'OPERATION', 'REVISION', 'ATTEMPTS', 'ERROR'],
    rows: [
      ['a', 'done', '', '1', '', ''],
      ['bad', 'failed', 'update', '1', '2', 'EINVAL'],
    ],
  })
  assert.deepEqual(
    world.reconciler.status.by('kind', 'failed').map(status => status.key),
    ['bad'],
  )
  world.set({})
  world.kernel.fault = () => undefined
  await settle(world)
  assert.equal(world.reconciler.status.size, 0)
  await world.end()
})
