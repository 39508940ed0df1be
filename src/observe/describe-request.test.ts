// What a proxy tells, in words: names of ends and rules, each protocol's fields as Hubble
// has them, and the one line that people read.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { labelSet } from '../labels/index.ts'
import { createTables, type L7Event } from '../tables/index.ts'
import { endpointRow } from '../tables/testing/rows.ts'
import { describeRequest } from './describe-request.ts'
import type { Flow } from './flow.ts'
import { flowLine } from './flow-line.ts'
import { DEFAULT_REDACTION, type Redaction } from './redaction.ts'
import { httpContent, l7Event } from './testing/l7-events.ts'

const tables = createTables()
tables.database.write(tx => {
  tx.put(tables.endpoints, endpointRow(1, 'client', { addresses: ['10.0.0.2', 'fd00::2'] }))
  tx.put(tables.endpoints, endpointRow(2, 'web', { addresses: ['10.0.0.3', 'fd00::3'] }))
  tx.put(tables.identities, {
    number: 256,
    labels: labelSet([{ source: 'k8s', key: 'io.kubernetes.pod.namespace', value: 'shop' }]),
  })
  tx.put(tables.rules, { number: 1, key: 'not-isolated', text: 'open: no policy isolates this direction' })
  tx.put(tables.rules, { number: 16, key: 'k', text: 'CiliumNetworkPolicy shop/web ingress[0] (web.yaml:7)' })
  tx.put(tables.rules, {
    number: 17,
    key: 'l',
    text: 'CiliumNetworkPolicy shop/api ingress[2] (api.yaml:9)',
    log: 'api',
  })
  tx.put(tables.l7RuleSets, {
    number: 7,
    rules: {
      parser: 'http',
      rules: [
        { rule: 'k', field: 'rules.http[0]', headers: [] },
        { rule: 'l', field: 'rules.http[3]', headers: [] },
      ],
      serverNames: [],
    },
  })
})

const WEB = { namespace: 'shop', name: 'web', port: 80, portName: 'http' }
const serviceNames = { nameOf: (number: number) => (number === 5 ? WEB : undefined) }

const describe = (more: Partial<L7Event> = {}, redaction: Redaction = DEFAULT_REDACTION): Flow =>
  describeRequest(l7Event(more), { node: 'node1', tables, redaction, serviceNames })

test('a request that was allowed', () => {
  assert.deepEqual(describe({ service: 5 }), {
    time: '2023-11-14T22:13:20.123456Z',
    node: 'node1',
    type: 'L7',
    verdict: 'FORWARDED',
    event: 'l7',
    source: {
      address: '10.0.0.2',
      port: 40_000,
      identity: 256,
      identityName: 'shop/*',
      labels: ['k8s:io.kubernetes.pod.namespace=shop'],
      pod: { namespace: 'shop', name: 'client' },
    },
    destination: {
      address: '10.0.0.3',
      port: 80,
      identity: 257,
      identityName: 'identity 257',
      labels: [],
      pod: { namespace: 'shop', name: 'web' },
    },
    destinationService: WEB,
    protocol: 'TCP',
    family: 4,
    isReply: false,
    egressRule: { number: 1, text: 'open: no policy isolates this direction' },
    ingressRule: {
      number: 17,
      text: 'CiliumNetworkPolicy shop/api ingress[2] (api.yaml:9)',
      field: 'rules.http[3]',
    },
    policyLog: ['api'],
    l7: {
      type: 'RESPONSE',
      latencyNs: 1_234_567,
      http: { code: 200, method: 'GET', url: 'http://shop.example/products', protocol: 'HTTP/1.1' },
    },
  })
})

const noRules = { set: 0, policyRule: 0 } as const

test('what a request says in one line', async t => {
  const cases: readonly { readonly name: string; readonly flow: Flow; readonly want: string }[] = [
    {
      name: 'allowed, with the rule and the field in it',
      flow: describe({ egress: noRules }),
      want:
        'http-request FORWARDED (HTTP/1.1 GET http://shop.example/products → 200, 1.2 ms)  ingress: CiliumNetworkPolicy ' +
        'shop/api ingress[2] (api.yaml:9) rules.http[3]  log: "api"',
    },
    {
      name: 'denied: the rule that brought it to the proxy, which has none that allows it',
      flow: describe({
        verdict: 'DROPPED',
        deniedBy: 'ingress',
        egress: noRules,
        ingress: { set: 7, policyRule: 16 },
        content: httpContent({ method: 'DELETE', status: 403 }),
      }),
      want:
        'http-request DROPPED (HTTP/1.1 DELETE http://shop.example/products → 403, 1.2 ms)  no rule of its ingress allows ' +
        'it  ingress: CiliumNetworkPolicy shop/web ingress[0] (web.yaml:7)',
    },
    {
      name: 'not well-formed, by an opener without a host',
      flow: describe({
        verdict: 'ERROR',
        reason: 'two Content-Length headers',
        egress: noRules,
        ingress: noRules,
        content: httpContent({ host: '', path: '/x\r\n\u001b[31m', status: 400 }),
      }),
      want: 'http-request ERROR (HTTP/1.1 GET /x\\u{d}\\u{a}\\u{1b}[31m → 400, 1.2 ms)  two Content-Length headers',
    },
    {
      name: 'a call of gRPC, and a header that was only to be told',
      flow: describe({
        egress: noRules,
        ingress: noRules,
        latencyNs: 42_000,
        mismatchedHeaders: ['x-team'],
        content: httpContent({ method: 'POST', path: '/shop.Cart/Add', version: 'HTTP/2.0', grpcStatus: 7 }),
      }),
      want:
        'http-request FORWARDED (HTTP/2.0 POST http://shop.example/shop.Cart/Add → 200 grpc 7, 42 µs)  headers not as ' +
        'wanted: x-team',
    },
    {
      name: 'a question of DNS that was answered',
      flow: describe({
        egress: noRules,
        ingress: noRules,
        latencyNs: 120_000_000,
        content: {
          parser: 'dns',
          query: 'api.example.com.',
          queryTypes: ['A'],
          rcode: 0,
          addresses: ['192.0.2.7', '192.0.2.8'],
          cnames: ['edge.example.net.'],
          ttlSeconds: 30,
        },
      }),
      want: 'dns-request FORWARDED (A api.example.com. → edge.example.net., 192.0.2.7, 192.0.2.8, TTL 30 s, 120 ms)',
    },
    {
      name: 'one that was refused',
      flow: describe({
        verdict: 'DROPPED',
        deniedBy: 'egress',
        egress: noRules,
        ingress: noRules,
        content: { parser: 'dns', query: 'evil.example.', queryTypes: ['AAAA'], rcode: 5 },
      }),
      want: 'dns-request DROPPED (AAAA evil.example. → REFUSED, 1.2 ms)  no rule of its egress allows it',
    },
    {
      name: 'a server that a client of TLS names',
      flow: describe({
        egress: noRules,
        ingress: noRules,
        latencyNs: undefined as never,
        content: { parser: 'tls', serverName: 'www.example.com' },
      }),
      want: 'tls-connection FORWARDED (to www.example.com)',
    },
  ]
  for (const { name, flow, want } of cases)
    await t.test(name, () =>
      assert.equal(flowLine(flow), `22:13:20.123  l7      TCP shop/client:40000 -> shop/web:80  ${want}`),
    )
})

test('a request of Kafka has the fields that Hubble has', () => {
  const content = {
    parser: 'kafka',
    apiKey: 0,
    apiVersion: 9,
    correlationId: 4,
    topic: 'orders',
    errorCode: 0,
  } as const
  assert.deepEqual(describe({ content }).l7?.kafka, {
    apiKey: 'produce',
    apiVersion: 9,
    correlationId: 4,
    topic: 'orders',
    errorCode: 0,
  })
})

test('a rule set that nobody knows any more leaves the rule of the connection', () => {
  const { ingressRule } = describe({ ingress: { set: 99, rule: 0, policyRule: 16 } })
  assert.deepEqual(ingressRule, { number: 16, text: 'CiliumNetworkPolicy shop/web ingress[0] (web.yaml:7)' })
})

test('what nobody is to read is taken out', () => {
  const content = httpContent({
    host: 'me:secret@shop.example',
    path: '/products?token=secret',
    headers: [
      { name: 'Authorization', value: 'Bearer secret' },
      { name: 'accept', value: '*/*' },
    ],
  })
  const { http } = describe({ content }, { ...DEFAULT_REDACTION, urlQuery: true }).l7 ?? {}
  assert.equal(http?.url, 'http://HUBBLE_REDACTED@shop.example/products')
  assert.deepEqual(http?.headers, [
    { key: 'Authorization', value: 'HUBBLE_REDACTED' },
    { key: 'accept', value: '*/*' },
  ])
})
