// Which names a rule means, and that it is found among many.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { matchDns, type NamePattern, selectorsOf } from './index.ts'

type Case = { readonly pattern: string; readonly means: readonly string[]; readonly not: readonly string[] }

const CASES: readonly Case[] = [
  {
    pattern: 'www.example.com.',
    means: ['www.example.com.'],
    not: ['example.com.', 'a.www.example.com.', 'wwwxexample.com.'],
  },
  { pattern: '*.', means: ['.', 'a.', 'a.b.c.', 'we\\032ird.x.'], not: [] },
  {
    pattern: '*.example.com.',
    means: ['a.example.com.', '_dns-1.example.com.'],
    not: ['example.com.', 'a.b.example.com.', 'a\\046b.example.com.', 'a.example.org.', 'a.xexample.com.'],
  },
  { pattern: '*example.com.', means: ['example.com.', 'my-example.com.'], not: ['a.example.com.', 'examples.com.'] },
  { pattern: 'api-*.x.', means: ['api-.x.', 'api-1.x.'], not: ['api.x.', 'api-1.2.x.', 'xapi-1.x.'] },
  { pattern: '*a*b*.x.', means: ['ab.x.', 'zazbz.x.', 'aab.x.'], not: ['ba.x.', 'a.b.x.', 'b.x.'] },
  { pattern: 'aba*aba.x.', means: ['abaaba.x.', 'aba-aba.x.'], not: ['aba.x.', 'ababa.x.'] },
  { pattern: '*.*.x.', means: ['a.b.x.'], not: ['b.x.', 'a.b.c.x.'] },
  { pattern: 'a.*.x.', means: ['a.b.x.'], not: ['b.b.x.', 'a.x.'] },
  { pattern: 'a.*.', means: ['a.b.'], not: ['a.', 'a.b.c.', 'b.b.'] },
  {
    pattern: '**.example.com.',
    means: ['a.example.com.', 'a.b.c.example.com.'],
    not: ['example.com.', 'a.example.org.', 'a.we\\032ird.example.com.'],
  },
  { pattern: '**.api-*.x.', means: ['a.api-1.x.', 'a.b.api-.x.'], not: ['api-1.x.', 'a.b.x.'] },
  { pattern: '**.', means: ['a.', 'a.b.'], not: ['.'] },
]

describe('patterns', () => {
  for (const { pattern, means, not } of CASES)
    it(pattern, () => {
      for (const name of means) assert.equal(matchDns([{ pattern }], name), 0, `${name} is meant`)
      for (const name of not) assert.equal(matchDns([{ pattern }], name), undefined, `${name} is not`)
    })

  it('are the same in any case, and without their last dot', () => {
    assert.equal(matchDns([{ pattern: '*.Example.COM' }], 'WWW.example.com'), 0)
    assert.equal(matchDns([{ name: 'Www.example' }], 'wWw.example.'), 0)
  })

  it('are no patterns where they are names', () => assert.equal(matchDns([{ name: '*.x.' }], 'a.x.'), undefined))

  it('are found by the first that means the name, and all by their places', () => {
    const rules: NamePattern[] = [
      { pattern: '*.b.x.' },
      { pattern: '**.x.' },
      { name: 'a.b.x.' },
      { pattern: '*.' },
      { name: 'a.b.x.' },
    ]
    assert.equal(matchDns(rules, 'a.b.x.'), 0)
    assert.equal(matchDns(rules, 'c.x.'), 1)
    assert.deepEqual(selectorsOf('a.b.x.', rules), [0, 1, 2, 3, 4])
    assert.deepEqual(selectorsOf('.', rules), [3])
    assert.equal(matchDns([], 'a.'), undefined)
  })

  it('mean what the regular expression means that users know them by', () => {
    const label = fc.string({ unit: fc.constantFrom('a', 'b', '-', '*'), minLength: 1, maxLength: 5 })
    const pattern = fc.tuple(fc.boolean(), fc.array(label, { minLength: 1, maxLength: 4 }))
    const nameLabel = fc.string({ unit: fc.constantFrom('a', 'b', '-'), minLength: 1, maxLength: 5 })
    const name = fc.array(nameLabel, { minLength: 1, maxLength: 5 }).map(labels => `${labels.join('.')}.`)
    fc.assert(
      fc.property(pattern, name, ([deep, labels], name) => {
        const text = `${deep ? '**.' : ''}${labels.join('.')}.`
        fc.pre(text !== '*.' && !(!deep && labels[0] === '**'))
        const expected = new RegExp(`^${deep ? '([-a-z0-9_]+[.])+' : ''}${regular(labels)}$`).test(name)
        assert.equal(matchDns([{ pattern: text }], name) !== undefined, expected, `${text} on ${name}`)
      }),
      { numRuns: 2000 },
    )
  })

  it('are many without a search through all of them', () => {
    const selectors = Array.from(
      { length: 10_000 },
      (_, i): NamePattern => (i % 2 ? { name: `a.zone${i}.example.` } : { pattern: `*.zone${i}.example.` }),
    )
    assert.deepEqual(selectorsOf('a.zone4001.example.', selectors), [4001])
    assert.deepEqual(selectorsOf('a.zone4002.example.', selectors), [4002])
  })
})

const regular = (labels: readonly string[]): string =>
  labels.map(label => `${label.replaceAll('*', '[-a-z0-9_]*')}[.]`).join('')
