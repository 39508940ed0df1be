// What a header is to be, by a Secret that may be anything.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Secrets } from './secrets.ts'

const REFERENCE = { namespace: 'shop', name: 'token' }
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const secret = (...items: [string, Uint8Array][]) => ({ ...REFERENCE, items: new Map(items) })

test('the value of a header is the one item of its secret', () => {
  const secrets = new Secrets()
  const says = (...items: [string, Uint8Array][]) => {
    secrets.put(secret(...items))
    const found = secrets.headerValue(REFERENCE)
    return 'value' in found ? `= ${found.value}` : found.missing
  }
  assert.deepEqual(secrets.headerValue(REFERENCE), { missing: 'is not there' })
  assert.equal(says(['x', bytes('s3cret\n')]), '= s3cret')
  assert.match(says(), /^has 0 items/)
  assert.match(says(['x', bytes('a')], ['y', bytes('b')]), /^has 2 items/)
  for (const text of ['', 'a\r\nb: c', 'a\0']) assert.match(says(['x', bytes(text)]), /^holds no text/)
  assert.match(says(['x', Uint8Array.of(0xff)]), /^holds no text/)
  secrets.delete(REFERENCE)
  assert.deepEqual(secrets.headerValue(REFERENCE), { missing: 'is not there' })
})

test('changes are told when all is there', () => {
  const secrets = new Secrets()
  let told = 0
  secrets.whenChanged(() => told++)
  secrets.put(secret(['x', bytes('a')]))
  assert.equal(told, 0)
  secrets.initialized()
  secrets.delete(REFERENCE)
  assert.equal(told, 2)
})
