// Filters of requests, by the names and meanings that users of Hubble know.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTables, type L7Event } from '../tables/index.ts'
import { describeRequest } from './describe-request.ts'
import { type FlowFilter, flowTest } from './flow-filter.ts'
import { readRedaction } from './redaction.ts'
import { httpContent, l7Event } from './testing/l7-events.ts'

const redaction = readRedaction([])
const tables = createTables()
const web = { namespace: 'shop', name: 'web', port: 80, portName: '' }
const serviceNames = { nameOf: (number: number) => (number === 5 ? web : undefined) }
const flowOf = (more: Partial<L7Event>) =>
  describeRequest(l7Event(more), { node: 'node1', tables, redaction, serviceNames })

const flows = {
  get: flowOf({
    service: 5,
    content: httpContent({ path: '/products/7?full=1', headers: [{ name: 'x-team', value: 'red' }] }),
  }),
  denied: flowOf({ verdict: 'DROPPED', content: httpContent({ method: 'DELETE', status: 403 }) }),
  unanswered: flowOf({ verdict: 'ERROR', content: { ...httpContent(), status: undefined as never } }),
  dns: flowOf({ transport: 'UDP', content: { parser: 'dns', query: 'api.example.com.', queryTypes: ['A'], rcode: 0 } }),
}

for (const [filter, want] of [
  [{}, ['get', 'denied', 'unanswered', 'dns']],
  [{ type: 'l7' }, ['get', 'denied', 'unanswered', 'dns']],
  [{ type: 'drop' }, []],
  [{ type: 'trace' }, []],
  [{ protocol: 'http' }, ['get', 'denied', 'unanswered']],
  [{ protocol: 'DNS' }, ['dns']],
  [{ protocol: 'udp' }, ['dns']],
  [{ verdict: 'dropped' }, ['denied']],
  [{ service: 'shop/web' }, ['get']],
  [{ 'http-method': 'delete' }, ['denied']],
  [{ 'http-path': '^/products/\\d' }, ['get']],
  [{ 'http-path': '^/products$' }, ['denied', 'unanswered']],
  [{ 'http-url': '^http://shop\\.example/' }, ['get', 'denied', 'unanswered']],
  [{ 'http-status': '200' }, ['get']],
  [{ 'http-status': '4+' }, ['denied']],
  [{ 'http-header': 'X-Team:red' }, ['get']],
  [{ 'http-header': 'x-team' }, ['get']],
  [{ 'http-header': 'x-team:blue' }, []],
  [{ 'dns-query': 'example\\.com\\.$' }, ['dns']],
  [{ 'http-method': 'GET', 'http-status': '200', type: 'l7' }, ['get']],
] satisfies readonly (readonly [FlowFilter, readonly (keyof typeof flows)[]])[])
  test(`wanted: ${JSON.stringify(filter)}`, () => {
    const isWanted = flowTest(filter)
    const found = Object.entries(flows).flatMap(([name, flow]) => (isWanted(flow) ? [name] : []))
    assert.deepEqual(found, want)
  })

for (const [filter, says] of [
  [{ type: 'capture' }, /^type capture is not one of l7, drop, trace, /],
  [{ 'http-status': '6+' }, /is neither a status/],
  [{ 'http-path': '(' }, /^http-path is no regular expression/],
  [{ 'dns-query': 'a'.repeat(257) }, /^dns-query is longer than 256 characters$/],
  [{ 'http-header': ':x' }, /is not NAME or NAME:VALUE$/],
] satisfies readonly (readonly [FlowFilter, RegExp])[])
  test(`refused: ${Object.keys(filter).join()} ${says.source}`, () => {
    assert.throws(() => flowTest(filter), { code: 'BAD_FILTER', message: says })
  })

test('an expression that others would go back and forth over costs nothing', { timeout: 10_000 }, () => {
  const flow = flowOf({ content: httpContent({ path: `/${'a'.repeat(1000)}!` }) })
  assert.equal(flowTest({ 'http-path': '(a+)+$' })(flow), false)
  assert.equal(flowTest({ 'http-path': '(a+)+!$' })(flow), true)
})
