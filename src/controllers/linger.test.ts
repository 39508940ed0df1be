// Tests of linger.ts: how long things are kept after they were last wanted.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Linger } from './linger.ts'

test('what is no longer wanted stays for its time, then ends once', () => {
  let nowMs = 0
  const linger = new Linger<string>(100, () => nowMs)
  assert.deepEqual(linger.update(['a', 'b']), { lingering: [], ended: [] })
  nowMs = 99
  assert.deepEqual(linger.update(['b']), { lingering: ['a'], ended: [] })
  nowMs = 100
  assert.deepEqual(linger.update(['b']), { lingering: [], ended: ['a'] })
  assert.deepEqual(linger.update(['b']), { lingering: [], ended: [] })
})

test('what is wanted again starts anew', () => {
  let nowMs = 0
  const linger = new Linger<string>(100, () => nowMs)
  linger.update(['a'])
  nowMs = 50
  linger.update([])
  nowMs = 90
  linger.update(['a'])
  nowMs = 150
  assert.deepEqual(linger.update([]), { lingering: ['a'], ended: [] })
})
