// Why rules for what is said allow a request or not: the rule that does, else the nearest
// and all that it misses.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { L7Rules } from '../policy/index.ts'
import { type AskedRequest, askedIn, kafkaRequestNumber, whyRequest } from './why-request.ts'

const at = (field: string) => ({ rule: 'CiliumNetworkPolicy/shop/api/ingress[0]', field })

const http: L7Rules = {
  parser: 'http',
  serverNames: [],
  rules: [
    { ...at('rules.http[0]'), method: 'GET', path: '/products(/[0-9]+)?', headers: [] },
    {
      ...at('rules.http[1]'),
      method: 'POST',
      path: '/orders',
      host: 'api\\.shop',
      headers: [{ name: 'x-team', value: 'red', mismatch: 'deny' }],
    },
    {
      ...at('rules.http[2]'),
      path: '/admin',
      headers: [{ name: 'x-token', secret: { namespace: 'shop', name: 'token' }, mismatch: 'deny' }],
    },
  ],
}
const dns: L7Rules = {
  parser: 'dns',
  rules: [
    { ...at('rules.dns[0]'), name: 'api.example.org.' },
    { ...at('rules.dns[1]'), pattern: '*.example.com.' },
  ],
}
const kafka: L7Rules = {
  parser: 'kafka',
  rules: [
    { ...at('rules.kafka[0]'), apiKeys: [0, 3, 18], topic: 'orders', clientId: 'shop' },
    { ...at('rules.kafka[1]'), apiKeys: [1], apiVersion: 4, topic: 'orders' },
  ],
}
const context = { secret: { namespace: 'shop', name: 's' }, certificate: 'c', privateKey: 'k', trustedCa: 'ca' }
const https: L7Rules = { ...http, terminating: context }
const named: L7Rules = { ...https, serverNames: [{ ...at('serverNames[0]'), serverName: 'www.example.com' }] }
const tls: L7Rules = { parser: 'tls', rules: [{ ...at('serverNames[0]'), serverName: '*.example.com' }] }

type AskedOfHttp = Extract<AskedRequest, { parser: 'http' }>

const get = (path: string, more: Partial<AskedOfHttp> = {}): AskedOfHttp => ({
  parser: 'http',
  method: 'GET',
  path,
  host: '',
  headers: [],
  ...more,
})

/** `allowed by FIELD`; or the nearest rule with what it misses, or why no rule was asked. */
function said(rules: L7Rules, asked: AskedRequest): string {
  const answer = whyRequest(rules, asked)
  if (answer.allowed) return `allowed by ${answer.by.field}`
  if (answer.because !== undefined) return answer.because
  const [nearest] = answer.nearest
  const misses = nearest?.because.map(({ part, wants, has }) => `${part} ${wants} / ${has}`)
  return `${nearest?.field}: ${misses?.join('; ')}`
}

const order = get('/orders', { method: 'POST', host: 'api.shop:8080' })

for (const [name, rules, asked, want] of [
  ['a rule that matches', http, get('/products/7'), 'allowed by rules.http[0]'],
  ['another method', http, get('/products/7', { method: 'PUT' }), 'rules.http[0]: method GET / PUT'],
  ['another path', http, get('/products/x'), 'rules.http[0]: path /products(/[0-9]+)? / /products/x'],
  ['all of it', http, { ...order, headers: [['x-team', 'red']] }, 'allowed by rules.http[1]'],
  ['another header', http, { ...order, headers: [['x-team', 'blue']] }, 'rules.http[1]: header x-team red / blue'],
  ['no header', http, order, 'rules.http[1]: header x-team red / not there'],
  [
    'headers that nobody knows',
    http,
    { ...order, headers: undefined },
    'rules.http[1]: header x-team red / not known here',
  ],
  [
    'a secret',
    http,
    get('/admin', { method: 'PUT', headers: [['x-token', 'guess']] }),
    'rules.http[2]: header x-token the value of secret shop/token, which is not read here / guess',
  ],
  ['two readings', http, get('/products/../admin'), 'its path can be read in more than one way'],
  ['a name', dns, { parser: 'dns', name: 'API.example.org' }, 'allowed by rules.dns[0]'],
  ['a pattern', dns, { parser: 'dns', name: 'www.example.com.' }, 'allowed by rules.dns[1]'],
  [
    'a name that ends alike',
    dns,
    { parser: 'dns', name: 'a.b.example.com' },
    'rules.dns[1]: name *.example.com / a.b.example.com',
  ],
  [
    'a request of Kafka',
    kafka,
    { parser: 'kafka', apiKey: 0, topic: 'orders', clientId: 'shop' },
    'allowed by rules.kafka[0]',
  ],
  [
    'another topic, by nobody',
    kafka,
    { parser: 'kafka', apiKey: 0, topic: 'bills' },
    'rules.kafka[0]: client shop / not said; topic orders / bills',
  ],
  [
    'a version that is not said',
    kafka,
    { parser: 'kafka', apiKey: 1, topic: 'orders' },
    'rules.kafka[1]: version 4 / not said',
  ],
  ['a server', tls, { parser: 'tls', serverName: 'www.example.com' }, 'allowed by serverNames[0]'],
  ['no server', tls, { parser: 'tls', serverName: '' }, 'serverNames[0]: name *.example.com / none'],
  ['a request inside of TLS that ends here', named, get('/products/7'), 'allowed by rules.http[0]'],
  ['TLS that ends here', https, { parser: 'tls', serverName: 'any' }, 'allowed by terminatingTLS'],
  ['for some names', named, { parser: 'tls', serverName: 'www.example.com' }, 'allowed by serverNames[0]'],
  ['not for others', named, { parser: 'tls', serverName: 'any' }, 'serverNames[0]: name www.example.com / any'],
  [
    'TLS to a proxy that begins it',
    { ...http, originating: context },
    { parser: 'tls', serverName: 'any' },
    'connections there are judged as http, which a request of tls is not',
  ],
  ['another protocol', dns, get('/'), 'connections there are judged as dns, which a request of http is not'],
] satisfies readonly (readonly [string, L7Rules, AskedRequest, string])[])
  test(name, () => assert.equal(said(rules, asked), want))

test('no more rules are told than anybody reads, the nearest first', () => {
  const rules = Array.from({ length: 50 }, (_, i) => ({ ...at(`rules.http[${i}]`), path: `/${i}`, headers: [] }))
  const answer = whyRequest({ parser: 'http', rules, serverNames: [] }, get('/x'))
  assert.ok(!answer.allowed)
  assert.deepEqual([answer.nearest.length, answer.ruleCount], [5, 50])
})

test('what was asked, from a flow', () => {
  const message = { method: 'GET', url: 'http://shop:8080/a?b=/c' }
  assert.deepEqual(askedIn({ http: message }), { parser: 'http', method: 'GET', path: '/a?b=/c', host: 'shop:8080' })
  assert.deepEqual(askedIn({ http: { ...message, url: '/a', headers: [{ key: 'X-Team', value: 'red' }] } }), {
    parser: 'http',
    method: 'GET',
    path: '/a',
    host: '',
    headers: [['x-team', 'red']],
    headersArePartial: true,
  })
  assert.equal(askedIn({ kafka: { apiKey: 'HUBBLE_REDACTED', apiVersion: 1 } }), undefined)
  assert.equal(kafkaRequestNumber('Fetch'), 1)
})
