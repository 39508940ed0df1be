// Identities that policies are resolved for: those in use, and for a moment those that
// were.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type LabelSet, labelSet } from '../labels/index.ts'
import { PolicyRepository } from '../policy/index.ts'
import { KnownIdentities } from './known-identities.ts'

const labels = (app: string): LabelSet => labelSet([{ source: 'k8s', key: 'app', value: app }])
const [A, B, C] = [labels('a'), labels('b'), labels('c')]

test('who is not in use any more stays for a moment, and comes back as he was', () => {
  const clock = { nowMs: 0 }
  const known = new KnownIdentities(new PolicyRepository(), 5_000, () => clock.nowMs)
  const numbers = () => known.rows().map(({ number }) => number)
  known.feed(
    new Map([
      [1, A],
      [2, B],
    ]),
  )
  known.add(3, C)
  assert.deepEqual(numbers(), [1, 2, 3])
  clock.nowMs = 1_000
  known.retain(new Set([1, 3]))
  assert.deepEqual(numbers(), [1, 2, 3], 'he lingers')
  assert.ok(known.has(B), 'and an address may get his identity still')
  assert.equal(known.nextEndMs(), 6_000)
  clock.nowMs = 6_000
  known.retain(new Set([1, 3]))
  assert.deepEqual(numbers(), [1, 3])
  assert.ok(!known.has(B) && known.has(A) && known.has(C))
  known.add(4, B)
  assert.ok(known.has(B))
})
