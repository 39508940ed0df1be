// The nearest rule in the flow of a denied request, and where there is none.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTables, type L7Event } from '../tables/index.ts'
import { describeRequest } from './describe-request.ts'
import { flowLine } from './flow-line.ts'
import { withNearestRule } from './nearest-rule.ts'
import { readRedaction } from './redaction.ts'
import { httpContent, l7Event } from './testing/l7-events.ts'

const tables = createTables()
const ruleCount = (number: number, count: number) => ({
  number,
  rules: {
    parser: 'http' as const,
    serverNames: [],
    rules: Array.from({ length: count }, (_, i) => ({
      rule: 'k',
      field: `rules.http[${i}]`,
      method: 'GET',
      path: `/products${i || ''}`,
      headers: [],
    })),
  },
})
tables.database.write(tx => {
  const name = 'CiliumNetworkPolicy shop/web ingress[0].toPorts[0]'
  const said = { name, file: 'web.yaml', lines: { 'rules.http[0]': 12 } }
  tx.put(tables.rules, { number: 16, key: 'k', text: `${name} (web.yaml:7)`, said })
  tx.put(tables.l7RuleSets, ruleCount(7, 3))
  tx.put(tables.l7RuleSets, ruleCount(8, 33))
})

const DENIED: Partial<L7Event> = {
  verdict: 'DROPPED',
  deniedBy: 'ingress',
  ingress: { set: 7, policyRule: 16 },
  content: httpContent({ method: 'DELETE', path: '/products?token=1', status: 403 }),
}

const serviceNames = { nameOf: () => undefined }

function nearest(more: Partial<L7Event>, ...redact: readonly string[]) {
  const event = l7Event({ ...DENIED, ...more })
  const flow = describeRequest(event, { node: 'node1', tables, redaction: readRedaction(redact), serviceNames })
  return withNearestRule(flow, event, tables)
}

test('a denied request names the rule that comes nearest, and what it misses', () => {
  const content = httpContent({ method: 'DELETE', path: '/products', status: 403 })
  assert.deepEqual(nearest({ content }).l7?.nearestRule, {
    text: 'CiliumNetworkPolicy shop/web ingress[0].toPorts[0] (web.yaml:12)',
    field: 'rules.http[0]',
    because: [{ part: 'method', wants: 'GET', has: 'DELETE' }],
  })
  assert.match(
    flowLine(nearest({ content })),
    / {2}no rule of its ingress allows it {2}the nearest: .* rules\.http\[0\] \(method: wants GET; it is DELETE\) {2}/,
  )
})

test('what is redacted is not told by the rule either', () => {
  assert.match(JSON.stringify(nearest({})), /token/)
  assert.doesNotMatch(JSON.stringify(nearest({}, 'http.url.query')), /token/)
})

for (const [name, more] of [
  ['an allowed request', { verdict: 'FORWARDED' }],
  ['one that no rules decided', { deniedBy: undefined as never }],
  ['rules that nobody knows any more', { ingress: { set: 99, policyRule: 16 } }],
  ['too many rules', { ingress: { set: 8, policyRule: 16 } }],
  ['one that would be allowed now', { content: httpContent() }],
] satisfies readonly (readonly [string, Partial<L7Event>])[])
  test(`none: ${name}`, () => assert.equal(nearest(more).l7?.nearestRule, undefined))
