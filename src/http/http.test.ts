// Requests against rules, and rules as entries of maps.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { HeaderMatch, HttpRule } from '../policy/index.ts'
import { type HttpRequest, haproxyEntries, hostName, isAmbiguousPath, matchHttp, PROXY_ANSWER } from './index.ts'

const rule = (fields: Partial<HttpRule>): HttpRule => ({ rule: 'r', field: 'f', headers: [], ...fields })
const header = (fields: Partial<HeaderMatch>): HeaderMatch => ({ name: 'x-a', mismatch: 'deny', ...fields })
const REQUEST: HttpRequest = { method: 'GET', path: '/a/b?c', host: 'Web.example.com:80', headers: [['x-a', '1']] }

test('the first rule that matches is told', () => {
  const rules = [rule({ method: 'POST' }), rule({ host: 'WEB\\.example\\.com' }), rule({})]
  assert.deepEqual(matchHttp(rules, REQUEST), { allowed: true, rule: 1, changes: [], mismatchedHeaders: [] })
})

test('what each rule misses is told, the nearest first', () => {
  const rules = [rule({ method: 'POST', path: '/x' }), rule({ path: '/a/b', headers: [header({})] })]
  assert.deepEqual(matchHttp(rules, REQUEST), {
    allowed: false,
    nearest: [
      { rule: 1, mismatches: [{ field: 'path', pattern: '/a/b', found: '/a/b?c' }] },
      {
        rule: 0,
        mismatches: [
          { field: 'method', pattern: 'POST', found: 'GET' },
          { field: 'path', pattern: '/x', found: '/a/b?c' },
        ],
      },
    ],
  })
})

describe('headers', () => {
  const secret = { namespace: 'n', name: 's' }
  const judge = (match: Partial<HeaderMatch>, headers: HttpRequest['headers'], value?: string) =>
    matchHttp([rule({ headers: [header(match)] })], { ...REQUEST, headers }, () => value)

  test('must be as the rule says, each one of that name', () => {
    const cases: readonly [match: Partial<HeaderMatch>, headers: HttpRequest['headers'], allowed: boolean][] = [
      [{}, [['x-a', '']], true],
      [{}, [], false],
      [{ value: '1' }, [['x-a', '1']], true],
      [{ value: '1' }, [['x-a', '2']], false],
      [{ value: '1' }, [['x-a', '1'], ['x-a', '2']], false], // biome-ignore format: one case a line
      [{ value: '1' }, [['x-a', '1'], ['x_a', '1']], false], // biome-ignore format: one case a line
      [{ secret }, [['x-a', '1']], false],
      [
        {},
        [
          ['x-a', '1'],
          ['connection', 'close, X-A'],
        ],
        false,
      ],
      [
        { mismatch: 'log' },
        [
          ['x-a', '1'],
          ['connection', 'x_a'],
        ],
        false,
      ],
      [{ mismatch: 'add' }, [['connection', 'x-a']], false],
      [
        {},
        [
          ['x-a', '1'],
          ['connection', 'te, x-ab'],
        ],
        true,
      ],
    ]
    for (const [match, headers, allowed] of cases) assert.equal(judge(match, headers).allowed, allowed)
    assert.equal(judge({ secret }, [['x-a', 'hidden']], 'hidden').allowed, true)
    const named = judge({}, [['x-a', '1'], ['connection', 'x-a']]) // biome-ignore format: as above
    assert.deepEqual(named.allowed ? [] : named.nearest[0]?.mismatches, [
      { field: 'header', name: 'x-a', wanted: undefined, found: ['1'], isTakenAway: true },
    ])
  })

  test('change requests where they are not', () => {
    const changes = (match: Partial<HeaderMatch>) => {
      const verdict = judge(match, [['x-a', 'wrong']])
      return verdict.allowed && [verdict.changes, verdict.mismatchedHeaders]
    }
    assert.deepEqual(changes({ value: '1', mismatch: 'log' }), [[], ['x-a']])
    assert.deepEqual(changes({ value: '1', mismatch: 'add' }), [[{ change: 'add', name: 'x-a', value: '1' }], ['x-a']])
    assert.deepEqual(changes({ value: '1', mismatch: 'delete' }), [[{ change: 'delete', name: 'x-a' }], ['x-a']])
    assert.deepEqual(changes({ value: 'wrong', mismatch: 'replace' }), [[], []])
    assert.equal(changes({ secret, mismatch: 'replace' }), false)
  })
})

test('paths that servers could read differently', () => {
  const clear = ['/', '/a/b?c=//../%2f', '/a%20b%C3%A9', '/.a/..b/c.', '/a;v=1', '/a@b:c/~d', '/%3F%23%5B']
  const ambiguous = ['//', '/a//b', '/./a', '/a/..', '/a/..?x', '/..;/a', '/;/a', '/a\\b', '/%', '/%2', '/%zz', '/%2e']
  ambiguous.push(
    '/%2F',
    '/%5c',
    '/%25',
    '/%00',
    '/%41',
    '/%7E',
    '/%3b',
    '/%c0%ae',
    '/%e0%80%ae',
    '/a#b',
    '/a?#',
    '/é',
    '/ ',
  )
  for (const path of clear) assert.ok(!isAmbiguousPath(path), path)
  for (const path of ambiguous) assert.ok(isAmbiguousPath(path), path)
})

test('hosts without their ports', () => {
  const cases = {
    'A.b:80': 'a.b',
    'a.b': 'a.b',
    '[FD00::1]:8080': '[fd00::1]',
    '[::1]': '[::1]',
    '': '',
    'a@b': undefined,
  }
  for (const [host, name] of Object.entries(cases)) assert.equal(hostName(host), name, host)
})

describe('entries', () => {
  const entries = (...rules: Partial<HttpRule>[]) =>
    haproxyEntries({ number: 5, rules: { parser: 'http', rules: rules.map(rule), serverNames: [] } }).entries.map(
      ({ map, key, value }) => `${map} ${key.replace(String(PROXY_ANSWER + 5), 'N')} ${value}`,
    )

  test('rules of plain words are keys', () => {
    assert.deepEqual(
      entries(
        { method: 'GET|PUT', path: '/a(/.*)?' },
        { path: '^/b$' },
        { method: 'GET' },
        { path: '/b', method: '.*' },
      ),
      [
        'http-rules N:GET:/a# 1',
        'http-rules N:GET:/a/ 1',
        'http-rules N:PUT:/a# 1',
        'http-rules N:PUT:/a/ 1',
        'http-rules N::/b# 2',
        'http-rules N:GET: 3',
      ],
    )
  })

  test('the others are a text for Lua, and their set asks for it', () => {
    const [text, head, plain, ask, ...more] = entries({ path: '/[0-9]+/x' }, { path: '/y' })
    assert.match(text ?? '', /^http-programs N:1 P[0-9a-f]{256},o+,.*\|R0,,0,,$/)
    assert.match(head ?? '', /^http-programs N 1:\d+:\d+$/)
    assert.deepEqual([plain, ask, more], ['http-rules N::/y# 2', 'http-rules N: -2', []])
  })

  test('a header that changes requests takes its whole set to Lua', () => {
    const lines = entries({ path: '/y' }, { headers: [header({ mismatch: 'log', value: 'v' })] })
    assert.deepEqual(
      lines.filter(line => line.startsWith('http-rules')),
      ['http-rules N: -2'],
    )
  })

  test('a long text is in pieces', () => {
    const lines = entries(...Array.from({ length: 500 }, (_, index) => ({ path: `/a[0-9]*/${index}` })))
    const pieces = lines.filter(line => line.startsWith('http-programs N:'))
    assert.ok(pieces.length > 1 && pieces.every(line => line.length < 16_000))
    assert.ok(lines.some(line => line.startsWith(`http-programs N ${pieces.length}:`)))
  })

  test('what cannot be read allows nothing', () => {
    assert.ok(!matchHttp([rule({ path: '(' })], REQUEST).allowed)
    assert.deepEqual(entries(), [])
  })
})

test('rules of plain words have the keys of the same rules that are read as expressions', () => {
  const method = fc.option(fc.constantFrom('', 'GET', '^GET$', '^$', 'a/b', 'G.', '.*', 'get'), { nil: undefined })
  const path = fc.option(
    fc.constantFrom('', '/', '/a', '/a.*', '^/a$', '^$', '.*', '/a#', '/a b', '/%41', '/a.b', '/[ab]'),
    {
      nil: undefined,
    },
  )
  const group = (text: string | undefined) => text && `(?:${text})`
  const keys = (fields: Partial<HttpRule>) =>
    haproxyEntries({ number: 5, rules: { parser: 'http', rules: [rule(fields)], serverNames: [] } }).entries
  const given = (fields: Record<'method' | 'path', string | undefined>): Partial<HttpRule> =>
    Object.fromEntries(Object.entries(fields).filter(([, text]) => text !== undefined))
  fc.assert(
    fc.property(method, path, (methodText, pathText) => {
      const plain = given({ method: methodText, path: pathText })
      assert.deepEqual(keys(plain), keys(given({ method: group(methodText), path: group(pathText) })))
    }),
    { numRuns: 500 },
  )
})
