// Names of numbers in events: present ones, those of services that went away, for as
// long and as many as is promised.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { createTables } from '../tables/index.ts'
import { serviceEntryRow, servicePortRow } from '../tables/testing/rows.ts'
import { ServiceNames } from './service-names.ts'

const MINUTE_MS = 60_000

function setup() {
  const { database, serviceEntries } = createTables()
  const clock = { nowMs: 0 }
  const names = new ServiceNames(serviceEntries, () => clock.nowMs)
  const put = (name: string, ...numbers: readonly number[]) =>
    database.write(tx =>
      tx.put(
        serviceEntries,
        serviceEntryRow(name, ...numbers.map(number => servicePortRow(number, { port: 1000 + number }))),
      ),
    )
  const remove = (name: string) => database.write(tx => tx.delete(serviceEntries, `shop/${name}`))
  const textOf = (number: number): string | undefined => {
    const found = names.nameOf(number)
    return found && `${found.namespace}/${found.name}:${found.port}`
  }
  return { clock, names, put, remove, textOf }
}

test('a number has the name of its service, and keeps it for five minutes after', () => {
  const { clock, put, remove, textOf } = setup()
  put('web', 7)
  assert.equal(textOf(7), 'shop/web:1007')
  assert.deepEqual([textOf(0), textOf(8)], [undefined, undefined])
  remove('web')
  assert.equal(textOf(7), 'shop/web:1007')
  clock.nowMs += 5 * MINUTE_MS
  assert.equal(textOf(7), 'shop/web:1007')
  clock.nowMs += 1
  assert.equal(textOf(7), undefined)
})

test('a port that a service gives up goes alone', () => {
  const { put, textOf, clock } = setup()
  put('web', 7, 8)
  textOf(99)
  put('web', 8, 9)
  assert.deepEqual([7, 8, 9].map(textOf), ['shop/web:1007', 'shop/web:1008', 'shop/web:1009'])
  clock.nowMs += 6 * MINUTE_MS
  assert.deepEqual([7, 8, 9].map(textOf), [undefined, 'shop/web:1008', 'shop/web:1009'])
})

test('changes are noted while nobody asks, and no more names are kept than are promised', async () => {
  const { names, put, remove, textOf } = setup()
  const stop = new AbortController()
  const running = names.run(stop.signal)
  for (const [i, name] of ['first', 'second', 'third'].entries()) {
    put(name, ...Array.from({ length: 4000 }, (_, n) => 1 + 4000 * i + n))
    await eventLoopTurn()
    remove(name)
    await eventLoopTurn()
  }
  assert.equal(textOf(1), undefined)
  assert.equal(textOf(12_000), 'shop/third:13000')
  assert.equal(textOf(4001), 'shop/second:5001')
  stop.abort()
  await running
})
