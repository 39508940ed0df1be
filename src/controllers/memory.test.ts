// Numbers that outlive the agent: the same for a key as long as it is known, and none
// given twice, whatever was forgotten in between.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { DEFAULT_DENY, NOT_ISOLATED } from '../policy/index.ts'
import { ruleNumbers, StableNumbers, volatileMemory } from './memory.ts'

test('a key keeps its number, also over a restart', () => {
  const memory = volatileMemory()
  const numbers = new StableNumbers('policy-map', memory, 1)
  assert.deepEqual([numbers.of('a'), numbers.of('b'), numbers.of('a')], [1, 2, 1])
  const next = new StableNumbers('policy-map', memory, 1)
  assert.deepEqual([next.of('c'), next.of('b'), next.of('a')], [3, 2, 1])
  assert.deepEqual(next.keys().sort(), ['a', 'b', 'c'])
})

test('kinds of numbers do not meet', () => {
  const memory = volatileMemory()
  assert.equal(new StableNumbers('policy-map', memory, 1).of('a'), 1)
  assert.equal(new StableNumbers('rule', memory, 16).of('a'), 16)
})

test('facts that are no numbers are passed over', () => {
  const memory = volatileMemory()
  for (const [key, value] of Object.entries({ text: '7', null: null, part: 1.5, below: -1, good: 9 }))
    memory.set('policy-map', key, value)
  const numbers = new StableNumbers('policy-map', memory, 1)
  assert.deepEqual(numbers.keys(), ['good'])
  assert.equal(numbers.of('next'), 10)
})

test('when all numbers have been given, that is told and nobody else gets one', () => {
  const memory = volatileMemory()
  memory.set('rule', 'last', 2 ** 32 - 1)
  const numbers = new StableNumbers('rule', memory, 16)
  assert.throws(() => numbers.of('one more'), /no rule number is left/)
  assert.equal(numbers.of('last'), 2 ** 32 - 1)
})

test('no number is given twice, through any forgetting and restarts', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('of' as const), key: fc.constantFrom('a', 'b', 'c', 'd') }),
    fc.record({ do: fc.constant('forget' as const), key: fc.constantFrom('a', 'b', 'c', 'd') }),
    fc.record({ do: fc.constant('restart' as const), key: fc.constant('') }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const memory = volatileMemory()
      let numbers = new StableNumbers('rule', memory, 16)
      const current = new Map<string, number>()
      const given = new Set<number>()
      for (const { do: what, key } of steps)
        if (what === 'restart') numbers = new StableNumbers('rule', memory, 16)
        else if (what === 'forget') {
          numbers.forget(key)
          current.delete(key)
        } else {
          const number = numbers.of(key)
          assert.equal(number, current.get(key) ?? number)
          assert.ok(current.has(key) || !given.has(number), `${number} was given before`)
          current.set(key, number)
          given.add(number)
        }
      assert.deepEqual(new Set(numbers.keys()), new Set(current.keys()))
      assert.deepEqual(new Set(memory.entries('rule').keys()), new Set(current.keys()))
    }),
  )
})

test('what is no rule of a policy has a number of its own, which is neither written down nor forgotten', () => {
  const memory = volatileMemory()
  const numbers = ruleNumbers(memory)
  const fixed = [numbers.of(NOT_ISOLATED), numbers.of(DEFAULT_DENY)]
  numbers.forget(NOT_ISOLATED)
  assert.deepEqual([numbers.of(NOT_ISOLATED), numbers.of(DEFAULT_DENY)], fixed)
  assert.equal(memory.entries('rule').size, 0)
  assert.ok(numbers.of('NetworkPolicy/default/web/ingress[0]') > Math.max(...fixed))
})
