// Codecs: bytes for bytes what C lays out, errors that name the field, and the
// round trip of random values.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { bytesCodec, type Codec, compileCodec } from './codec.ts'
import { CodecError, FormatError } from './errors.ts'
import { BtfWriter } from './testing/btf-writer.ts'

const writer = new BtfWriter()
const u8 = writer.int('unsigned char', 1)
const s8 = writer.int('signed char', 1, 'signed')
const char = writer.int('char', 1, 'signed')
const u16 = writer.int('unsigned short', 2)
const s16 = writer.int('short', 2, 'signed')
const u32 = writer.int('unsigned int', 4)
const s32 = writer.int('int', 4, 'signed')
const u64 = writer.int('unsigned long long', 8)
const s64 = writer.int('long long', 8, 'signed')
const i128 = writer.int('__int128', 16, 'signed')
const bool = writer.int('_Bool', 1, 'bool')
const be16 = writer.typedef('__be16', writer.typedef('__u16', u16))
const be32 = writer.typedef('__be32', u32)
const be64 = writer.typedef('__be64', u64)
const port = writer.const(writer.typedef('port_t', be16))
const color = writer.enum('color', { RED: 1, HIGH: 0x8000_0000 })
const signedColor = writer.enum('signed_color', { LOW: -1 }, true)
const wide = writer.enum64('wide', { SMALL: 1n, HUGE: 1n << 40n })
const nested = writer.struct('nested', 8, [
  ['port', be16, 0],
  ['pad0', u16, 2],
  ['address', be32, 4],
])
const holey = writer.struct('holey', 8, [
  ['small', u8, 0],
  ['large', u32, 4],
])
const withUnion = writer.struct('with_union', 4, [
  [
    'either',
    writer.union('', 4, [
      ['word', u32, 0],
      ['octets', writer.array(u8, 4), 0],
    ]),
    0,
  ],
])
const anonymous = writer.struct('anonymous', 8, [
  ['first', u32, 0],
  ['', writer.struct('', 4, [['second', u32, 0]]), 4],
])
const anonymousUnion = writer.struct('anonymous_union', 4, [['', writer.union('', 4, [['word', u32, 0]]), 0]])
const bits = writer.bitStruct('bits', 8, [
  ['low', u32, 0, 3],
  ['middle', u32, 3, 7],
  ['negative', s32, 10, 5],
  ['flag', bool, 15, 1],
  ['', u32, 16, 4],
  ['across', u32, 28, 8],
  ['plain', u16, 48, 0],
])
const locked = writer.struct('locked', 8, [
  ['lock', writer.struct('bpf_spin_lock', 4, [['val', u32, 0]]), 0],
  ['count', u32, 4],
])
const array = {
  bytes: writer.array(u8, 4),
  text: writer.array(char, 4),
  signed: writer.array(s8, 2),
  ports: writer.array(be16, 2),
  structs: writer.array(nested, 2),
}
const withPointer = writer.struct('with_pointer', 8, [['next', writer.pointer(u32), 0]])
const btf = writer.btf()

const bytesOf = (type: number, value: unknown): number[] => {
  const codec = compileCodec(btf, type)
  const bytes = new Uint8Array(codec.size + 4).fill(0xaa)
  codec.encode(value, new DataView(bytes.buffer), 2)
  assert.deepEqual([bytes[0], bytes[1], bytes.at(-2), bytes.at(-1)], [0xaa, 0xaa, 0xaa, 0xaa], 'only its own bytes')
  return [...bytes.subarray(2, -2)]
}
const valueOf = (type: number, bytes: readonly number[]): unknown => {
  const shifted = Uint8Array.from([0xaa, ...bytes])
  return compileCodec(btf, type).decode(new DataView(shifted.buffer), 1)
}

describe('codec', () => {
  const cases: { name: string; type: number; value: unknown; bytes: number[] }[] = [
    { name: 'u8', type: u8, value: 255, bytes: [255] },
    { name: 's8', type: s8, value: -2, bytes: [254] },
    { name: 'u16', type: u16, value: 0x1234, bytes: [0x34, 0x12] },
    { name: 's16', type: s16, value: -2, bytes: [254, 255] },
    { name: 'u32', type: u32, value: 0xfffffffe, bytes: [254, 255, 255, 255] },
    { name: 's32', type: s32, value: -2, bytes: [254, 255, 255, 255] },
    { name: 'u64', type: u64, value: 2n ** 64n - 1n, bytes: Array(8).fill(255) },
    { name: 's64', type: s64, value: -1n, bytes: Array(8).fill(255) },
    { name: '__be16 behind typedefs and const', type: port, value: 0x1234, bytes: [0x12, 0x34] },
    { name: '__be32', type: be32, value: 0x7f000001, bytes: [127, 0, 0, 1] },
    { name: '__be64', type: be64, value: 258n, bytes: [0, 0, 0, 0, 0, 0, 1, 2] },
    { name: 'bool', type: bool, value: true, bytes: [1] },
    { name: 'enum', type: color, value: 0x80000000, bytes: [0, 0, 0, 0x80] },
    { name: 'signed enum', type: signedColor, value: -1, bytes: [255, 255, 255, 255] },
    { name: '64-bit enum', type: wide, value: 1n << 40n, bytes: [0, 0, 0, 0, 0, 1, 0, 0] },
    { name: 'bytes', type: array.bytes, value: Uint8Array.of(1, 2, 3, 4), bytes: [1, 2, 3, 4] },
    { name: 'text', type: array.text, value: 'ab', bytes: [97, 98, 0, 0] },
    { name: 'signed bytes', type: array.signed, value: [-1, 1], bytes: [255, 1] },
    { name: 'array of big-endian', type: array.ports, value: [1, 2], bytes: [0, 1, 0, 2] },
    { name: 'struct', type: nested, value: { port: 80, address: 1 }, bytes: [0, 80, 0, 0, 0, 0, 0, 1] },
    {
      name: 'array of structs',
      type: array.structs,
      value: [
        { port: 1, address: 2 },
        { port: 3, address: 4 },
      ],
      bytes: [0, 1, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 0, 0, 4],
    },
    { name: 'holes are zero', type: holey, value: { small: 1, large: 2 }, bytes: [1, 0, 0, 0, 2, 0, 0, 0] },
    { name: 'union', type: withUnion, value: { either: Uint8Array.of(1, 2, 3, 4) }, bytes: [1, 2, 3, 4] },
    { name: 'anonymous struct', type: anonymous, value: { first: 1, second: 2 }, bytes: [1, 0, 0, 0, 2, 0, 0, 0] },
    { name: 'kernel-owned lock', type: locked, value: { count: 5 }, bytes: [0, 0, 0, 0, 5, 0, 0, 0] },
    {
      name: 'bit fields',
      type: bits,
      value: { low: 5, middle: 100, negative: -3, flag: true, across: 0xa5, plain: 7 },
      // 5 | 100<<3 | (-3 & 31)<<10 | 1<<15, then 0xa5<<28 over the word's end
      bytes: [0x25, 0xf7, 0x00, 0x50, 0x0a, 0x00, 0x07, 0x00],
    },
  ]
  for (const { name, type, value, bytes } of cases)
    test(name, () => {
      assert.deepEqual(bytesOf(type, value), bytes)
      assert.deepEqual(valueOf(type, bytes), value)
    })

  test('a safe integer is taken for a 64-bit one', () => {
    assert.deepEqual(bytesOf(u64, 5), [5, 0, 0, 0, 0, 0, 0, 0])
  })

  test('a padding field may be given, as zero', () => {
    assert.deepEqual(bytesOf(nested, { port: 1, address: 0, pad0: 0 }), [0, 1, 0, 0, 0, 0, 0, 0])
    assert.throws(() => bytesOf(nested, { port: 1, address: 0, pad0: 1 }), CodecError)
  })

  const refused: { name: string; type: number; value: unknown; path: string; says: RegExp }[] = [
    { name: 'too large', type: u16, value: 65536, path: 'value', says: /0 to 65535, got 65536/ },
    { name: 'negative', type: u32, value: -1, path: 'value', says: /got -1/ },
    { name: 'fraction', type: u32, value: 1.5, path: 'value', says: /got 1.5/ },
    { name: 'not a number', type: u8, value: '1', path: 'value', says: /got "1"/ },
    { name: 'too large for 64 bits', type: u64, value: 1n << 64n, path: 'value', says: /bigint/ },
    { name: 'unsafe integer', type: u64, value: 2 ** 60, path: 'value', says: /bigint/ },
    { name: 'bool', type: bool, value: 1, path: 'value', says: /boolean/ },
    { name: 'text too long', type: array.text, value: 'abcd', path: 'value', says: /longer than 3/ },
    {
      name: 'bytes of another length',
      type: array.bytes,
      value: new Uint8Array(3),
      path: 'value',
      says: /4 bytes, got 3/,
    },
    { name: 'array of another length', type: array.ports, value: [1], path: 'value', says: /array of 2/ },
    {
      name: 'field too large',
      type: nested,
      value: { port: 1e9, address: 1 },
      path: 'struct nested.port',
      says: /65535/,
    },
    { name: 'missing field', type: nested, value: { port: 1 }, path: 'struct nested.address', says: /is missing/ },
    {
      name: 'unknown field',
      type: nested,
      value: { port: 1, address: 1, prot: 6 },
      path: 'struct nested.prot',
      says: /no such field; fields are port, address/,
    },
    { name: 'no object', type: nested, value: null, path: 'struct nested', says: /wants an object/ },
    {
      name: 'deep in an array',
      type: array.structs,
      value: [
        { port: 1, address: 1 },
        { port: -1, address: 1 },
      ],
      path: 'value[].port',
      says: /-1/,
    },
    { name: 'bit field too large', type: bits, value: { low: 8 }, path: 'struct bits.low', says: /0 to 7/ },
  ]
  for (const { name, type, value, path, says } of refused)
    test(`refused: ${name}`, () => {
      assert.throws(
        () => bytesOf(type, value),
        (error: unknown) => {
          assert.ok(error instanceof CodecError)
          assert.equal(error.path, path)
          assert.match(error.message, says)
          return true
        },
      )
    })

  test('types that cannot be exchanged are refused when the codec is made', () => {
    assert.throws(() => compileCodec(btf, withPointer), /struct with_pointer.next: a pointer cannot/)
    assert.throws(() => compileCodec(btf, anonymousUnion), /give its anonymous union a name/)
    assert.throws(() => compileCodec(btf, i128), FormatError)
    assert.throws(() => compileCodec(btf, 9999), FormatError)
  })

  test('a Buffer is taken for bytes, what comes out is a copy', () => {
    const codec: Codec<Uint8Array> = bytesCodec(3)
    const memory = new Uint8Array(3)
    codec.encode(Buffer.from([1, 2, 3]), new DataView(memory.buffer), 0)
    const value = codec.decode(new DataView(memory.buffer), 0)
    memory.fill(9)
    assert.deepEqual(value, Uint8Array.of(1, 2, 3))
  })

  test('any bytes decode to a value that encodes to the same bytes', () => {
    for (const type of [u16, s32, be32, u64, s64, be64, array.structs, bits, withUnion]) {
      const codec = compileCodec(btf, type)
      fc.assert(
        fc.property(fc.uint8Array({ minLength: codec.size, maxLength: codec.size }), bytes => {
          const value = codec.decode(new DataView(bytes.buffer, bytes.byteOffset), 0)
          const again = new Uint8Array(codec.size)
          codec.encode(value, new DataView(again.buffer), 0)
          assert.deepEqual(codec.decode(new DataView(again.buffer), 0), value)
        }),
      )
    }
  })
})

describe('layouts', () => {
  test('offsets and sizes by name and path', () => {
    const layout = btf.struct('nested')
    assert.deepEqual([layout.size, layout.field('address').offset, layout.field('address').size], [8, 4, 4])
    assert.deepEqual(Object.keys(layout.fields), ['port', 'pad0', 'address'])
    assert.equal(btf.struct('anonymous').field('second').offset, 4)
    assert.equal(btf.struct('with_union').field('either.octets').offset, 0)
    assert.throws(() => layout.field('absent'), /struct nested has no field absent/)
    assert.throws(() => btf.struct('absent'), /no struct absent/)
  })

  test('enum tables', () => {
    assert.deepEqual(btf.enumValues('color'), { RED: 1, HIGH: 0x80000000 })
    assert.deepEqual(btf.enumValues('signed_color'), { LOW: -1 })
    assert.deepEqual(btf.enumValues('wide'), { SMALL: 1, HUGE: 2 ** 40 })
    assert.throws(() => btf.enumValues('absent'), /no enum absent/)
  })
})
