// Values between TypeScript and their C layout. A codec is compiled once from a
// BTF type and then reads and writes a DataView without looking at types again.
// Promises: encoding what was decoded gives the same fields; a value that does not
// fit is a CodecError naming struct and field, never a silent truncation.
//
//   C                                  TypeScript
//   integers of 1, 2, 4 bytes, enum    number
//   integers of 8 bytes, enum64        bigint (a safe integer is taken too)
//   __be16, __be32, __be64             the same, in host order
//   bool                               boolean
//   unsigned char[N], union            Uint8Array of exactly that size
//   char[N]                            string, NUL-padded
//   T[N]                               array of exactly N
//   struct                             object; fields named pad…/_pad… are left out and written as zero

import type { Btf, BtfMember, BtfType } from './btf.ts'
import { CodecError, FormatError } from './errors.ts'
import { bigEndianTypedefs, bitFieldCodec, integerCodec } from './integers.ts'
import { type Codec, describe } from './value.ts'

export type { Codec } from './value.ts'

const MAX_DEPTH = 32
const textDecoder = new TextDecoder()
const textEncoder = new TextEncoder()

/**
 * Compiles the codec of a type.
 * @param label names the value in errors where the type itself has no name
 * @throws FormatError for a type that cannot be exchanged, such as a pointer
 */
export function compileCodec<Value = unknown>(btf: Btf, typeId: number, label = 'value'): Codec<Value> {
  return compile(btf, typeId, pathOf(btf.resolve(typeId), label), 0) as Codec<Value>
}

/** Raw bytes of a fixed size. */
export function bytesCodec(size: number, path = 'value'): Codec<Uint8Array> {
  return {
    size,
    encode(value, view, offset) {
      if (!(value instanceof Uint8Array) || value.length !== size)
        throw new CodecError(path, `wants a Uint8Array of ${size} bytes, got ${describe(value)}`)
      for (let index = 0; index < size; index++) view.setUint8(offset + index, value[index] ?? 0)
    },
    decode: (view, offset) => new Uint8Array(view.buffer, view.byteOffset + offset, size).slice(),
  }
}

function compile(btf: Btf, typeId: number, path: string, depth: number): Codec<unknown> {
  if (depth > MAX_DEPTH) throw new FormatError(`${path}: types nested without end`)
  const type = btf.resolve(typeId)
  const bigEndian = btf.typedefNames(typeId).some(name => bigEndianTypedefs.has(name))
  switch (type.kind) {
    case 'int':
      if (type.size === 16) throw new FormatError(`${path}: 128-bit integers cannot be exchanged`)
      return type.bool ? booleanCodec(path) : integerCodec(type.size, type.signed, bigEndian, path)
    case 'enum':
    case 'enum64':
      return integerCodec(type.size, type.signed, bigEndian, path)
    case 'struct':
      return structCodec(btf, type, path, depth)
    case 'union':
      return bytesCodec(type.size, path)
    case 'array':
      return arrayCodec(btf, type, path, depth)
    default:
      throw new FormatError(`${path}: a ${type.kind} cannot be exchanged with the kernel`)
  }
}

function booleanCodec(path: string): Codec<unknown> {
  return {
    size: 1,
    encode(value, view, offset) {
      if (typeof value !== 'boolean') throw new CodecError(path, `wants a boolean, got ${describe(value)}`)
      view.setUint8(offset, value ? 1 : 0)
    },
    decode: (view, offset) => view.getUint8(offset) !== 0,
  }
}

function arrayCodec(btf: Btf, type: Extract<BtfType, { kind: 'array' }>, path: string, depth: number): Codec<unknown> {
  const element = btf.resolve(type.element)
  if (element.kind === 'int' && element.char) return textCodec(type.length, path)
  if (element.kind === 'int' && element.size === 1 && !element.bool && !element.signed)
    return bytesCodec(type.length, path)

  const item = compile(btf, type.element, `${path}[]`, depth + 1)
  const size = btf.sizeOf(type.id)
  return {
    size,
    encode(value, view, offset) {
      if (!Array.isArray(value) || value.length !== type.length)
        throw new CodecError(path, `wants an array of ${type.length}, got ${describe(value)}`)
      for (let index = 0; index < type.length; index++) item.encode(value[index], view, offset + index * item.size)
    },
    decode(view, offset) {
      const values: unknown[] = []
      for (let index = 0; index < type.length; index++) values.push(item.decode(view, offset + index * item.size))
      return values
    },
  }
}

function textCodec(size: number, path: string): Codec<string> {
  return {
    size,
    encode(value, view, offset) {
      if (typeof value !== 'string') throw new CodecError(path, `wants a string, got ${describe(value)}`)
      const bytes = textEncoder.encode(value)
      if (bytes.length >= size) throw new CodecError(path, `"${value}" is longer than ${size - 1} bytes`)
      for (let index = 0; index < size; index++) view.setUint8(offset + index, bytes[index] ?? 0)
    },
    decode(view, offset) {
      const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, size)
      const end = bytes.indexOf(0)
      return textDecoder.decode(end < 0 ? bytes : bytes.subarray(0, end))
    },
  }
}

type FieldCodec = { readonly name: string; readonly offset: number; readonly codec: Codec<unknown> }

/** Fields that only fill space: left out of decoded objects, written as zero. */
const isPadding = (name: string): boolean => /^_*pad/.test(name)

/** Kernel-owned fields: never readable as a value, zero when written. */
const OPAQUE_STRUCTS: ReadonlySet<string> = new Set(['bpf_spin_lock', 'bpf_timer'])

function structCodec(
  btf: Btf,
  type: Extract<BtfType, { kind: 'struct' }>,
  path: string,
  depth: number,
): Codec<unknown> {
  const fields: FieldCodec[] = []
  collectFields(btf, type.members, 0, path, depth, fields)
  const names = new Set(fields.map(field => field.name))
  if (names.size !== fields.length) throw new FormatError(`${path}: two fields of one name`)
  const zeroed = needsZeroing(type.size, fields)

  return {
    size: type.size,
    encode(value, view, offset) {
      if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value))
        throw new CodecError(path, `wants an object, got ${describe(value)}`)
      const given = value as Readonly<Record<string, unknown>>
      if (zeroed) for (let index = 0; index < type.size; index++) view.setUint8(offset + index, 0)
      for (const { name, offset: fieldOffset, codec } of fields) {
        const field = given[name]
        if (field === undefined) throw new CodecError(`${path}.${name}`, 'is missing')
        codec.encode(field, view, offset + fieldOffset)
      }
      for (const name of Object.keys(given))
        if (!names.has(name) && !(isPadding(name) && isZero(given[name])))
          throw new CodecError(`${path}.${name}`, `there is no such field; fields are ${[...names].join(', ')}`)
    },
    decode(view, offset) {
      const value: Record<string, unknown> = {}
      for (const field of fields) value[field.name] = field.codec.decode(view, offset + field.offset)
      return value
    },
  }
}

function collectFields(
  btf: Btf,
  members: readonly BtfMember[],
  base: number,
  path: string,
  depth: number,
  fields: FieldCodec[],
): void {
  if (depth > MAX_DEPTH) throw new FormatError(`${path}: types nested without end`)
  for (const { name, type: typeId, bitOffset, bitSize } of members) {
    const type = btf.resolve(typeId)
    const opaque = type.kind === 'struct' && OPAQUE_STRUCTS.has(type.name)
    if (isPadding(name) || opaque) continue
    const offset = base + Math.floor(bitOffset / 8)
    if (name === '') {
      if (bitSize > 0) continue // unnamed bit field: padding in C
      if (type.kind !== 'struct') throw new FormatError(`${path}: give its anonymous ${type.kind} a name`)
      collectFields(btf, type.members, offset, path, depth + 1, fields)
    } else if (bitSize > 0) {
      fields.push({ name, offset, codec: bitFieldCodec(type, bitOffset % 8, bitSize, `${path}.${name}`) })
    } else {
      fields.push({ name, offset, codec: compile(btf, typeId, `${path}.${name}`, depth + 1) })
    }
  }
}

/** Bit fields share bytes and gaps must be zero: then the whole struct is zeroed first. */
function needsZeroing(size: number, fields: readonly FieldCodec[]): boolean {
  let covered = 0
  for (const { offset, codec } of fields.toSorted((a, b) => a.offset - b.offset)) {
    if (offset !== covered || codec.size === 0) return true
    covered += codec.size
  }
  return covered !== size
}

const pathOf = (type: BtfType, otherwise: string): string =>
  type.kind === 'struct' && type.name !== '' ? `struct ${type.name}` : otherwise

const isZero = (value: unknown): boolean =>
  value === 0 || value === 0n || (Array.isArray(value) || value instanceof Uint8Array ? value.every(isZero) : false)
