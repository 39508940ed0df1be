// Settings of what nobody is to read, and what they take out.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FlowL7 } from './flow.ts'
import { DEFAULT_REDACTION, readRedaction, redacted } from './redaction.ts'

const request = (url: string, ...headers: readonly (readonly [string, string])[]): FlowL7 => ({
  type: 'REQUEST',
  http: { method: 'GET', url, protocol: 'HTTP/1.1', headers: headers.map(([key, value]) => ({ key, value })) },
})

const HEADERS = [
  ['cookie', 'id=1'],
  ['x-team', 'red'],
  ['accept', '*/*'],
] as const

test('what each setting takes out', async t => {
  const cases: readonly {
    readonly name: string
    readonly settings: readonly string[]
    readonly url?: string
    readonly headers: readonly string[]
  }[] = [
    { name: 'nothing is set: secrets alone', settings: [], headers: ['HUBBLE_REDACTED', 'red', '*/*'] },
    {
      name: 'the query',
      settings: ['http.url.query'],
      url: 'http://HUBBLE_REDACTED@shop/a',
      headers: ['HUBBLE_REDACTED', 'red', '*/*'],
    },
    {
      name: 'all headers but some',
      settings: ['http.headers=allow:X-Team, accept'],
      headers: ['HUBBLE_REDACTED', 'red', '*/*'],
    },
    { name: 'every header', settings: ['http.headers=allow:'], headers: Array.from(HEADERS, () => 'HUBBLE_REDACTED') },
    { name: 'some headers', settings: ['http.headers=deny:x-team'], headers: ['id=1', 'HUBBLE_REDACTED', '*/*'] },
    { name: 'no header', settings: ['http.headers=deny:'], headers: ['id=1', 'red', '*/*'] },
  ]
  for (const { name, settings, url = 'http://HUBBLE_REDACTED@shop/a?b=@c', headers } of cases)
    await t.test(name, () => {
      const { http } = redacted(request('http://u:p@shop/a?b=@c', ...HEADERS), readRedaction(settings))
      assert.equal(http?.url, url)
      assert.deepEqual(
        http?.headers?.map(({ value }) => value),
        headers,
      )
    })
})

test('inside of TLS too', () => {
  const all = readRedaction(['http.url.query'])
  assert.equal(redacted(request('https://u:p@shop/a?b'), all).http?.url, 'https://HUBBLE_REDACTED@shop/a')
})

test('an @ in a path is no user', () => {
  assert.equal(redacted(request('http://shop/@me'), DEFAULT_REDACTION).http?.url, 'http://shop/@me')
  assert.equal(redacted(request('/u@v'), DEFAULT_REDACTION).http?.url, '/u@v')
})

test('the kind of a Kafka request', () => {
  const kafka = { apiKey: 'produce', apiVersion: 9, correlationId: 1 }
  const { kafka: shown } = redacted({ type: 'REQUEST', kafka }, readRedaction(['kafka.api-key']))
  assert.deepEqual(shown, { ...kafka, apiKey: 'HUBBLE_REDACTED' })
})

for (const [settings, says] of [
  [['http'], /^http is not one of http\.url\.query, /],
  [['http.headers=authorization'], /is neither http\.headers=allow:NAMES nor =deny:NAMES$/],
  [['http.headers=deny:a b'], /"a b" cannot be the name of a header$/],
  [['http.headers=deny:a', 'http.headers=allow:b'], /headers are redacted in one way$/],
] as const)
  test(`refused: ${settings.join(' ')}`, () => {
    assert.throws(() => readRedaction(settings), { code: 'BAD_REDACTION', message: says })
  })
