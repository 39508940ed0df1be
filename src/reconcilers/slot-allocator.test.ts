// Ranges of slots: never two users for one slot, never over the border of a page, and
// none again before it has rested.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { SlotAllocator, SlotsExhaustedError } from './slot-allocator.ts'

const SPACE = { pageLength: 64, pages: 3 }
const REST_MS = 1000

test('ranges follow each other, and the smallest free one that is large enough is taken', () => {
  const slots = new SlotAllocator(SPACE, REST_MS)
  const ranges = [8, 4, 16, 4].map(count => slots.allocate(count, 0))
  assert.deepEqual(
    ranges.map(({ first }) => first),
    [0, 8, 12, 28],
  )
  for (const range of ranges.slice(1, 3)) slots.free(range, 0)
  slots.free(ranges[0] as (typeof ranges)[number], 0)
  // What was side by side is one range of 28 now, and 32 are free behind it.
  assert.equal(slots.allocate(28, REST_MS).first, 0)
  assert.equal(slots.allocate(32, REST_MS).first, 32)
  assert.equal(slots.used, 4 + 28 + 32)
})

test('a range that was given back rests; a further page is opened meanwhile', () => {
  const slots = new SlotAllocator(SPACE, REST_MS)
  const all = slots.allocate(64, 0)
  slots.free(all, 500)
  assert.deepEqual(slots.allocate(64, 1499), { first: 64, count: 64 })
  assert.deepEqual(slots.allocate(64, 1500), { first: 0, count: 64 })
  assert.deepEqual(slots.pages, [0, 1])
})

test('what does not fit is refused with the numbers, and what is there stays', () => {
  const slots = new SlotAllocator(SPACE, REST_MS)
  assert.throws(() => slots.allocate(65, 0), { message: '65 slots are wanted side by side and a page has 64' })
  for (let page = 0; page < 3; page++) slots.allocate(40, 0)
  assert.throws(() => slots.allocate(25, 0), SlotsExhaustedError)
  assert.equal(slots.allocate(24, 0).first, 40)
})

test('ranges from before are taken over where they are, each slot once', () => {
  const slots = new SlotAllocator(SPACE, REST_MS)
  const whole = [
    { first: 4, count: 2 },
    { first: 70, count: 10 },
  ]
  const others = [
    { first: 79, count: 2 },
    { first: 120, count: 10 },
    { first: 192, count: 1 },
    { first: 0, count: 0 },
  ]
  assert.deepEqual(slots.takeOver([...others, ...whole]), whole)
  assert.equal(slots.used, 12)
  assert.deepEqual(slots.allocate(4, 0), { first: 0, count: 4 })
  assert.deepEqual(slots.allocate(6, 0), { first: 64, count: 6 })
  assert.deepEqual(slots.allocate(48, 0), { first: 80, count: 48 })
  slots.free(whole[1] as (typeof whole)[number], 0)
  assert.deepEqual(slots.allocate(10, REST_MS), { first: 70, count: 10 })
})

test('no slot ever has two users, whatever comes and goes', () => {
  const step = fc.record({ count: fc.integer({ min: 1, max: 40 }), frees: fc.nat(), waitsMs: fc.nat(700) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const slots = new SlotAllocator(SPACE, REST_MS)
      const users = new Map<number, number>()
      const held: { first: number; count: number }[] = []
      let nowMs = 0
      for (const { count, frees, waitsMs } of steps) {
        nowMs += waitsMs
        try {
          const range = slots.allocate(count, nowMs)
          assert.equal(Math.floor(range.first / 64), Math.floor((range.first + count - 1) / 64), 'one page')
          for (let slot = range.first; slot < range.first + count; slot++) {
            assert.ok((users.get(slot) ?? 0) <= nowMs, `slot ${slot} is in use or rests`)
            users.set(slot, Infinity)
          }
          held.push(range)
        } catch (error) {
          assert.ok(error instanceof SlotsExhaustedError)
        }
        if (frees % 2 === 0) continue
        const [gone] = held.splice(frees % (held.length || 1), 1)
        if (!gone) continue
        slots.free(gone, nowMs)
        for (let slot = gone.first; slot < gone.first + gone.count; slot++) users.set(slot, nowMs + REST_MS)
      }
      assert.equal(
        slots.used,
        held.reduce((total, { count }) => total + count, 0),
      )
    }),
  )
})
