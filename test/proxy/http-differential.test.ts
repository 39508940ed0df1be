// HAProxy and matchHttp on random rules and random requests: they must say the same,
// whether a rule became a key, or a program for Lua, or both.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { type HttpRequest, isAmbiguousPath, matchHttp } from '../../src/http/index.ts'
import type { HeaderMatch, HttpRule, L7RuleSet } from '../../src/policy/index.ts'
import { HttpProxy, httpSet, judgedBy, needsRoot, triedOut } from './http-proxy.ts'

const method = fc.constantFrom('GET', 'POST', 'PUT', 'PURGE')
const segment = fc.constantFrom('a', 'b', 'ab', '1', '42', 'a.b', 'x%20y', '~', 'a:b', '%C3%A9', 'A', '-', '..', '%2e')
const path = fc.array(segment, { maxLength: 3 }).map(segments => `/${segments.join('/')}`)
const target = fc.tuple(path, fc.constantFrom('', '', '', '?', '?a=b', '?/../c')).map(([path, query]) => path + query)
const host = fc.constantFrom('a', 'A', 'a.b', 'x.b:80', 'b', '[::1]:80', 'a@b')
const value = fc.constantFrom('1', '2', '', 'x y')
const header = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(fc.constantFrom('x-a', 'x_a', 'x-b'), value) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('connection'), fc.constantFrom('x-a', 'TE, X-A', 'te', 'close, X_B')) },
)

const methodPattern = fc.constantFrom('GET', 'GET|POST', 'P.*', '.*', '(?i)get', '[A-Z]{3}', '^PUT$', 'P(OS|U)T')
const pathPattern = fc.oneof(
  path.map(text => text.replaceAll('.', '\\.')),
  path,
  path.map(text => `${text.replaceAll('.', '\\.')}.*`),
  path.map(text => `${text}(/.*)?`),
  fc.constantFrom(
    '.*',
    '/[0-9]+',
    '/[^/]*',
    '/.+',
    '/(a|b)/?.*',
    '/a\\b.*',
    '(?i)/A.*',
    '.*/[ab]+(\\?.*)?',
    '/a{1,2}',
    '/[[:alpha:]]/.',
  ),
)
const hostPattern = fc.constantFrom('a', 'a|b', '[^.]*', '.*\\.b', 'A\\.B', '\\[.*\\]')
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 3 })
const headerMatch: fc.Arbitrary<HeaderMatch> = fc.record({
  name: fc.constantFrom('x-a', 'x-b'),
  value: optional(value),
  mismatch: fc.constantFrom('deny', 'deny', 'log', 'add', 'delete', 'replace'),
})
const rule: fc.Arbitrary<HttpRule> = fc.record({
  rule: fc.constant('test'),
  field: fc.constant('http'),
  method: optional(methodPattern),
  path: optional(pathPattern),
  host: fc.option(hostPattern, { nil: undefined, freq: 1 }),
  headers: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(headerMatch, { maxLength: 2 }) },
  ),
})
const request: fc.Arbitrary<HttpRequest> = fc.record({
  method,
  path: target,
  host,
  headers: fc.oneof(fc.constant([]), fc.array(header, { maxLength: 3 })),
})

const SET_COUNT = 120
/** Sets that are only tried out. */
const isTried = (number: number): boolean => number % 4 === 0
const sets = fc
  .sample(fc.array(rule, { maxLength: 5 }), { numRuns: SET_COUNT })
  .map((rules, at) => (isTried(at + 1) ? triedOut(httpSet(at + 1, ...rules)) : httpSet(at + 1, ...rules)))
const rulesOf = (set: L7RuleSet | undefined): readonly HttpRule[] =>
  set?.rules.parser === 'http' ? set.rules.rules : []

describe('the verdict of HAProxy', needsRoot, () => {
  let proxy: HttpProxy
  before(async () => {
    proxy = await HttpProxy.start({ sets })
  })
  after(async () => proxy?.[Symbol.asyncDispose]())

  test('is that of matchHttp, and so is what becomes of headers', async () => {
    await proxy.seen()
    const counts = { allowed: 0, denied: 0, ambiguous: 0 }
    const number = fc.integer({ min: 0, max: SET_COUNT })
    await fc.assert(
      fc.asyncProperty(number, number, request, async (egress, ingress, request) => {
        const verdicts = [egress, ingress].map(number =>
          number === 0 || isTried(number) ? undefined : matchHttp(rulesOf(sets[number - 1]), request),
        )
        const limited = [egress, ingress].some(number => number > 0 && !isTried(number))
        const allowed = verdicts.every(verdict => verdict?.allowed ?? true)
        const want = limited && isAmbiguousPath(request.path) ? 400 : allowed ? 200 : 403
        const lines = request.headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
        const { method, path, host } = request
        const { bytes } = await proxy.ask(
          `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${judgedBy(egress, ingress)}${lines}\r\n`,
        )
        const explained = JSON.stringify({ rules: [egress, ingress].map(number => rulesOf(sets[number - 1])), request })
        assert.equal(Number(bytes.slice(9, 12)), want, explained)
        const seen = (await proxy.seen()).bytes
        assert.equal(seen !== '', want === 200, explained)
        counts[want === 200 ? 'allowed' : want === 403 ? 'denied' : 'ambiguous']++
        if (want !== 200) return
        const changes = verdicts.flatMap(verdict => (verdict?.allowed ? verdict.changes : []))
        const found = seen
          .split('\r\n')
          .filter(line => line.startsWith('x'))
          .sort()
        assert.deepEqual(found, changed(request.headers, changes).sort(), explained)
      }),
      { numRuns: 1500 },
    )
    for (const count of Object.values(counts)) assert.ok(count > 50, JSON.stringify(counts))
  })
})

type Changes = Extract<ReturnType<typeof matchHttp>, { allowed: true }>['changes']

/** Header lines after the changes. */
function changed(headers: HttpRequest['headers'], changes: Changes): string[] {
  let now = [...headers]
  for (const change of changes) {
    if (change.change !== 'add') now = now.filter(([name]) => name !== change.name)
    if (change.change !== 'delete') now.push([change.name, change.value])
  }
  return now.filter(([name]) => name.startsWith('x')).map(([name, value]) => `${name}: ${value}`)
}
