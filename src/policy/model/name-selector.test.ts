// Which names a selector selects, in cases and against regular expressions of the same
// meaning.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { canonicalName, NameSelectors, selectsName } from './name-selector.ts'

const cases: readonly (readonly [selector: string, selected: readonly string[], others: readonly string[]])[] = [
  [
    'api.example.com',
    ['api.example.com'],
    ['example.com', 'api.example.com.evil', 'xapi.example.com', 'apixexample.com'],
  ],
  ['*', ['com', 'a.b.c', 'xn--bcher-kva.example'], []],
  ['*.example.com', ['a.example.com', '-_0.example.com'], ['example.com', 'a.b.example.com', '.example.com']],
  ['*example.com', ['example.com', 'evilexample.com'], ['a.example.com']],
  [
    'a*b*c.example.com',
    ['abc.example.com', 'aabbc.example.com', 'abcbc.example.com'],
    ['ab.example.com', 'a.bc.example.com'],
  ],
  ['**.example.com', ['a.example.com', 'a.b.c.example.com'], ['example.com', 'xexample.com', 'a..example.com']],
  ['**.*.com', ['a.b.com', 'a.b.c.com'], ['b.com', 'a.b.org']],
  ['a.**.com', ['a.b.com'], ['a.b.c.com', 'a.com']],
  ['**', ['a', 'a.b.c'], ['a..b', 'a b']],
  ['*.*', ['a.b'], ['a', 'a.b.c', 'a b.c']],
]

for (const [selector, selected, others] of cases)
  test(`${selector} selects ${selected.join(', ')}`, () => {
    assert.deepEqual(
      selected.filter(name => !selectsName(selector, name)),
      [],
    )
    assert.deepEqual(
      others.filter(name => selectsName(selector, name)),
      [],
    )
    const selectors = new NameSelectors([selector, 'nobody.example'])
    for (const name of selected) assert.deepEqual(selectors.selecting(name), [selector])
    for (const name of others) assert.deepEqual(selectors.selecting(name), [])
  })

test('names and selectors have one form', () => {
  assert.equal(canonicalName('API.Example.COM.'), 'api.example.com')
  assert.equal(canonicalName('*'), '*')
})

test('random patterns select what the regular expression of the same meaning matches', () => {
  const text = fc
    .array(fc.constantFrom('a', 'b', '*', '.', '**.'), { maxLength: 9 })
    .map(parts => canonicalName(parts.join('')))
  const names = fc
    .array(fc.constantFrom('a', 'b', 'c', '.', '!'), { maxLength: 9 })
    .map(parts => canonicalName(parts.join('')))
  fc.assert(
    fc.property(text, names, (pattern, name) => {
      // Two dots at the end are no name.
      fc.pre(pattern !== '**.')
      assert.equal(selectsName(pattern, name), expressionOf(pattern).test(name) || pattern === name)
    }),
    { numRuns: 2000 },
  )
})

const expressionOf = (pattern: string): RegExp => {
  if (pattern === '*') return /^/
  if (pattern === '**') return /^[-a-z0-9_]+(\.[-a-z0-9_]+)*$/
  const isDeep = pattern.startsWith('**.')
  const rest = (isDeep ? pattern.slice(3) : pattern).split('.').map(part => {
    if (part === '' || !part.includes('*')) return part
    const expression = part.replaceAll(/\*+/g, '[-a-z0-9_]*')
    return /^\*+$/.test(part) ? '[-a-z0-9_]+' : expression
  })
  return new RegExp(`^${isDeep ? '([-a-z0-9_]+\\.)+' : ''}${rest.join('\\.')}$`)
}

test('a pattern with many stars is quick', () => {
  assert.equal(selectsName(`${'*a'.repeat(30)}.example`, `${'a'.repeat(29)}.example`), false)
  assert.equal(selectsName(`${'*a'.repeat(31)}b`, 'a'.repeat(63)), false)
})
