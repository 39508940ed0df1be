// What is no request, or none that is let through, is refused with a reason; in pieces
// of any size a request is read as in one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { writeAnswer, writeDenial } from './answer.ts'
import { capApiVersions } from './api-versions.ts'
import { KAFKA_APIS } from './catalogue.ts'
import { continuesSession, withoutSession } from './fetch-session.ts'
import { cutMetadata } from './metadata.ts'
import { MAX_REQUEST_BYTES, parseRequest, RequestReader } from './request.ts'
import type { Field, Fields } from './schema.ts'
import { isField, mayBeNull } from './schema.ts'
import { clientRequest } from './testing/platformatic.ts'
import { MessageWriter, writeFields } from './writer.ts'

const bytesOf = (...parts: (number[] | string)[]): Uint8Array =>
  Buffer.concat(parts.map(part => (typeof part === 'string' ? Buffer.from(part, 'utf8') : Buffer.from(part))))

const HEADER = [0, 3, 0, 1, 0, 0, 0, 9, 0, 1]
const REFUSED: readonly { name: string; bytes: Uint8Array; code: string; reason: RegExp }[] = [
  { name: 'nothing', bytes: bytesOf(), code: 'malformed', reason: /cannot be of 0 bytes/ },
  { name: 'HTTP', bytes: bytesOf('GET / HTTP/1.1\r\n\r\n'), code: 'malformed', reason: /does not begin as a request/ },
  { name: 'a key of nobody', bytes: bytesOf([0, 99, 0, 0, 0, 0, 0, 1, 255, 255]), code: 'version', reason: /key 99/ },
  {
    name: 'a Fetch that names topics by number',
    bytes: bytesOf([0, 1, 0, 13, 0, 0, 0, 1, 255, 255]),
    code: 'version',
    reason: /version 13 of fetch/,
  },
  {
    name: 'a handshake that raw bytes follow',
    bytes: bytesOf([0, 17, 0, 0, 0, 0, 0, 1, 255, 255]),
    code: 'version',
    reason: /version 0 of saslhandshake/,
  },
  {
    name: 'a client id that is too long',
    bytes: bytesOf([...HEADER.slice(0, 8), 1, 0]),
    code: 'malformed',
    reason: /longer/,
  },
  { name: 'a negative length', bytes: bytesOf([...HEADER.slice(0, 8), 128, 0]), code: 'malformed', reason: /negative/ },
  { name: 'a topic of null', bytes: bytesOf(HEADER, 'c', [0, 0, 0, 1, 255, 255]), code: 'malformed', reason: /null/ },
  { name: 'text that is none', bytes: bytesOf(HEADER, [255]), code: 'malformed', reason: /UTF-8/ },
  {
    name: 'a list without end',
    bytes: bytesOf(HEADER, 'c', [127, 255, 255, 255]),
    code: 'malformed',
    reason: /a list/,
  },
  { name: 'bytes after the end', bytes: bytesOf(HEADER, 'c', [0, 0, 0, 0, 0]), code: 'malformed', reason: /longer/ },
]

for (const { name, bytes, code, reason } of REFUSED)
  test(`${name} is refused`, () => {
    const refusal = parseRequest(bytes)
    assert.ok('code' in refusal)
    assert.equal(refusal.code, code)
    assert.match(refusal.reason, reason)
  })

test('a request of more than brokers take is refused before any of it is there', () => {
  assert.equal(new RequestReader(MAX_REQUEST_BYTES + 1).push(new Uint8Array(0))?.code, 'malformed')
})

test('any bytes are refused or read, and never throw', () => {
  const header = fc.tuple(fc.integer({ min: 0, max: 48 }), fc.integer({ min: 0, max: 13 }))
  const given = fc.tuple(header, fc.uint8Array({ maxLength: 300 }))
  fc.assert(
    fc.property(given, ([[key, version], rest]) => {
      for (const bytes of [rest, Buffer.concat([Buffer.from([0, key, 0, version]), rest])]) {
        const request = parseRequest(bytes)
        if ('api' in request) {
          writeDenial(request)
          cutMetadata(request, topic => topic.length > 2)?.cut(rest)
        } else assert.ok(request.reason)
        capApiVersions(bytes, version)
      }
    }),
    { numRuns: 3000 },
  )
})

/** Values of any message of a kind in a version. */
function valuesOf(fields: Fields, version: number): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, valueOf(field, version)])))
}

function valueOf(field: Field<unknown>, version: number): fc.Arbitrary<unknown> {
  const value = ((): fc.Arbitrary<unknown> => {
    switch (field.kind) {
      case 'bool':
        return fc.boolean()
      case 'int8':
        return fc.integer({ min: -128, max: 127 })
      case 'int16':
        return fc.integer({ min: -0x8000, max: 0x7fff })
      case 'int32':
        return fc.integer({ min: -0x80000000, max: 0x7fffffff })
      case 'int64':
        return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
      case 'uuid':
        return fc.uint8Array({ minLength: 16, maxLength: 16 })
      case 'text':
        return fc.string({ unit: 'grapheme', maxLength: 200 })
      case 'bytes':
      case 'records':
        return fc.uint8Array({ maxLength: 300 })
      case 'list': {
        const element = field.element ?? {}
        return fc.array(isField(element) ? valueOf(element, version) : valuesOf(element, version), { maxLength: 3 })
      }
    }
  })()
  return mayBeNull(field, version) ? fc.option(value, { nil: null }) : value
}

const anyRequest = fc
  .constantFrom(...[...KAFKA_APIS.values()].filter(api => api.request))
  .chain(api => fc.tuple(fc.constant(api), fc.integer({ min: api.versions[0], max: api.versions[1] })))
  .chain(([api, version]) =>
    fc.record({ api: fc.constant(api), version: fc.constant(version), values: valuesOf(api.request ?? {}, version) }),
  )
  .map(({ api, version, values }) => {
    const writer = new MessageWriter()
    const flexible = version >= api.flexibleFrom
    writer.int16(api.key)
    writer.int16(version)
    writer.int32(1)
    writer.int16(-1)
    if (flexible) writer.varint(0)
    writeFields(api.request ?? {}, values, writer, { version, flexible })
    return { api, version, bytes: writer.frame().subarray(4) }
  })

test('every request that can be written is read, and in pieces as in one; cut off it is not', () => {
  fc.assert(
    fc.property(anyRequest, fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 20 }), ({ bytes }, sizes) => {
      const whole = parseRequest(bytes)
      assert.ok('api' in whole, 'reason' in whole ? whole.reason : '')
      const reader = new RequestReader(bytes.length)
      let at = 0
      for (const size of [...sizes, bytes.length]) {
        assert.equal(reader.push(bytes.subarray(at, at + size)), undefined)
        reader.soFar?.topics?.map(topic => topic.length)
        at = Math.min(bytes.length, at + size)
      }
      assert.deepEqual(reader.request, whole)
      const cut = parseRequest(bytes.subarray(0, bytes.length - 1))
      assert.ok('code' in cut)
      const denial = writeDenial(whole)
      assert.equal(denial && new DataView(denial.buffer, denial.byteOffset).getInt32(0), denial && denial.length - 4)
    }),
    { numRuns: 2000 },
  )
})

test('Metadata is cut down to what a client may know, in every version, as the client reads it', () => {
  const api = KAFKA_APIS.get(3)
  assert.ok(api)
  for (let version = 0; version <= 12; version++)
    for (const [asked, topics, want] of [
      ['some', ['secret', 'orders'], [0, 29]],
      ['all', version === 0 ? [] : null, [0]],
    ] as const) {
      const sent = clientRequest('metadata', version, [topics])
      const request = parseRequest(sent?.bytes ?? Buffer.alloc(0))
      assert.ok(sent && 'api' in request)
      const cut = cutMetadata(request, topic => topic === 'orders')
      assert.ok(cut)
      const onward = parseRequest(cut.request.subarray(4))
      assert.ok('api' in onward)
      assert.deepEqual(onward.topics, asked === 'some' ? ['orders'] : undefined)
      const known = (asked === 'some' ? ['orders'] : ['secret', 'orders']).map(name => ({
        name,
        partitions: [{ index: 4 }],
      }))
      const values = { brokers: [{ id: 5, host: 'b', port: 9 }], clusterId: 'c', controllerId: 5, topics: known }
      const answer = cut.cut(writeAnswer(api, request.header, values).subarray(4))
      assert.ok(answer)
      let parsed: unknown
      try {
        parsed = sent.parse(answer.subarray(4))
      } catch (error) {
        parsed = (error as { response?: unknown }).response
      }
      const { brokers, topics: told } = parsed as {
        brokers: { host: string }[]
        topics: { name: string; errorCode: number }[]
      }
      assert.equal(brokers[0]?.host, 'b')
      assert.deepEqual(
        told.map(({ errorCode }) => errorCode),
        want,
        `Metadata ${version} of ${asked}`,
      )
      assert.deepEqual(cut.cut(answer.subarray(4, 20)), undefined)
    }
})

test('a Fetch is made to want no session, whatever it wanted', () => {
  for (let version = 7; version <= 12; version++) {
    const topics = [{ topic: 't', topicId: 't', partitions: [] }]
    const sent = clientRequest('fetch', version, [100, 1, 1000, 0, 17, 0, topics, [], 'r'])
    const plain = clientRequest('fetch', version, [100, 1, 1000, 0, 0, -1, topics, [], 'r'])
    assert.ok(sent && plain)
    const request = parseRequest(sent.bytes)
    assert.ok('api' in request)
    const patch = withoutSession(request)
    assert.ok(patch)
    sent.bytes.set(patch.bytes, patch.offset)
    assert.deepEqual(sent.bytes, plain.bytes)
  }
})

test('a Fetch that relies on what an earlier one named is known as such', () => {
  for (const [session, epoch, want] of [
    [0, -1, false],
    [0, 0, false],
    [9, -1, false],
    [9, 3, true],
  ] as const) {
    const request = parseRequest(
      clientRequest('fetch', 12, [1, 1, 1, 0, session, epoch, [], [], ''])?.bytes ?? Buffer.alloc(0),
    )
    assert.ok('api' in request)
    assert.equal(continuesSession(request), want)
  }
})
