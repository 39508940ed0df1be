// What answers teach: in tables, in the journal, and in force. What that comes to in the
// kernel's maps is shown by test/scenarios/names.txt.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../state/index.ts'
import { createTables } from '../tables/index.ts'
import { volatileMemory } from './memory.ts'
import { NameController, type NameControllerOptions, type TaughtAnswer } from './names.ts'

const never = new AbortController().signal

function started(more: Partial<NameControllerOptions> = {}) {
  const tables = createTables()
  const clock = new ManualClock()
  const memory = more.memory ?? volatileMemory()
  const relabelled: (readonly string[])[] = []
  const controller = new NameController({
    tables,
    memory,
    clock,
    policies: { relabel: async addresses => void relabelled.push(addresses) },
    podCidrs: ['10.244.0.0/16', 'fd00:10:244::/64'],
    nodeAddresses: ['172.30.0.2'],
    minimumTtlSeconds: 0,
    addressesPerName: 1000,
    ...more,
  })
  const names = () => tables.names.all().map(({ name, address, untilMs }) => `${name} ${address} ${untilMs}`)
  return { tables, clock, memory, controller, relabelled, names }
}

const answer = (name: string, ttlSeconds: number, ...addresses: readonly string[]): TaughtAnswer => ({
  name,
  addresses: addresses.map(address => ({ address, ttlSeconds })),
  client: '10.244.0.2',
  server: '10.96.0.10',
  timeMicros: 0,
})

test('an answer holds for its time to live and five seconds more, and at least as long as is asked for', async () => {
  const { controller, names, relabelled } = started({ minimumTtlSeconds: 10 })
  await controller.learn(
    [answer('A.Example.', 30, '192.0.2.1', '2001:db8::1'), answer('b.example.', 0, '192.0.2.1')],
    never,
  )
  assert.deepEqual(names(), ['a.example 192.0.2.1 35000', 'a.example 2001:db8::1 35000', 'b.example 192.0.2.1 15000'])
  assert.deepEqual(relabelled, [['192.0.2.1', '2001:db8::1']])
})

test('no name has an address of the cluster, of this host or of a group', async () => {
  const { controller, names, relabelled } = started()
  const hostile = [
    '10.244.3.4',
    'fd00:10:244::7',
    '172.30.0.2',
    '0.0.0.0',
    '127.0.0.53',
    '239.1.2.3',
    '255.255.255.255',
  ]
  await controller.learn(
    [answer('a.', 30, ...hostile, '::', '::1', 'ff02::1', 'fe80::1', '::ffff:192.0.2.1', '192.0.2')],
    never,
  )
  assert.deepEqual([names(), relabelled], [[], []])
})

test('who teaches waits until it is in force, and is told when that fails', async () => {
  const { controller, names } = started({
    policies: {
      relabel: async () => {
        throw new Error('the map is full')
      },
    },
  })
  await assert.rejects(controller.learn([answer('a.', 30, '192.0.2.1')], never), /the map is full/)
  assert.deepEqual(names(), ['a 192.0.2.1 35000'], 'what was learnt stays learnt')
})

test('what was learnt survives a restart, and nothing is written down twice', async () => {
  const first = started()
  await first.controller.learn([answer('a.', 30, '192.0.2.1'), answer('b.', 60, '192.0.2.2')], never)
  let writes = 0
  const memory = { ...first.memory, set: () => void writes++, delete: () => void writes++ }
  const second = started({ memory })
  assert.deepEqual(second.names(), first.names())
  assert.equal(writes, 0)
  assert.equal(second.tables.names.initialized, true)
  await second.controller.learn([answer('a.', 30, '192.0.2.1')], never)
  assert.equal(writes, 0, 'nor for an answer that says the same')
})

test('records that are none are passed over', () => {
  const memory = volatileMemory()
  for (const [key, value] of Object.entries({ a: null, b: {}, c: { name: 1 }, d: 'text' }))
    memory.set('name', key, value)
  assert.deepEqual(started({ memory }).names(), [])
})

test('what has expired goes, from tables and journal; what connections use stays until they end', async () => {
  const used = new Set(['192.0.2.1'])
  const asked: string[][] = []
  const { controller, clock, memory, tables, relabelled } = started({
    usedAddresses: async addresses => {
      asked.push([...addresses])
      return used
    },
  })
  const stop = new AbortController()
  const running = controller.run(stop.signal)
  await controller.learn([answer('a.', 30, '192.0.2.1', '192.0.2.2'), answer('b.', 60, '192.0.2.2')], never)
  relabelled.length = 0
  await clock.advance(34_000)
  assert.deepEqual(asked, [], 'nobody is asked before something has expired')
  await clock.advance(6_000)
  assert.deepEqual(asked[0], ['192.0.2.1', '192.0.2.2'])
  const states = () => tables.names.all().map(({ name, address, state }) => `${name} ${address} ${state}`)
  assert.deepEqual(states(), ['a 192.0.2.1 in-use', 'b 192.0.2.2 valid'])
  assert.deepEqual(relabelled, [['192.0.2.2']])
  assert.deepEqual([...memory.entries('name').keys()], ['a 192.0.2.1', 'b 192.0.2.2'])
  used.clear()
  await clock.advance(6_000)
  assert.deepEqual(states(), ['b 192.0.2.2 valid'])
  stop.abort()
  await running
})

test('many that expire go a part at a time, and stay when they are answered anew meanwhile', async () => {
  const many = Array.from({ length: 250 }, (_, i) => `198.18.0.${i}`)
  const sizes: number[] = []
  const { controller, clock, names } = started({
    policies: {
      relabel: async addresses => {
        sizes.push(addresses.length)
        if (sizes.length === many.length + 1) await controller.learn([answer('z249.', 30, '198.18.0.249')], never)
      },
    },
  })
  for (const [i, address] of many.entries()) await controller.learn([answer(`z${i}.`, 1, address)], never)
  await clock.advance(7_000)
  await controller.expire(never)
  const [, ...expired] = sizes.slice(many.length)
  assert.deepEqual(names(), ['z249 198.18.0.249 37000'])
  assert.deepEqual([sizes[many.length], ...expired], [100, 1, 100, 49])
})

test('a look-up that fails takes nothing away, and is done again', async () => {
  const failures: string[] = []
  let isBroken = true
  const { controller, clock, tables } = started({
    usedAddresses: async () => {
      if (isBroken) throw new Error('the map cannot be read')
      return new Set()
    },
    onFailure: error => failures.push(error.message),
  })
  const stop = new AbortController()
  const running = controller.run(stop.signal)
  await controller.learn([answer('a.', 1, '192.0.2.1')], never)
  await clock.advance(11_000)
  assert.equal(tables.names.size, 1)
  isBroken = false
  await clock.advance(6_000)
  assert.equal(tables.names.size, 0)
  assert.equal(failures.length, 1)
  stop.abort()
  await running
})

test('one name fills its own room alone', async () => {
  const { controller, tables, memory, relabelled } = started({ addressesPerName: 2 })
  await controller.learn([answer('b.', 30, '192.0.2.9')], never)
  await controller.learn([answer('a.', 30, '192.0.2.1', '192.0.2.2', '192.0.2.3')], never)
  await controller.learn([answer('a.', 30, '192.0.2.4')], never)
  assert.deepEqual(
    tables.names
      .all()
      .map(({ address }) => address)
      .sort(),
    ['192.0.2.3', '192.0.2.4', '192.0.2.9'],
  )
  assert.equal(memory.entries('name').size, 3)
  assert.deepEqual(relabelled.at(-1), ['192.0.2.4', '192.0.2.2'], 'who lost his place is labelled anew')
})

test('what was taught while nobody was there is in table and journal from the start, and ends in its own time', async () => {
  const clock = new ManualClock()
  await clock.advance(100_000)
  const before = (name: string, seconds: number): TaughtAnswer => ({
    ...answer(name, 30, '192.0.2.1', '10.244.0.9'),
    timeMicros: seconds * 1e6,
  })
  const { names, memory, controller } = started({ clock, taughtBefore: [before('a.', 20), before('b.', 90)] })
  assert.deepEqual(names(), ['a 192.0.2.1 55000', 'b 192.0.2.1 125000'])
  assert.equal(memory.entries('name').size, 2)
  await controller.expire(never)
  assert.deepEqual(names(), ['b 192.0.2.1 125000'])
})
