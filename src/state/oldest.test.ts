// Whatever is put in, taken out and put in again, the helper says what a look from the
// beginning of the map says.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { oldestKeyOf } from './oldest.ts'

test('the oldest key is the one that a look from the beginning finds, whatever happens between', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('put' as const), key: fc.nat(20) }),
    fc.record({ kind: fc.constant('delete' as const), key: fc.nat(20) }),
    fc.record({ kind: fc.constant('take' as const) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), steps => {
      const map = new Map<number, true>()
      const oldest = oldestKeyOf(map)
      for (const each of steps)
        if (each.kind === 'put') map.set(each.key, true)
        else if (each.kind === 'delete') map.delete(each.key)
        else {
          const [first] = map.keys()
          const taken = oldest()
          assert.equal(taken, first)
          if (taken !== undefined) map.delete(taken)
        }
    }),
  )
})
