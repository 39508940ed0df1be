// Tables, JSON, YAML and ages as commands print them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { age, columns, render } from './text.ts'

test('columns are as wide as their longest cell', () => {
  assert.equal(
    columns(
      ['A', 'LONG', 'C'],
      [
        ['aaa', 'b'],
        ['', 'bb', 'c'],
      ],
    ),
    'A    LONG  C\naaa  b\n     bb    c\n',
  )
})

test('the same value in every format', () => {
  const value = { pods: ['x/a'] }
  assert.deepEqual(JSON.parse(render(value, 'json', assert.fail)), value)
  assert.equal(render(value, 'yaml', assert.fail), 'pods:\n  - x/a\n')
  assert.equal(
    render(value, 'table', () => 'text'),
    'text',
  )
})

test('ages have two units', () => {
  const now = Date.parse('2026-01-03T00:00:00Z')
  const cases = {
    '2026-01-02T23:59:18Z': '42s',
    '2026-01-02T23:56:40Z': '3m20s',
    '2026-01-02T21:55:00Z': '2h5m',
    '2025-12-29T23:00:00Z': '4d1h',
    '2026-01-03T00:01:00Z': '0s',
  }
  for (const [since, want] of Object.entries(cases)) assert.equal(age(since, now), want)
})
