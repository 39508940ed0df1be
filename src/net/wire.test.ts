// Tests of wire.ts: attributes and headers, both ways, and damaged messages.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { decodeAddress } from './addresses.ts'
import { NetlinkFormatError } from './errors.ts'
import { decodeLink } from './links.ts'
import {
  CONTROL,
  decodeAcknowledgement,
  decodeMessages,
  encodeMessage,
  FLAG,
  type ListProgress,
  ListReader,
  type Message,
} from './message.ts'
import { decodeNeighbour } from './neighbours.ts'
import { decodeRoute } from './routes.ts'
import { decodeRule } from './rules.ts'
import { allClsact, decodeFilter } from './traffic-control.ts'
import {
  attributes,
  bool8,
  encodeAttribute,
  flag,
  ipAddress,
  macAddress,
  message,
  rawBytes,
  text,
  u8,
  u16be,
  u32,
} from './wire.ts'

const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(model, { noNullPrototype: true })
const bytesOf = (maxLength: number) => fc.uint8Array({ maxLength }).map(bytes => Buffer.from(bytes))

const sample = message(
  7,
  { family: [0, u8], index: [3, u32] },
  {
    name: [3, text],
    external: [4, flag],
    info: [18, attributes({ kind: [1, text], port: [2, u16be], data: [3, rawBytes] })],
    enabled: [5, bool8],
    mac: [6, macAddress],
    address: [7, ipAddress],
  },
)

test('a message is laid out as the kernel lays it out', () => {
  const bytes = sample.encode({ family: 2, index: 0x01020304, name: 'eth0', info: { port: 0x1234 } })
  assert.equal(
    bytes.toString('hex'),
    // header of 7 bytes padded to 8; name with its zero, padded; nested attribute.
    ['0200000403020100', '09000300', '6574683000000000', '0c001200', '06000200', '12340000'].join(''),
  )
})

test('decode is the inverse of encode', () => {
  const value = record({
    family: fc.nat(255),
    index: fc.nat(0xffffffff),
    name: fc.string({ maxLength: 20 }).filter(name => !name.includes('\0')),
    external: fc.constant(true),
    info: record({ kind: fc.constantFrom('veth', ''), port: fc.nat(65535), data: bytesOf(9) }),
    enabled: fc.boolean(),
    mac: fc.constant('02:00:00:00:00:01'),
    address: fc.constantFrom('10.0.0.1', 'fd00::1', '::ffff:10.0.0.1'),
  })
  fc.assert(
    fc.property(value, fields => {
      assert.deepEqual(sample.decode(sample.encode(fields)), fields)
    }),
  )
})

test('what is undefined, and a flag that is false, is left out', () => {
  assert.deepEqual(sample.decode(sample.encode({ name: undefined, external: false })), { family: 0, index: 0 })
})

test('attributes that nobody asked for are skipped', () => {
  const bytes = Buffer.concat([
    sample.encode({ index: 7 }),
    encodeAttribute(999, Buffer.from('??')),
    encodeAttribute(3, Buffer.from('lo\0')),
  ])
  assert.deepEqual(sample.decode(bytes), { family: 0, index: 7, name: 'lo' })
})

test('acknowledgements: success, refusal, refusal with reason, capped and whole', async t => {
  const errno = (value: number): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32LE(value)
    return bytes
  }
  const request = encodeMessage({ type: 24, flags: 1, sequence: 9, body: Buffer.from('12345') })
  const reason = encodeAttribute(1, Buffer.from('mtu less than device minimum\0'))
  const missing = encodeAttribute(5, errno(4))
  const cases: readonly {
    name: string
    given: Omit<Message, 'sequence'>
    want: { errno: number; kernelMessage: string }
  }[] = [
    {
      name: 'success',
      given: { type: CONTROL.error, flags: 0x100, body: Buffer.concat([errno(0), request.subarray(0, 16)]) },
      want: { errno: 0, kernelMessage: '' },
    },
    {
      name: 'capped',
      given: { type: CONTROL.error, flags: 0x300, body: Buffer.concat([errno(-22), request.subarray(0, 16), reason]) },
      want: { errno: 22, kernelMessage: 'mtu less than device minimum' },
    },
    {
      name: 'whole',
      given: { type: CONTROL.error, flags: 0x200, body: Buffer.concat([errno(-22), request, reason]) },
      want: { errno: 22, kernelMessage: 'mtu less than device minimum' },
    },
    {
      name: 'missing attribute',
      given: { type: CONTROL.error, flags: 0x300, body: Buffer.concat([errno(-22), request.subarray(0, 16), missing]) },
      want: { errno: 22, kernelMessage: 'attribute 4 is missing' },
    },
    {
      name: 'end of a list',
      given: { type: CONTROL.done, flags: 2, body: errno(0) },
      want: { errno: 0, kernelMessage: '' },
    },
    {
      name: 'end of a list that failed',
      given: { type: CONTROL.done, flags: 0x202, body: Buffer.concat([errno(-2), reason]) },
      want: { errno: 2, kernelMessage: 'mtu less than device minimum' },
    },
  ]
  for (const { name, given, want } of cases)
    await t.test(name, () => assert.deepEqual(decodeAcknowledgement({ ...given, sequence: 1 }), want))
})

test('messages of a datagram are split and put together again', () => {
  const one = record({
    type: fc.nat(0xffff),
    flags: fc.nat(0xffff),
    sequence: fc.nat(0xffffffff),
    body: bytesOf(40),
  })
  fc.assert(
    fc.property(fc.array(one, { maxLength: 5 }), messages => {
      assert.deepEqual(decodeMessages(Buffer.concat(messages.map(encodeMessage))), messages)
    }),
  )
})

test('a list: its parts, its end, an interruption in any part, a refusal at the end', async t => {
  const part = (more: Partial<Message> = {}): Message => ({
    type: 16,
    flags: 2,
    sequence: 7,
    body: Buffer.from('link'),
    ...more,
  })
  const done = (errno = 0): Message => {
    const body = Buffer.alloc(4)
    body.writeInt32LE(-errno)
    return part({ type: CONTROL.done, body })
  }
  const interrupted = part({ flags: 2 | FLAG.dumpInterrupted })
  const cases: readonly { name: string; given: readonly (readonly Message[])[]; want: ListProgress }[] = [
    {
      name: 'two parts',
      given: [
        [part(), part()],
        [part(), done()],
      ],
      want: { kind: 'complete', messages: [part(), part(), part()] },
    },
    { name: 'empty', given: [[done()]], want: { kind: 'complete', messages: [] } },
    { name: 'not ended', given: [[part()]], want: { kind: 'more' } },
    {
      name: 'late answers of another exchange',
      given: [[part({ sequence: 6 }), part()], [done()]],
      want: { kind: 'complete', messages: [part()] },
    },
    { name: 'interrupted first', given: [[interrupted], [part(), done()]], want: { kind: 'interrupted' } },
    {
      name: 'interrupted at the end',
      given: [[part()], [{ ...done(), flags: 2 | FLAG.dumpInterrupted }]],
      want: { kind: 'interrupted' },
    },
    { name: 'refused', given: [[part()], [done(2)]], want: { kind: 'refused', errno: 2, kernelMessage: '' } },
    {
      name: 'refused at once',
      given: [[{ ...done(22), type: CONTROL.error }]],
      want: { kind: 'refused', errno: 22, kernelMessage: '' },
    },
  ]
  for (const { name, given, want } of cases)
    await t.test(name, () => {
      const reader = new ListReader(7)
      assert.deepEqual(given.map(datagram => reader.take(datagram)).at(-1), want)
    })
})

/** Bytes that look like attributes more often than random ones do, nested up to three deep. */
const { attributeRun } = fc.letrec<{ attributeRun: Buffer }>(tie => ({
  attributeRun: fc
    .array(fc.tuple(fc.nat(40), fc.oneof({ maxDepth: 3 }, bytesOf(20), tie('attributeRun'))), { maxLength: 6 })
    .map(list => Buffer.concat(list.map(([type, content]) => encodeAttribute(type, content)))),
}))
const anyBody = fc.oneof(
  bytesOf(80),
  fc.tuple(bytesOf(24), attributeRun, bytesOf(5)).map(parts => Buffer.concat(parts)),
  fc
    .tuple(fc.constantFrom(8, 12, 16, 20), fc.constantFrom(2, 10), attributeRun)
    .map(([size, family, run]) => Buffer.concat([Buffer.alloc(size, family), run])),
)

const DECODERS: Readonly<Record<string, (message: Message) => unknown>> = {
  decodeLink,
  decodeAddress,
  decodeRoute,
  decodeRule,
  decodeNeighbour,
  decodeFilter: reply => decodeFilter(reply, 'ingress'),
  decodeQdisc: reply => allClsact({ index: 1 }).decode(reply),
  decodeAcknowledgement,
}

for (const [name, decode] of Object.entries(DECODERS))
  test(`${name} gives a value or a NetlinkFormatError for any bytes`, () => {
    let values = 0
    let refusals = 0
    fc.assert(
      fc.property(anyBody, fc.nat(0x3ff), fc.constantFrom(2, 3, 16), (body, flags, type) => {
        try {
          decode({ type, flags, sequence: 0, body })
          values++
        } catch (error) {
          assert.ok(error instanceof NetlinkFormatError, String(error))
          refusals++
        }
      }),
      { numRuns: 2000 },
    )
    assert.ok(values > 0 && refusals > 0, `${values} values, ${refusals} refusals: the generator misses a side`)
  })

test('decodeMessages gives messages or a NetlinkFormatError for any bytes', () => {
  fc.assert(
    fc.property(bytesOf(64), bytes => {
      try {
        decodeMessages(bytes)
      } catch (error) {
        assert.ok(error instanceof NetlinkFormatError)
      }
    }),
    { numRuns: 2000 },
  )
})
