// The dialect by cases, and the matcher against JavaScript's own on what both know.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileRegexes, parseRegex, RegexMatcher } from './index.ts'

function matcherOf(...texts: string[]): RegexMatcher {
  const regexes = texts.map(text => {
    const parsed = parseRegex(text)
    assert.ok('regex' in parsed, `${text}: ${'problem' in parsed ? parsed.problem : ''}`)
    return parsed.regex
  })
  const program = compileRegexes(regexes)
  assert.ok(program)
  return new RegexMatcher(program)
}
const matches = (pattern: string, text: string): boolean => matcherOf(pattern).match(text).length > 0

test('patterns match the whole text', () => {
  const cases: readonly [pattern: string, yes: string[], no: string[]][] = [
    ['GET', ['GET'], ['get', 'GETS', 'AGET', '']],
    ['GET|POST', ['GET', 'POST'], ['GETPOST', 'GE|POST']],
    ['/a.*', ['/a', '/a/b'], ['/', 'x/a']],
    ['', [''], ['a']],
    ['^/a$', ['/a'], ['/ab', '$']],
    ['/[[:alpha:]_]+/\\d{2,3}', ['/a_b/12', '/x/123'], ['/a/1', '/a/1234', '//12']],
    ['[^/]+', ['a\nb', 'x'], ['a/b', '']],
    ['.', ['a'], ['\n', 'é', '']],
    ['(?s).', ['\n'], ['']],
    ['(?i)ab(?-i)c', ['ABc', 'abc'], ['ABC']],
    ['(?i:K)k', ['kk', 'Kk'], ['kK']],
    ['(?i)\u212a[\u017f]', ['ks', 'KS'], ['k']],
    ['[]a-]+', [']-a'], ['b']],
    ['[a\\-z]', ['a', '-', 'z'], ['b']],
    ['[^\\d\\s]', ['a'], ['1', ' ']],
    ['a{,2}', ['a{,2}'], ['aa']],
    ['x{0}y', ['y'], ['xy']],
    ['(a|b){2}', ['ab', 'bb'], ['a', 'abb']],
    ['\\Qa.b*\\E+', ['a.b*', 'a.b**'], ['axb']],
    ['\\x41\\x{42}\\103\\.', ['ABC.'], ['ABCx']],
    ['(?P<name>a)(?:b)', ['ab'], ['a']],
    ['\\bword\\b.*', ['word', 'word up'], ['words']],
    ['a\\B.', ['ab'], ['a-']],
    ['(?m)a$\n^b', ['a\nb'], ['a b']],
    ['(a*)*b', ['b', 'aab'], ['a']],
    ['[[:^digit:][:punct:]]', ['a', '.'], ['1']],
    ['a|', ['a', ''], ['b']],
    ['é', [], ['é', 'e']],
  ]
  for (const [pattern, yes, no] of cases) {
    for (const text of yes) assert.ok(matches(pattern, text), `${pattern} matches ${text}`)
    for (const text of no) assert.ok(!matches(pattern, text), `${pattern} does not match ${text}`)
  }
})

test('what RE2 does not know is refused by name', () => {
  const cases: readonly [pattern: string, problem: string, at: number][] = [
    ['(?=a)', 'has a look ahead', 0],
    ['a(?<!b)', 'has a look behind', 1],
    ['(a)\\1', 'has a reference to a group', 3],
    ['(?P=name)', 'has a reference to a group', 0],
    ['(?>a)', 'has an atomic group', 0],
    ['\\p{Greek}', 'has a class of Unicode (\\p)', 0],
    ['\\y', 'has the escape \\y, which RE2 does not know', 0],
    ['a\\', 'has a backslash at its end', 1],
    ['(a', 'has a group that does not end', 0],
    ['a)', 'closes a group that is not open', 1],
    ['[a', 'has a class that does not end', 0],
    ['[b-a]', 'has a range whose end is before its beginning', 1],
    ['[a-\\d]', 'has a range that ends in a class', 1],
    ['[[:nobody:]]', 'has the class [:nobody:], which nobody knows', 1],
    ['*a', 'repeats nothing', 0],
    ['a**', 'repeats a repetition', 2],
    ['a{3,2}', 'has a repetition whose end is before its beginning', 1],
    ['a{1001}', 'repeats more than 1000 times', 1],
    ['(a{100}){11}', 'has repetitions that make more than 1000 together', 8],
    ['('.repeat(300), 'has more than 200 groups in each other', 200],
    ['a'.repeat(5000), 'is longer than 4096 characters', 4096],
  ]
  for (const [pattern, problem, at] of cases)
    assert.deepEqual(parseRegex(pattern), { problem, at }, pattern.slice(0, 20))
})

test('all patterns that match are told', () => {
  const matcher = matcherOf('/a.*', '/ab', '.*b', 'x')
  assert.deepEqual(matcher.match('/ab'), [0, 1, 2])
  assert.deepEqual(matcher.match('x'), [3])
  assert.deepEqual(matcher.match('y'), [])
})

test('a program that would be too large is refused', () => {
  const parsed = parseRegex(`${'(a|b|c|d|e|f|g|h)'.repeat(20)}{1000}`)
  assert.ok('regex' in parsed)
  assert.equal(compileRegexes([parsed.regex]), undefined)
})

test('time is linear where backtracking would never end', () => {
  const matcher = matcherOf('(a*)*(a*)*(a|aa)*c', '(.*a){20}b')
  assert.deepEqual(matcher.match('a'.repeat(100_000)), [])
})

test('a text that makes ever new states is judged within the bounds of the table', () => {
  const matcher = matcherOf('(a|b)*a(a|b){13}')
  let text = ''
  for (let index = 0, value = 12345; index < 20_000; index++) {
    value = (value * 1103515245 + 12345) & 0x7fffffff
    text += value & 0x10000 ? 'a' : 'b'
  }
  assert.equal(matcher.match(text).length, text.at(-14) === 'a' ? 1 : 0)
})

const { regex } = fc.letrec<{ regex: string }>(tie => ({
  regex: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(
      'a',
      'b',
      '/',
      '.',
      '[ab]',
      '[^a]',
      '[a-c/]',
      '\\d',
      '\\w',
      '\\S',
      '\\.',
      '[\\d/]',
      '',
      '\\b',
      '\\B',
      '^',
      '$',
    ),
    fc.tuple(tie('regex'), tie('regex')).map(([a, b]) => a + b),
    fc.tuple(tie('regex'), tie('regex')).map(([a, b]) => `(${a}|${b})`),
    fc
      .tuple(tie('regex'), fc.constantFrom('*', '+', '?', '{2}', '{1,3}', '{2,}', '*?'))
      .map(([a, s]) => `(?:${a})${s}`),
  ),
}))
const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '/', '.', '1', '_', ' '), maxLength: 8 })

test('agrees with the matcher of JavaScript', () => {
  fc.assert(
    fc.property(regex, fc.array(text, { minLength: 1, maxLength: 8 }), (pattern, texts) => {
      const theirs = new RegExp(`^(?:${pattern})$`)
      const ours = matcherOf(pattern)
      for (const text of texts) assert.equal(ours.match(text).length > 0, theirs.test(text), `${pattern} on '${text}'`)
    }),
    { numRuns: 3000 },
  )
})

test('any text is read or refused', () => {
  const piece = fc.constantFrom(...'()[]{}|*+?.^$\\-,:<>=!P'.split(''), 'a', '1', '\\d', '[:alpha:]', '(?i)', 'é', '\n')
  fc.assert(
    fc.property(fc.string({ unit: piece, maxLength: 20 }), pattern => {
      const parsed = parseRegex(pattern)
      if ('regex' in parsed) assert.ok(compileRegexes([parsed.regex]) !== undefined || pattern.includes('{'))
      else assert.ok(parsed.problem !== '' && parsed.at <= pattern.length)
    }),
    { numRuns: 3000 },
  )
})
