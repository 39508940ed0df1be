// The wire form of BTF: header, type records, strings. One record a type, as a
// tagged union. Bounds, string offsets and sizes are checked here; references
// between types are checked where they are followed (btf.ts).

import { ByteReader } from './bytes.ts'
import { FormatError } from './errors.ts'

export type BtfMember = {
  readonly name: string
  readonly type: number
  readonly bitOffset: number
  /** Width of a bit field; 0 for a plain member. */
  readonly bitSize: number
}

type Named<Kind extends string> = { readonly kind: Kind; readonly id: number; readonly name: string }
type Reference<Kind extends string> = Named<Kind> & { readonly target: number }
type Composite<Kind extends string> = Named<Kind> & { readonly size: number; readonly members: readonly BtfMember[] }

export type BtfSectionVariable = {
  readonly type: number
  readonly offset: number
  readonly size: number
  /** Where the record stands in the BTF bytes. */
  readonly position: number
}

export type BtfType =
  | Named<'void'>
  | (Named<'int'> & { readonly size: number; readonly signed: boolean; readonly bool: boolean; readonly char: boolean })
  | (Named<'float'> & { readonly size: number })
  | Reference<'pointer'>
  | (Named<'array'> & { readonly element: number; readonly length: number })
  | Composite<'struct'>
  | Composite<'union'>
  | (Named<'enum'> & {
      readonly size: number
      readonly signed: boolean
      readonly values: readonly (readonly [string, number])[]
    })
  | (Named<'enum64'> & {
      readonly size: number
      readonly signed: boolean
      readonly values: readonly (readonly [string, bigint])[]
    })
  | Named<'forward'>
  | Reference<'typedef'>
  | Reference<'volatile'>
  | Reference<'const'>
  | Reference<'restrict'>
  | Reference<'type_tag'>
  | Reference<'decl_tag'>
  | (Reference<'function'> & { readonly linkage: number; readonly position: number })
  | Reference<'prototype'>
  | (Reference<'variable'> & { readonly linkage: number })
  | (Named<'section'> & {
      readonly size: number
      readonly variables: readonly BtfSectionVariable[]
      readonly position: number
    })

/** Kinds that only rename or qualify another type. */
export const resolvableKinds: ReadonlySet<BtfType['kind']> = new Set([
  'typedef',
  'volatile',
  'const',
  'restrict',
  'type_tag',
])

const MAGIC = 0xeb9f
const KIND_BITS = 31
const REFERENCES: Readonly<
  Record<number, 'pointer' | 'typedef' | 'volatile' | 'const' | 'restrict' | 'type_tag' | 'prototype'>
> = { 2: 'pointer', 8: 'typedef', 9: 'volatile', 10: 'const', 11: 'restrict', 13: 'prototype', 18: 'type_tag' }

/** A type record's fixed part, and readers for what follows it. */
type TypeRecord = {
  readonly id: number
  readonly name: string
  readonly kind: number
  readonly count: number
  readonly flag: boolean
  /** `size` or `type`, by kind. */
  readonly word: number
  readonly at: number
}

/** @throws FormatError */
export function parseTypes(bytes: Uint8Array): BtfType[] {
  const reader = new ByteReader(bytes, 'BTF')
  if (reader.length < 24 || reader.u16(0) !== MAGIC) throw new FormatError('not BTF of this byte order')
  if (reader.u8(2) !== 1) throw new FormatError(`BTF of unknown version ${reader.u8(2)}`)
  const header = reader.u32(4)
  const strings = new ByteReader(reader.slice(header + reader.u32(16), reader.u32(20)), 'BTF strings')
  const start = header + reader.u32(8)
  const end = start + reader.u32(12)

  const types: BtfType[] = [{ kind: 'void', id: 0, name: '' }]
  for (let at = start; at < end; ) {
    const info = reader.u32(at + 4)
    const record: TypeRecord = {
      id: types.length,
      name: strings.text(reader.u32(at)),
      kind: (info >>> 24) & KIND_BITS,
      count: info & 0xffff,
      flag: info >>> 31 === 1,
      word: reader.u32(at + 8),
      at,
    }
    types.push(readType(record, reader, strings))
    at += 12 + trailingBytes(record)
  }
  return types
}

/** Bytes of a record after its first twelve. */
function trailingBytes({ kind, count, id }: TypeRecord): number {
  switch (kind) {
    case 1: // int
    case 14: // variable
    case 17: // declaration tag
      return 4
    case 3: // array
      return 12
    case 4: // struct
    case 5: // union
    case 15: // section
    case 19: // 64-bit enum
      return 12 * count
    case 6: // enum
    case 13: // function prototype
      return 8 * count
    case 2:
    case 7:
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
    case 16:
    case 18:
      return 0
    default:
      throw new FormatError(`BTF type ${id} is of unknown kind ${kind}`)
  }
}

function readType(record: TypeRecord, reader: ByteReader, strings: ByteReader): BtfType {
  const { id, name, kind, word, count, flag } = record
  const at = record.at + 12
  const each = <Item>(width: number, read: (at: number) => Item): Item[] =>
    Array.from({ length: count }, (_, index) => read(at + index * width))

  const reference = REFERENCES[kind]
  if (reference) return { kind: reference, id, name, target: word }
  switch (kind) {
    case 1: {
      const encoding = reader.u32(at) >>> 24
      const bits = reader.u32(at) & 0xff
      if (![1, 2, 4, 8, 16].includes(word) || bits !== word * 8)
        throw new FormatError(`BTF int ${name} of ${bits} bits in ${word} bytes`)
      return {
        kind: 'int',
        id,
        name,
        size: word,
        signed: (encoding & 1) !== 0,
        bool: (encoding & 4) !== 0,
        char: name === 'char',
      }
    }
    case 3:
      return { kind: 'array', id, name, element: reader.u32(at), length: reader.u32(at + 8) }
    case 4:
    case 5: {
      const members = each(12, member => {
        const offset = reader.u32(member + 8)
        return {
          name: strings.text(reader.u32(member)),
          type: reader.u32(member + 4),
          bitOffset: flag ? offset & 0xff_ffff : offset,
          bitSize: flag ? offset >>> 24 : 0,
        }
      })
      return { kind: kind === 4 ? 'struct' : 'union', id, name, size: word, members }
    }
    case 6: {
      const values = each(8, value => {
        const number = flag ? reader.i32(value + 4) : reader.u32(value + 4)
        return [strings.text(reader.u32(value)), number] as const
      })
      return { kind: 'enum', id, name, size: word, signed: flag, values }
    }
    case 7:
      return { kind: 'forward', id, name }
    case 12:
      return { kind: 'function', id, name, target: word, linkage: count, position: record.at }
    case 14:
      return { kind: 'variable', id, name, target: word, linkage: reader.u32(at) }
    case 15: {
      const variables = each(12, variable => ({
        type: reader.u32(variable),
        offset: reader.u32(variable + 4),
        size: reader.u32(variable + 8),
        position: variable,
      }))
      return { kind: 'section', id, name, size: word, variables, position: record.at }
    }
    case 16:
      return { kind: 'float', id, name, size: word }
    case 17:
      return { kind: 'decl_tag', id, name, target: word }
    case 19: {
      const values = each(12, value => {
        const bits = (BigInt(reader.u32(value + 8)) << 32n) | BigInt(reader.u32(value + 4))
        return [strings.text(reader.u32(value)), flag ? BigInt.asIntN(64, bits) : bits] as const
      })
      return { kind: 'enum64', id, name, size: word, signed: flag, values }
    }
    default:
      throw new FormatError(`BTF type ${id} is of unknown kind ${kind}`)
  }
}
