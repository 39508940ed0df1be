// Netlink payloads declared once: a table of fields and attributes serves to encode
// and to decode. Attributes unknown to a table are skipped, as the kernel adds more
// with every release. Decoding random bytes gives a value or a NetlinkFormatError.
// Integers are in the machine's order, which is little-endian on x86-64 and arm64.

import { AddressSyntaxError, formatIpv4, formatIpv6, formatMac, mac, parseIpv4, parseIpv6 } from '../ip/index.ts'
import { NetlinkFormatError } from './errors.ts'

/** Both directions of one payload. `encode` may answer undefined: leave the attribute out. */
export type Codec<Out, In = Out> = {
  readonly encode: (value: In) => Buffer | undefined
  readonly decode: (bytes: Buffer) => Out
}

const integer = <T>(size: number, read: (bytes: Buffer) => T, write: (bytes: Buffer, value: T) => void): Codec<T> => ({
  encode: value => {
    const bytes = Buffer.alloc(size)
    write(bytes, value)
    return bytes
  },
  decode: bytes => {
    if (bytes.length < size) throw new NetlinkFormatError(`${bytes.length} bytes where ${size} are needed`)
    return read(bytes)
  },
})

export const u8 = integer(
  1,
  bytes => bytes.readUInt8(),
  (bytes, value) => bytes.writeUInt8(value),
)
export const u16 = integer(
  2,
  bytes => bytes.readUInt16LE(),
  (bytes, value) => bytes.writeUInt16LE(value),
)
export const u16be = integer(
  2,
  bytes => bytes.readUInt16BE(),
  (bytes, value) => bytes.writeUInt16BE(value),
)
export const u32 = integer(
  4,
  bytes => bytes.readUInt32LE(),
  (bytes, value) => bytes.writeUInt32LE(value),
)
export const i32 = integer(
  4,
  bytes => bytes.readInt32LE(),
  (bytes, value) => bytes.writeInt32LE(value),
)

/** 0 or 1 in one byte, or in four: the kernel has both. */
export const bool8 = boolean(u8)
export const bool32 = boolean(u32)

/** An attribute without content, whose presence means true. */
export const flag: Codec<boolean> = { encode: value => (value ? Buffer.alloc(0) : undefined), decode: () => true }

/** Text that ends with a zero byte. */
export const text: Codec<string> = {
  encode: value => Buffer.from(`${value}\0`),
  decode: bytes => bytes.toString('utf8', 0, bytes.includes(0) ? bytes.indexOf(0) : bytes.length),
}

export const rawBytes: Codec<Buffer> = { encode: value => value, decode: bytes => bytes }

export const macAddress: Codec<string> = { encode: value => Buffer.from(mac(value)), decode: formatMac }

/** 4 or 16 bytes as canonical text. A mapped IPv6 address keeps its IPv6 spelling: the kernel has such routes. */
export const ipAddress: Codec<string> = {
  encode: value => {
    const bytes = parseIpv4(value) ?? parseIpv6(value)
    if (!bytes) throw new AddressSyntaxError(`"${value}" is not an IP address`)
    return Buffer.from(bytes)
  },
  decode: bytes => {
    if (bytes.length === 4) return formatIpv4(bytes)
    if (bytes.length === 16) return formatIpv6(bytes)
    throw new NetlinkFormatError(`an address of ${bytes.length} bytes`)
  },
}

function boolean(number: Codec<number>): Codec<boolean> {
  return { encode: value => number.encode(value ? 1 : 0), decode: bytes => number.decode(bytes) !== 0 }
}

type AnyCodec = { readonly encode: (value: never) => Buffer | undefined; readonly decode: (bytes: Buffer) => unknown }
type OutOf<C> = C extends { readonly decode: (bytes: Buffer) => infer Out } ? Out : never
type InOf<C> = C extends { readonly encode: (value: infer In) => Buffer | undefined } ? In : never

type AttributeTable = Readonly<Record<string, readonly [type: number, codec: AnyCodec]>>
type AttributesOut<T extends AttributeTable> = { readonly [K in keyof T]?: OutOf<T[K][1]> }
type AttributesIn<T extends AttributeTable> = { readonly [K in keyof T]?: InOf<T[K][1]> | undefined }

/** A run of attributes (`struct nlattr`), also as the content of an outer attribute. What is undefined is left out. */
export function attributes<const T extends AttributeTable>(table: T): Codec<AttributesOut<T>, AttributesIn<T>> {
  const byType = new Map(Object.entries(table).map(([name, [type, codec]]) => [type, { name, codec }]))
  return {
    encode: values => {
      const parts: Buffer[] = []
      for (const [name, [type, codec]] of Object.entries(table)) {
        const value = values[name]
        const content = value === undefined ? undefined : codec.encode(value as never)
        if (content) parts.push(encodeAttribute(type, content))
      }
      return Buffer.concat(parts)
    },
    decode: bytes => {
      const values: Record<string, unknown> = {}
      for (const { type, content } of splitAttributes(bytes)) {
        const known = byType.get(type)
        if (known) values[known.name] = known.codec.decode(content)
      }
      return values as AttributesOut<T>
    },
  }
}

type FieldTable = Readonly<Record<string, readonly [offset: number, codec: Codec<number>]>>
type Fields<T extends FieldTable> = { readonly [K in keyof T]: number }

export type MessageOut<F extends FieldTable, T extends AttributeTable> = Fields<F> & AttributesOut<T>
export type MessageIn<F extends FieldTable, T extends AttributeTable> = {
  readonly [K in keyof F]?: number | undefined
} & AttributesIn<T>

/** A fixed header of `size` bytes (fields left out are 0), then attributes, as one flat value. */
export function message<const F extends FieldTable, const T extends AttributeTable>(
  size: number,
  fields: F,
  table: T,
): { encode: (value: MessageIn<F, T>) => Buffer; decode: (bytes: Buffer) => MessageOut<F, T> } {
  const tail = attributes(table)
  return {
    encode: value => {
      const header = Buffer.alloc(align(size))
      for (const [name, [offset, codec]] of Object.entries(fields))
        codec.encode((value as Readonly<Record<string, number | undefined>>)[name] ?? 0)?.copy(header, offset)
      return Buffer.concat([header, tail.encode(value) ?? Buffer.alloc(0)])
    },
    decode: bytes => {
      if (bytes.length < size)
        throw new NetlinkFormatError(`a header of ${bytes.length} bytes where ${size} are needed`)
      const header = Object.entries(fields).map(([name, [offset, codec]]) => [
        name,
        codec.decode(bytes.subarray(offset, size)),
      ])
      return { ...Object.fromEntries(header), ...tail.decode(bytes.subarray(Math.min(align(size), bytes.length))) }
    },
  }
}

const ATTRIBUTE_HEADER = 4
/** The upper two bits say "nested" and "network byte order". */
const ATTRIBUTE_TYPE_MASK = 0x3fff

export const align = (length: number): number => Math.ceil(length / 4) * 4

export function encodeAttribute(type: number, content: Uint8Array): Buffer {
  const bytes = Buffer.alloc(align(ATTRIBUTE_HEADER + content.length))
  bytes.writeUInt16LE(ATTRIBUTE_HEADER + content.length, 0)
  bytes.writeUInt16LE(type, 2)
  bytes.set(content, ATTRIBUTE_HEADER)
  return bytes
}

export function* splitAttributes(bytes: Buffer): Generator<{ type: number; content: Buffer }> {
  for (let at = 0; at + ATTRIBUTE_HEADER <= bytes.length; ) {
    const length = bytes.readUInt16LE(at)
    if (length < ATTRIBUTE_HEADER || at + length > bytes.length)
      throw new NetlinkFormatError(`an attribute of ${length} bytes in ${bytes.length - at}`)
    yield {
      type: bytes.readUInt16LE(at + 2) & ATTRIBUTE_TYPE_MASK,
      content: bytes.subarray(at + ATTRIBUTE_HEADER, at + length),
    }
    at += align(length)
  }
}
