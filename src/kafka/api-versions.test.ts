// What brokers say of their versions reaches clients cut down to what can be judged.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writeAnswer, writeUnsupportedApiVersions } from './answer.ts'
import { capApiVersions } from './api-versions.ts'
import { KAFKA_APIS } from './catalogue.ts'
import { CORRELATION_ID, clientRequest } from './testing/platformatic.ts'

type Parsed = { readonly apiKeys: readonly { apiKey: number; minVersion: number; maxVersion: number }[] }
const versions = KAFKA_APIS.get(18)
const keys = [
  { key: 0, from: 3, to: 13 },
  { key: 1, from: 4, to: 17 },
  { key: 3, from: 0, to: 5 },
  { key: 17, from: 0, to: 1 },
  { key: 68, from: 0, to: 1 },
  { key: 20, from: 6, to: 6 },
]

test('versions that name topics by number and kinds that are not known are left out', () => {
  assert.ok(versions)
  for (let apiVersion = 0; apiVersion <= 4; apiVersion++) {
    const header = { apiVersion, correlationId: CORRELATION_ID }
    const capped = capApiVersions(writeAnswer(versions, header, { keys, throttleTimeMs: 5 }).subarray(4), apiVersion)
    assert.ok(capped)
    const parsed = clientRequest('apiVersions', apiVersion, ['n', '1'])?.parse(capped.subarray(4)) as Parsed
    const ranges = parsed.apiKeys.map(({ apiKey, minVersion, maxVersion }) => [apiKey, minVersion, maxVersion])
    const want = [
      [0, 3, 12],
      [1, 4, 12],
      [3, 0, 5],
      [17, 1, 1],
    ]
    assert.deepEqual(ranges, want, `ApiVersions ${apiVersion}`)
  }
})

test('a broker without the version answers in version 0, and so it is read', () => {
  const header = { apiKey: 18, apiVersion: 9, correlationId: CORRELATION_ID, clientId: undefined }
  const answer = writeUnsupportedApiVersions(header)
  assert.ok(answer)
  assert.deepEqual(capApiVersions(answer.subarray(4), 3), answer)
})

test('an answer that ends too early is none', () => {
  assert.ok(versions)
  const answer = writeAnswer(versions, { apiVersion: 3, correlationId: 1 }, { keys }).subarray(4)
  for (let length = 0; length < 30; length++) assert.equal(capApiVersions(answer.subarray(0, length), 3), undefined)
})
