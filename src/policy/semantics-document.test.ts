// docs/policy-semantics.md keeps its word: every row names a test, and every test that
// it names is there.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'

const DOCUMENT = new URL('../../docs/policy-semantics.md', import.meta.url)

const text = fs.readFileSync(DOCUMENT, 'utf8')
const files = new Map([...text.matchAll(/^\[([^\]]+)\]: (\S+)$/gm)].map(([, name = '', file = '']) => [name, file]))
const rows = text.split('\n').filter(line => line.startsWith('| '))
const behaviours = rows.filter(line => !line.endsWith('Shown by |'))

/** Names in the last cell of a row. */
const testsOf = (row: string): string[] =>
  [...(row.split(' | ').at(-1) ?? '').matchAll(/\[([^\]]+)\]/g)].map(([, name = '']) => name)

test('every behaviour names a test', () => {
  assert.ok(behaviours.length > 50)
  assert.deepEqual(
    behaviours.filter(row => testsOf(row).length === 0),
    [],
  )
})

test('every test that is named is there, and each that is listed is named', () => {
  const named = new Set(behaviours.flatMap(testsOf))
  assert.deepEqual(
    [...named].filter(name => !files.has(name)),
    [],
  )
  assert.deepEqual(
    [...files.keys()].filter(name => !named.has(name)),
    [],
  )
  for (const file of files.values()) {
    assert.match(file, /\.test\.ts$|^\.\.\/test\/scenarios\/.*\.txt$/)
    assert.ok(fs.existsSync(new URL(file, DOCUMENT)), file)
  }
})
