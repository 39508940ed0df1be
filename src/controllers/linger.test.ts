// How long things are kept after they were last wanted.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Linger } from './linger.ts'

test('what is no longer wanted stays for its time, then ends once', () => {
  let nowMs = 0
  const linger = new Linger<string>(100, () => nowMs)
  assert.deepEqual(linger.update(['a', 'b']), { lingering: [], ended: [] })
  assert.equal(linger.nextEndMs(), undefined)
  nowMs = 50
  assert.deepEqual(linger.update(['b']), { lingering: ['a'], ended: [] })
  assert.equal(linger.nextEndMs(), 150)
  nowMs = 149
  assert.deepEqual(linger.update(['b']), { lingering: ['a'], ended: [] })
  nowMs = 150
  assert.deepEqual(linger.update(['b']), { lingering: [], ended: ['a'] })
  assert.deepEqual(linger.update(['b']), { lingering: [], ended: [] })
})

test('the time begins when it is no longer wanted, however long nothing happened before', () => {
  let nowMs = 0
  const linger = new Linger<string>(100, () => nowMs)
  linger.update(['a'])
  nowMs = 1_000_000
  assert.deepEqual(linger.update([]), { lingering: ['a'], ended: [] })
})

test('what is wanted again starts anew', () => {
  let nowMs = 0
  const linger = new Linger<string>(100, () => nowMs)
  linger.update(['a'])
  linger.update([])
  nowMs = 90
  assert.deepEqual(linger.update(['a']), { lingering: [], ended: [] })
  nowMs = 150
  assert.deepEqual(linger.update([]), { lingering: ['a'], ended: [] })
})
