// What is said in plain words, and that it is the same as what the matcher says.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileRegexes, isTooLarge, literalsOf, parseRegex, plainLiteral, RegexMatcher, rangeSet } from './index.ts'

const PRINTABLE = rangeSet(0x21, 0x7e)

function parsed(pattern: string) {
  const result = parseRegex(pattern)
  assert.ok('regex' in result, pattern)
  return result.regex
}

const literals = (pattern: string, limit = 128): string[] | undefined =>
  literalsOf(parsed(pattern), PRINTABLE, limit)?.map(({ text, open }) => text + (open ? '…' : ''))

test('simple expressions are lists of texts', () => {
  const cases: readonly [pattern: string, list: string[] | undefined][] = [
    ['GET|POST', ['GET', 'POST']],
    ['/a\\.b', ['/a.b']],
    ['^/api/.*$', ['/api/…']],
    ['/(public|pkg)(/.*)?', ['/public', '/public/…', '/pkg', '/pkg/…']],
    ['/x($|/.*)', ['/x', '/x/…']],
    ['(?i)ok', ['OK', 'Ok', 'oK', 'ok']],
    ['/v[12]/(?:a|a)', ['/v1/a', '/v2/a']],
    ['a{2}b?', ['aa', 'aab']],
    ['.*', ['…']],
    ['[^\\n]*', ['…']],
    ['', ['']],
    ['/a.*b', undefined],
    ['/[^/]*', undefined],
    ['a\\bb', undefined],
    ['a^b', undefined],
    ['[a-z]{3}', undefined],
    ['[^/]+', undefined],
  ]
  for (const [pattern, list] of cases) assert.deepEqual(literals(pattern), list, pattern)
  assert.equal(literals('/.+')?.length, 94)
  assert.equal(literals('/.+', 90), undefined)
})

const { regex } = fc.letrec<{ regex: string }>(tie => ({
  regex: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom('a', 'b', '/', '.*', '[ab]', '', '^', '$', '.*', '/.*'),
    fc.tuple(tie('regex'), tie('regex')).map(([a, b]) => a + b),
    fc.tuple(tie('regex'), tie('regex')).map(([a, b]) => `(${a}|${b})`),
    fc.tuple(tie('regex'), fc.constantFrom('?', '{2}', '{1,2}', '*')).map(([a, sign]) => `(?:${a})${sign}`),
  ),
}))

test('the list matches what the expression matches', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 6 })
  fc.assert(
    fc.property(regex, fc.array(text, { minLength: 1, maxLength: 6 }), (pattern, texts) => {
      const list = literalsOf(parsed(pattern), PRINTABLE, 200)
      fc.pre(list !== undefined)
      const program = compileRegexes([parsed(pattern)])
      assert.ok(program)
      const matcher = new RegexMatcher(program)
      for (const text of texts) {
        const said = list.some(one => (one.open ? text.startsWith(one.text) : text === one.text))
        assert.equal(said, matcher.match(text).length > 0, `${pattern} on '${text}'`)
      }
    }),
    { numRuns: 2000 },
  )
})

test('what is taken for plain says the same, read or not', () => {
  const piece = fc.constantFrom(...'a|Z|0|/|-|_|%|:|.*|.|^|$|*|\\|[|(| |#|é|\n'.split('|'))
  let plain = 0
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), pieces => {
      const pattern = pieces.join('')
      const literal = plainLiteral(pattern)
      if (!literal) return
      plain++
      assert.deepEqual([literal], literalsOf(parsed(pattern), PRINTABLE, 128), pattern)
      assert.equal(isTooLarge(parsed(pattern)), false)
    }),
    { numRuns: 5_000 },
  )
  assert.ok(plain > 500, `${plain} of them are plain`)
  assert.deepEqual(plainLiteral('/api/v1/orders/17'), { text: '/api/v1/orders/17', open: false })
  assert.equal(plainLiteral('/a.b'), undefined)
  assert.equal(plainLiteral(`/${'a'.repeat(1000)}`), undefined)
})
