// Tests of address-pool.ts: every address once, the last freed last, exhaustion named.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AddressPool, PoolExhaustedError } from './address-pool.ts'

test('gives out every address of a range once, without network, gateway and broadcast', () => {
  const pool = new AddressPool('10.0.0.0/29')
  const given = Array.from({ length: 5 }, () => pool.take())
  assert.deepEqual(given, ['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'])
  assert.throws(
    () => pool.take(),
    (error: unknown) => error instanceof PoolExhaustedError && error.message.includes('10.0.0.0/29'),
  )
})

test('a freed address comes back last', () => {
  const pool = new AddressPool('10.0.0.0/29')
  pool.take()
  pool.take()
  pool.release('10.0.0.2')
  assert.deepEqual(
    [pool.take(), pool.take(), pool.take(), pool.take()],
    ['10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.2'],
  )
})

test('a claimed address is not given out, nor claimed twice', () => {
  const pool = new AddressPool('fd00::/126')
  assert.equal(pool.claim('fd00::2'), true)
  assert.equal(pool.claim('fd00::2'), false)
  assert.equal(pool.take(), 'fd00::3')
  assert.throws(() => pool.take(), PoolExhaustedError)
  assert.equal(pool.contains('fd00::1'), true)
  assert.equal(pool.contains('fd00::4'), false)
  assert.equal(pool.contains('10.0.0.1'), false)
})
