// Counts of elements are fresh where counting is quick, and seldom taken where it is not.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ElementCounts } from './element-counts.ts'

/** A map with as many elements as counts taken, each of which takes so long. */
function world(tookMs: number) {
  let [nowMs, entries] = [1000, 0]
  const counts = new ElementCounts(() => nowMs)
  const map = {
    count() {
      nowMs += tookMs
      return ++entries
    },
  }
  return { ask: () => counts.of(map), pass: (ms: number) => void (nowMs += ms) }
}

test('a quick count is taken each time', () => {
  const { ask } = world(4)
  assert.deepEqual(
    [ask(), ask()],
    [
      { entries: 1, ageMs: 0 },
      { entries: 2, ageMs: 0 },
    ],
  )
})

test('a slow count is kept for fifty times as long as it took, and says its age', () => {
  const { ask, pass } = world(40)
  assert.deepEqual(ask(), { entries: 1, ageMs: 0 })
  pass(1999)
  assert.deepEqual(ask(), { entries: 1, ageMs: 1999 })
  pass(1)
  assert.deepEqual(ask(), { entries: 2, ageMs: 0 })
})
