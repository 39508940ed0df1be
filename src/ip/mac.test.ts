// Tests of mac.ts: text to bytes and back, and what is refused.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatMac, mac, parseMac } from './mac.ts'

test('MAC addresses', () => {
  assert.deepEqual(mac('02:00:0A:0b:00:ff'), Uint8Array.of(2, 0, 10, 11, 0, 255))
  assert.equal(formatMac(mac('02:00:0A:0b:00:ff')), '02:00:0a:0b:00:ff')
  for (const text of [
    '',
    '02-00-0a-0b-00-ff',
    '2:0:a:b:0:ff',
    '02:00:0a:0b:00',
    '02:00:0a:0b:00:ff:00',
    '02:00:0a:0b:00:fg',
  ])
    assert.equal(parseMac(text), undefined, text)
  assert.throws(() => mac('no'), { code: 'INVALID_ADDRESS' })
})
