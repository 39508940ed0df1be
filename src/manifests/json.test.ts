// Plain JSON is read as YAML reads it, by the reader of all of YAML.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readPlainJson } from './json.ts'
import { parseAnyYaml } from './yaml.ts'

const LIMITS = { depth: 64, values: 200_000 }
const byYaml = parseAnyYaml

const key = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom(
    'a',
    'spec',
    '<<',
    '__proto__',
    'on',
    '1',
    '-',
    '#',
    ': ',
    '~',
    'null',
    'é',
    '\u2028',
    '\ud800',
    'a"b',
    '\\',
  ),
)
const { value: anything } = fc.letrec(tie => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: 'grapheme' }),
    key,
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(key, tie('value'), { maxKeys: 4 }),
  ),
}))

test('what is plain says the same as YAML, value and positions', () => {
  let plain = 0
  fc.assert(
    fc.property(fc.dictionary(key, anything, { maxKeys: 5 }), fc.nat(3), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent)
      const read = readPlainJson(text, LIMITS)
      if (!read) return
      plain++
      assert.deepEqual(read, byYaml(text), text)
    }),
    { numRuns: 1000 },
  )
  assert.ok(plain > 100, `${plain} of them are plain`)
})

const PIECES =
  '{|}|[|]|,|:| |\n|"a"|"b"|"a b"|"\\n"|"\\u00e9"|"\\ud83d\\ude00"|"\\x41"|"\n"|1|-0|01|0x1|1.50|1e3|12345678901234567' +
  "|true|True|yes|null|~|#|'c'|&x"

test('any text that is taken for plain says the same as YAML', () => {
  const piece = fc.constantFrom(...PIECES.split('|'))
  const texts = fc.array(piece, { maxLength: 12 }).map(pieces => `{${pieces.join('')}}`)
  const pairs = fc
    .array(fc.tuple(piece, piece), { maxLength: 4 })
    .map(all => `{${all.map(([a, b]) => `${a}: ${b}`).join(',\n')}}\n`)
  let plain = 0
  fc.assert(
    fc.property(fc.oneof(texts, pairs), text => {
      const read = readPlainJson(text, LIMITS)
      if (!read) return
      plain++
      assert.deepEqual(read, byYaml(text), text)
    }),
    { numRuns: 20_000 },
  )
  assert.ok(plain > 100, `${plain} of them are plain`)
})

test('what is not plain is left to YAML', () => {
  const texts = [
    '{"a":1,"a":2}',
    '{"__proto__":1}',
    '{"<<":{}}',
    '{"a"\n:1}',
    '{"a":1}#',
    '{"a":\t1}',
    '[1]',
    '{"a":1}{',
    '{"a":1,}',
  ]
  for (const text of texts) assert.equal(readPlainJson(text, LIMITS), undefined, text)
  const nested = (depth: number): string => `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`
  assert.deepEqual(readPlainJson(nested(64), LIMITS), byYaml(nested(64)))
  assert.equal(readPlainJson(nested(65), LIMITS), undefined, 'too deep')
  assert.equal(readPlainJson('{"a":[1,2,3]}', { depth: 64, values: 4 }), undefined, 'too many values')
})
