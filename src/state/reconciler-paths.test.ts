// Any state to any state: whatever happens on the way, the target ends up with the
// second state's rows. A new hazard is a new entry of PATHS.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { settle, setUp } from './reconciler-fixture.ts'

const STATES: Readonly<Record<string, Record<string, string>>> = {
  empty: {},
  one: { a: 'x' },
  'one, changed': { a: 'y' },
  'another one': { b: 'x' },
  several: { a: 'x', b: 'y', c: 'z' },
  'several, swapped': { a: 'y', b: 'x', c: 'z' },
  'several, other': { c: 'w', d: 'x' },
}

const PATHS: Readonly<
  Record<string, (from: Record<string, string>, to: Record<string, string>) => Promise<Map<string, string>>>
> = {
  'one after the other': async (from, to) => {
    const world = setUp()
    world.set(from)
    world.deliver()
    world.start()
    await settle(world)
    assert.deepEqual(Object.fromEntries(world.kernel.routes), from)
    world.set(to)
    await settle(world)
    await world.end()
    return world.kernel.routes
  },
  'changed while the first is being written': async (from, to) => {
    const world = setUp()
    const gate = Promise.withResolvers<void>()
    world.kernel.gate = gate.promise
    world.set(from)
    world.deliver()
    world.start()
    await eventLoopTurn()
    world.set(to)
    gate.resolve()
    await settle(world)
    await world.end()
    return world.kernel.routes
  },
  'every row fails twice, then works': async (from, to) => {
    const world = setUp()
    const failed = new Map<string, number>()
    world.kernel.fault = (operation, prefix) => {
      const count = (failed.get(operation + prefix) ?? 0) + 1
      failed.set(operation + prefix, count)
      return count % 3 === 0 ? undefined : 'EBUSY'
    }
    world.set(from)
    world.deliver()
    world.start()
    await settle(world)
    world.set(to)
    await settle(world)
    await world.end()
    return world.kernel.routes
  },
  'changed while the first is failing': async (from, to) => {
    const world = setUp()
    world.kernel.fault = (_operation, prefix) => (prefix === 'a' ? 'EBUSY' : undefined)
    world.kernel.callFault = operation => (operation === 'prune' ? 'EIO' : undefined)
    world.set(from)
    world.deliver()
    world.start()
    await world.clock.advance(300)
    world.set(to)
    await world.clock.advance(300)
    world.kernel.fault = () => undefined
    world.kernel.callFault = () => undefined
    await settle(world)
    await world.end()
    return world.kernel.routes
  },
  'whole calls fail every other time': async (from, to) => {
    const world = setUp({ readable: true })
    let calls = 0
    world.kernel.callFault = () => (calls++ % 2 === 0 ? 'EIO' : undefined)
    world.set(from)
    world.deliver()
    world.start()
    await settle(world)
    world.set(to)
    await settle(world)
    await world.end()
    return world.kernel.routes
  },
  'a restart between': async (from, to) => {
    const first = setUp({ readable: true })
    first.set(from)
    first.deliver()
    first.start()
    await settle(first)
    await first.end()
    const second = setUp({ kernel: first.kernel, readable: true })
    second.start()
    await second.clock.advance(10)
    assert.deepEqual(Object.fromEntries(first.kernel.routes), from, 'nothing is pruned before the source delivers')
    second.set(to)
    second.deliver()
    await settle(second)
    await second.end()
    return second.kernel.routes
  },
}

for (const [path, walk] of Object.entries(PATHS)) {
  test(`any state to any state: ${path}`, async () => {
    for (const [fromName, from] of Object.entries(STATES)) {
      for (const [toName, to] of Object.entries(STATES)) {
        assert.deepEqual(Object.fromEntries(await walk(from, to)), to, `from ${fromName} to ${toName}`)
      }
    }
  })
}
