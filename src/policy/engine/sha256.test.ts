// The digest against the platform's own.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { digest } from './sha256.ts'

test('agrees with the platform at every length around a block, and on random bytes', () => {
  const reference = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest())
  for (let length = 0; length <= 130; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => i * 7)
    assert.deepEqual(digest(bytes), reference(bytes), `${length} bytes`)
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 500 }), bytes => assert.deepEqual(digest(bytes), reference(bytes))))
})
