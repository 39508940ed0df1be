// Streams put together: in the order of their times, each item soon, an end and a fault
// of one of them seen.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Flow } from './flow.ts'
import { type FlowItem, inTimeOrder, newestOf } from './in-time-order.ts'

const START_MS = Date.parse('2026-01-01T00:00:00Z')
const at = (ms: number, node = ''): Flow =>
  ({ time: new Date(START_MS + ms).toISOString().replace('Z', '000Z'), node }) as Flow
const msOf = (item: FlowItem): number | string =>
  'missed' in item ? `${item.missed} missed` : Date.parse(item.time) - START_MS

async function* streamOf(...items: readonly FlowItem[]): AsyncGenerator<FlowItem> {
  yield* items
}

const never = (): AsyncIterator<FlowItem> => ({ next: () => new Promise(() => undefined) })

test('items come in the order of their times, what was missed at once', async () => {
  const streams = [streamOf(at(1), at(4), at(5)), streamOf(at(2), { missed: 3 }, at(3))]
  const found: (number | string)[] = []
  for await (const item of inTimeOrder(streams, () => START_MS)) found.push(msOf(item))
  assert.deepEqual(found, [1, 2, '3 missed', 3, 4, 5])
})

test('an item waits a moment for an earlier one of another stream, and no longer', async () => {
  const late = Promise.withResolvers<void>()
  async function* lateStream(): AsyncGenerator<FlowItem> {
    await late.promise
    yield at(1)
  }
  const clock = { nowMs: START_MS + 2 }
  const merged = inTimeOrder([streamOf(at(2)), lateStream()], () => clock.nowMs)
  const first = merged.next()
  late.resolve()
  assert.equal(msOf((await first).value as FlowItem), 1)

  clock.nowMs = START_MS + 10_000
  const alone = inTimeOrder([streamOf(at(2), at(3)), never()], () => clock.nowMs)
  assert.deepEqual(
    [await alone.next(), await alone.next()].map(({ value }) => msOf(value as FlowItem)),
    [2, 3],
  )
})

test('a fault of one stream ends all', async () => {
  const faulty = { next: () => Promise.reject(new Error('a defect')) }
  await assert.rejects(inTimeOrder([faulty, never()]).next(), /a defect/)
})

test('the newest of several lists', () => {
  const flows = newestOf([[at(9), at(5), at(1)], [], [at(8), at(7), at(2)]])
  assert.deepEqual(flows.take(5).toArray().map(msOf), [9, 8, 7, 5, 2])
})
