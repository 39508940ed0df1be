// Numbers of rule sets: by content, over a restart, and none with two meanings.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KeyedL7Rules } from '../policy/index.ts'
import type { PolicyMap } from '../tables/index.ts'
import { type Memory, volatileMemory } from './memory.ts'
import { RuleSets } from './rule-sets.ts'

const set = (key: string): KeyedL7Rules => ({ key, rules: { parser: 'http', rules: [], serverNames: [] } })

/** A map whose entries name these sets. */
const map = (...keys: readonly string[]): PolicyMap => ({
  id: 1,
  subject: 'web',
  contentKey: keys.join(),
  isolatedBy: { ingress: [], egress: [] },
  entries: keys.map((key, i) => ({
    direction: 'ingress',
    identity: i,
    protocol: 6,
    port: 80,
    portPrefixLength: 16,
    verdict: 'allow',
    precedence: 1,
    rule: 16,
    key: 'r',
    l7: { number: 1, key, judge: 'http' },
  })),
})

function started(memory: Memory = volatileMemory()) {
  const clock = { nowMs: 0 }
  const sets = new RuleSets(memory, () => clock.nowMs)
  const numbers = (...maps: readonly PolicyMap[]): number[] => sets.rows(maps).map(({ number }) => number)
  return { memory, clock, sets, numbers }
}

test('a set has one number, and another set another one', () => {
  const { sets, numbers } = started()
  assert.deepEqual(
    ['a', 'b', 'a'].map(key => sets.of(set(key)).number),
    [1, 2, 1],
  )
  assert.equal(sets.of(set('a')), sets.of(set('a')))
  assert.deepEqual(numbers(map('a'), map('b', 'a')), [1, 2])
})

test('over a restart the numbers are the same', () => {
  const { memory, sets } = started()
  for (const key of ['a', 'b']) sets.of(set(key))
  const again = started(memory).sets
  assert.deepEqual(
    ['b', 'c', 'a'].map(key => again.of(set(key)).number),
    [2, 3, 1],
  )
})

test('a set stays for a minute, its number for hours, and nobody gets it after', () => {
  const { memory, clock, sets, numbers } = started()
  for (const key of ['a', 'b']) sets.of(set(key))
  numbers(map('a', 'b'))
  assert.deepEqual(numbers(map('b')), [2, 1])
  assert.equal(sets.nextEndMs(), 60_000)
  clock.nowMs = 60_000
  assert.deepEqual(numbers(map('b')), [2])
  assert.equal(sets.of(set('a')).number, 1, 'it comes back under its number')
  assert.deepEqual(numbers(map('a', 'b')), [1, 2])
  numbers(map('b'))
  clock.nowMs = 4 * 60 * 60_000
  numbers(map('b'))
  assert.equal(sets.of(set('c')).number, 3)
  assert.equal(sets.of(set('a')).number, 4)
  assert.deepEqual(Object.fromEntries(memory.entries('l7-rule-set')), { a: 4, b: 2, c: 3 })
})
