// The stream of flow events: what is kept, what a watcher sees, and that a flood of
// events leaves the agent time for everything else.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import type { FlowEvent, FlowEventLayout } from '../maps/event.ts'
import { type EventRing, FlowObserver } from './observer.ts'
import type { Observed } from './recent.ts'

const SIZE = 8
/** Records that are a number each. */
const layout = {
  size: SIZE,
  codec: { decode: (view: DataView, offset: number) => ({ length: view.getUint32(offset, true) }) },
} as unknown as FlowEventLayout

/** A ring with so many records to come. */
class FakeRing implements EventRing {
  waiting = 0
  closed = false
  readonly #view = new DataView(new ArrayBuffer(SIZE))
  #next = 1

  drain(visit: (view: DataView, offset: number, length: number) => void, max = Infinity): number {
    let count = 0
    for (; this.waiting > 0 && count < max; this.waiting--, count++) {
      this.#view.setUint32(0, this.#next++, true)
      visit(this.#view, 0, SIZE)
    }
    return count
  }

  onReadable(): void {}

  close(): void {
    this.closed = true
  }
}

function observed() {
  const ring = new FakeRing()
  const observer = new FlowObserver(ring, layout)
  const arrive = (count: number): void => {
    ring.waiting += count
    while (ring.waiting > 0) observer.poll()
  }
  return { ring, observer, arrive }
}

const numberOf = ({ length }: FlowEvent): number => length
const told = (item: Observed<FlowEvent> | undefined): number | string | undefined =>
  item && ('event' in item ? numberOf(item.event) : `${item.missed} missed`)

test('the newest events are kept, as many as there is room for', () => {
  const { observer, arrive } = observed()
  assert.deepEqual([...observer.newestFirst()], [])
  arrive(3)
  assert.deepEqual(observer.newestFirst().map(numberOf).toArray(), [3, 2, 1])
  arrive(10_000)
  const kept = observer.newestFirst().map(numberOf).toArray()
  assert.deepEqual([kept.length, kept[0], kept.at(-1)], [4096, 10_003, 10_003 - 4095])
})

test('a watcher sees every event from the call on, also those before it is first read', async () => {
  const { observer, arrive } = observed()
  arrive(2)
  const stop = new AbortController()
  const watcher = observer.watch(stop.signal)
  arrive(2)
  assert.deepEqual([told((await watcher.next()).value), told((await watcher.next()).value)], [3, 4])
  const next = watcher.next()
  arrive(1)
  assert.equal(told((await next).value), 5)
  const last = watcher.next()
  stop.abort()
  assert.equal((await last).done, true)
})

test('a watcher that is too slow loses the oldest, and is told how many', async () => {
  const { observer, arrive } = observed()
  const watcher = observer.watch(new AbortController().signal)
  arrive(4096 + 5)
  assert.deepEqual([told((await watcher.next()).value), told((await watcher.next()).value)], ['5 missed', 6])
  await watcher.return(undefined)
})

test('a watcher that takes all it can get leaves the event loop its turns', async () => {
  const { observer, arrive } = observed()
  const stop = new AbortController()
  arrive(1)
  const watcher = observer.watch(stop.signal)
  arrive(1000)
  const progress = { taken: 0, turnsAt: [] as number[] }
  const countTurns = async (): Promise<void> => {
    while (progress.taken < 1000) {
      progress.turnsAt.push(progress.taken)
      await eventLoopTurn()
    }
  }
  const counting = countTurns()
  for await (const item of watcher) {
    assert.equal(told(item), ++progress.taken + 1)
    if (progress.taken === 1000) break
  }
  await counting
  assert.ok(progress.turnsAt.length > 10, `turns came after ${progress.turnsAt.join(', ')} events`)
})

test('events that never end leave the event loop its turns', { timeout: 10_000 }, async () => {
  const { ring, observer } = observed()
  ring.waiting = Infinity
  const stop = new AbortController()
  const running = observer.run(stop.signal)
  await eventLoopTurn()
  await eventLoopTurn()
  stop.abort()
  await running
  assert.ok(observer.received > 0)
  assert.equal(ring.closed, true)
})
