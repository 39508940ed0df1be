// Numbers of services and backends: those that the kernel has stay, and none is given twice.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ServicePortEntry } from '../services/index.ts'
import { servicePortRow } from '../tables/testing/rows.ts'
import { volatileMemory } from './memory.ts'
import { type InheritedServices, ServiceNumbers } from './service-numbers.ts'

const NOTHING: InheritedServices = { frontends: [], backends: [] }
const end = (address: string, port = 8080) => ({ address, port, protocol: 6 })

/** A port at the cluster address `10.96.0.N`. */
function port(n: number, ...addresses: readonly string[]): ServicePortEntry {
  const state = { ready: true, serving: true, terminating: false, weight: 1 }
  return {
    ...servicePortRow(0),
    id: `shop/s${n}:80/TCP/4`,
    frontends: [{ address: `10.96.0.${n}`, port: 80, kind: 'ClusterIP', reach: 'cluster' }],
    backends: addresses.map(address => ({ address, port: 8080, ...state })),
  }
}

const started = (inherited = NOTHING, memory = volatileMemory(), clock = { nowMs: 0 }) =>
  new ServiceNumbers(inherited, memory, () => clock.nowMs)

test('a port keeps its number while its service has it, and its backends theirs', () => {
  const numbers = started()
  const [a, b] = [numbers.assign(port(1, '10.0.0.1')), numbers.assign(port(2, '10.0.0.1', '10.0.0.2'))]
  assert.deepEqual([a.number, b.number], [1, 2])
  assert.deepEqual(
    [...a.backends, ...b.backends].map(({ id }) => id),
    [1, 2, 3],
  )
  const wider = numbers.assign(port(1, '10.0.0.1', '10.0.0.3'))
  numbers.release(a, false)
  assert.deepEqual([wider.number, ...wider.backends.map(({ id }) => id)], [1, 1, 4])
  numbers.release(wider, true)
  const again = numbers.assign(port(1, '10.0.0.1'))
  assert.deepEqual([again.number, ...again.backends.map(({ id }) => id)], [3, 5], 'nothing of what it had')
})

test('a backend that leaves a service has no id of it any more, though it stays with another', () => {
  const clock = { nowMs: 0 }
  const numbers = started(NOTHING, volatileMemory(), clock)
  const one = numbers.assign(port(1, '10.0.0.1'))
  const other = numbers.assign(port(2, '10.0.0.1'))
  assert.notEqual(one.backends[0]?.id, other.backends[0]?.id)
  numbers.release(one, false)
  clock.nowMs = 1000
  const again = numbers.assign(port(1, '10.0.0.1'))
  assert.ok((again.backends[0]?.id ?? 0) > (other.backends[0]?.id ?? 0))
})

test('what the kernel has keeps its numbers; others go on behind them', () => {
  const numbers = started({
    frontends: [
      { ...end('10.96.0.1', 80), service: 17 },
      { ...end('10.96.0.2', 80), service: 9 },
    ],
    backends: [
      { ...end('10.0.0.1'), id: 40, service: 17 },
      { ...end('10.0.0.1'), id: 41, service: 17 },
      { ...end('10.0.0.1'), id: 42, service: 9 },
    ],
  })
  assert.equal(numbers.assign(port(3, '10.0.0.9')).number, 18)
  const { number, backends } = numbers.assign(port(1, '10.0.0.1'))
  assert.deepEqual([number, backends[0]?.id], [17, 41])
})

test("one number of before goes to one port, though its address is another one's now", () => {
  const numbers = started({ frontends: [{ ...end('10.96.0.1', 80), service: 5 }], backends: [] })
  assert.equal(numbers.assign(port(1)).number, 5)
  assert.equal(numbers.assign({ ...port(1), id: 'shop/other:80/TCP/4' }).number, 6)
})

test('no number is given again, over restarts too', () => {
  const memory = volatileMemory()
  const first = started(NOTHING, memory)
  const given = first.assign(port(1, '10.0.0.1'))
  first.release(given, true)
  const { number, backends } = started(NOTHING, memory).assign(port(2, '10.0.0.2'))
  assert.ok(number > given.number)
  assert.ok((backends[0]?.id ?? 0) > (given.backends[0]?.id ?? 0))
})

test('a backend that is away for a moment is the same, later it is another one', () => {
  const clock = { nowMs: 0 }
  const numbers = started(NOTHING, volatileMemory(), clock)
  const idOf = (one: ReturnType<typeof numbers.assign>) => one.backends[0]?.id
  const first = numbers.assign(port(1, '10.0.0.1'))
  numbers.release(first, false)
  clock.nowMs = 999
  const second = numbers.assign(port(1, '10.0.0.1'))
  assert.equal(idOf(second), idOf(first))
  numbers.release(second, false)
  clock.nowMs = 1999
  assert.notEqual(idOf(numbers.assign(port(1, '10.0.0.1'))), idOf(first))
})
