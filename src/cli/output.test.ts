// How commands print, and what they make of an error.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AgentUnreachableError, ApiError } from '../api/index.ts'
import { explainError } from './errors.ts'
import { bytesText, print, tableText, wholeNumber } from './output.ts'

test('a table has its columns side by side, and no line ends with spaces', () => {
  assert.equal(
    tableText(
      ['NAME', 'LABELS'],
      [
        ['web', 'app=web tier=front'],
        ['a-longer-name', ''],
      ],
    ),
    ['NAME            LABELS', 'web             app=web tier=front', 'a-longer-name'].join('\n'),
  )
  assert.equal(tableText(['NAME', 'LABELS'], []), 'NAME   LABELS')
})

test('one value as a table, as JSON and as YAML', t => {
  const lines: string[] = []
  t.mock.method(console, 'log', (line: string) => lines.push(line))
  const value = [{ name: 'web', port: 80 }]
  for (const format of ['table', 'json', 'yaml'] as const) print(format, value, all => `${all.length} pods`)
  assert.deepEqual(lines, ['1 pods', JSON.stringify(value, undefined, 2), '- name: web\n  port: 80'])
})

test('sizes for people', () => {
  assert.deepEqual([0, 1536 * 1024, 9.96 * 2 ** 20, 130 * 2 ** 20].map(bytesText), [
    '0.0 MiB',
    '1.5 MiB',
    '10.0 MiB',
    '130 MiB',
  ])
})

test('a number is written as digits', () => {
  assert.equal(wholeNumber('07'), 7)
  for (const text of ['', '-1', '1.5', '0x10', '1e3', 'ten', ' 1'])
    assert.throws(() => wholeNumber(text), /wants a whole number/, text)
})

test('an error that is expected says what happened, and one that is a defect where', async t => {
  const system = (code: string): NodeJS.ErrnoException => Object.assign(new Error(`it failed: ${code}`), { code })
  const expected: readonly { readonly name: string; readonly error: unknown; readonly want: RegExp }[] = [
    {
      name: 'of the agent',
      error: new ApiError(409, 'ADDRESS_IN_USE', 'the address is in use'),
      want: /^the address is in use$/,
    },
    { name: 'of the system', error: system('EACCES'), want: /^it failed: EACCES$/ },
    {
      name: 'no agent there: what to do',
      error: new AgentUnreachableError('/run/x.sock', system('ENOENT')),
      want: /^no agent answers at \/run\/x\.sock: there is no such socket\n.*axoneme sandbox up/,
    },
    {
      name: 'no right to ask it: not what starts one',
      error: new AgentUnreachableError('/run/x.sock', system('EACCES')),
      want: /^no agent answers at \/run\/x\.sock: only root may use it; run this with sudo$/,
    },
    { name: 'a defect', error: new TypeError('undefined is not a function'), want: /^TypeError: .*\n {4}at /s },
    {
      name: 'a defect that Node names',
      error: Object.assign(new TypeError('bad'), { code: 'ERR_INVALID_ARG_TYPE' }),
      want: /\n {4}at /,
    },
    { name: 'what is no error', error: 'text', want: /^text$/ },
  ]
  for (const { name, error, want } of expected) await t.test(name, () => assert.match(explainError(error), want))
})
