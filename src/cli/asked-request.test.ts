// Options about a request, read, and what is said of those that cannot be.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { askedRequest, type RequestOptions, requestInFlow } from './asked-request.ts'

for (const [name, options, want] of [
  ['none', {}, undefined],
  [
    'HTTP',
    { http: 'GET /products?x=1', host: 'shop', header: ['X-Team: red', 'accept:'] },
    {
      parser: 'http',
      method: 'GET',
      path: '/products?x=1',
      host: 'shop',
      headers: [
        ['x-team', 'red'],
        ['accept', ''],
      ],
    },
  ],
  ['DNS', { dns: ' example.com ' }, { parser: 'dns', name: 'example.com' }],
  [
    'Kafka',
    { kafka: 'Produce orders', kafkaClient: 'c' },
    { parser: 'kafka', apiKey: 0, topic: 'orders', clientId: 'c' },
  ],
  ['Kafka without a topic', { kafka: 'metadata' }, { parser: 'kafka', apiKey: 3 }],
  ['TLS', { serverName: 'example.com' }, { parser: 'tls', serverName: 'example.com' }],
] satisfies readonly (readonly [string, RequestOptions, unknown])[])
  test(`asked: ${name}`, () => assert.deepEqual(askedRequest(options), want))

for (const [options, says] of [
  [{ http: 'GET' }, /^--http "GET" is not METHOD \/PATH/],
  [{ http: 'GET products' }, /is not METHOD \/PATH/],
  [{ http: 'GET /a b' }, /is not METHOD \/PATH/],
  [{ http: 'GET /', header: ['x team: red'] }, /^--header "x team: red" is not NAME: VALUE$/],
  [{ header: ['x: y'] }, /go with --http/],
  [{ kafkaClient: 'x' }, /goes with --kafka/],
  [{ kafka: 'steal orders' }, /is not REQUEST \[TOPIC\]/],
  [{ dns: ' ' }, /^--dns needs a name$/],
  [{ dns: 'a', http: 'GET /' }, /^give one of --http, /],
] satisfies readonly (readonly [RequestOptions, RegExp])[])
  test(`refused: ${JSON.stringify(options)}`, () => {
    assert.throws(() => askedRequest(options), { code: 'BAD_QUESTION', message: says })
  })

test('a flow of packets has no request, and one of something else neither', () => {
  assert.equal(requestInFlow({ source: {} }), undefined)
  assert.equal(requestInFlow({ l7: { http: { method: 1 } } }), undefined)
  assert.deepEqual(requestInFlow({ l7: { type: 'REQUEST', dns: { query: 'a.', qtypes: [] } } }), {
    parser: 'dns',
    name: 'a.',
  })
})
