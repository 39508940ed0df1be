// Rule sets and a proxy that keeps them: what is brought to it, what is taken away, and
// what an agent says that has none.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { L7RuleSet } from '../policy/index.ts'
import { proxyRuleSetOperations } from './proxy-rule-sets.ts'

const { signal } = new AbortController()

const set = (number: number, method = 'GET'): L7RuleSet => ({
  number,
  rules: {
    parser: 'http',
    serverNames: [],
    terminating: undefined,
    rules: [{ rule: 'r', field: 'toPorts[0]', method, headers: [] }],
  },
})

function target(stored: readonly L7RuleSet[], desired: readonly L7RuleSet[]) {
  const sets = new Map(stored.map(row => [row.number, JSON.parse(JSON.stringify(row)) as L7RuleSet]))
  const operations = proxyRuleSetOperations({
    wanted: number => desired.find(row => row.number === number),
    proxy: {
      async ruleSets() {
        return { ruleSets: [...sets.values()], failures: [...sets.keys()].filter(number => number > 100).map(FAILURE) }
      },
      async changeRuleSets({ add, remove }) {
        for (const number of remove) sets.delete(number)
        for (const row of add) sets.set(row.number, row)
        return { failures: add.filter(({ number }) => number > 100).map(({ number }) => FAILURE(number)) }
      },
    },
  })
  return { operations, numbers: () => [...sets.keys()] }
}

const FAILURE = (number: number) => ({ number, server: 'haproxy', error: 'too large' })

test('sets come and go; what nobody wants is pruned', async () => {
  const { operations, numbers } = target([set(1), set(2)], [])
  await operations.update([set(3), set(4)], signal)
  await operations.delete([set(4)], signal)
  await operations.prune([set(2), set(3)], signal)
  assert.deepEqual(numbers(), [2, 3])
})

test('a set is there already only where it says the same under its number, and is judged by', async () => {
  const desired = [set(1), set(2, 'POST'), set(3), set(101)]
  const { operations } = target([set(1), set(2), set(9), set(101)], desired)
  assert.deepEqual([...((await operations.current?.(signal)) ?? [])], [desired[0]])
})

test('a set that a server refuses is an error of that set alone', async () => {
  const { operations } = target([], [])
  const [good, bad] = [set(1), set(101)]
  const failures = await operations.update([good, bad], signal)
  assert.deepEqual(
    [...(failures ?? [])].map(([row, error]) => [row.number, error.message]),
    [[101, 'haproxy cannot judge by rule set 101, and denies what is to be judged by it: too large']],
  )
})

test('an agent without a proxy says which option is missing', async () => {
  const operations = proxyRuleSetOperations({ wanted: () => undefined })
  await assert.rejects(operations.update([set(1)], signal), /give --proxy/)
  await operations.delete([set(1)], signal)
})
