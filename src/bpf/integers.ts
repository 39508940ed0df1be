// Codecs of integers: by width, sign and byte order, and bit fields. Values out
// of range are refused, so nothing is ever truncated on its way to the kernel.

import type { BtfType } from './btf-types.ts'
import { CodecError, FormatError } from './errors.ts'
import { type Codec, describe } from './value.ts'

/** Typedefs of linux/types.h whose values are kept in network byte order. */
export const bigEndianTypedefs: ReadonlySet<string> = new Set(['__be16', '__be32', '__be64'])

export function integerCodec(size: number, signed: boolean, bigEndian: boolean, path: string): Codec<unknown> {
  if (size === 8) return longCodec(signed, !bigEndian, path)
  if (size !== 1 && size !== 2 && size !== 4) throw new FormatError(`${path}: an integer of ${size} bytes`)
  const little = !bigEndian
  const [minimum, maximum] = range(size * 8, signed)
  const write = WRITERS[size]
  const read = (signed ? SIGNED_READERS : READERS)[size]
  return {
    size,
    encode(value, view, offset) {
      write(view, offset, inRange(value, minimum, maximum, path), little)
    },
    decode: (view, offset) => read(view, offset, little),
  }
}

/** A bit field of up to 32 bits, little-endian as clang lays it out for BPF. Encoding expects zeroed bytes. */
export function bitFieldCodec(type: BtfType, shift: number, bits: number, path: string): Codec<unknown> {
  if (type.kind !== 'int' && type.kind !== 'enum') throw new FormatError(`${path}: a bit field of kind ${type.kind}`)
  if (bits > 32) throw new FormatError(`${path}: a bit field of ${bits} bits`)
  const bytes = Math.ceil((shift + bits) / 8)
  const isBool = type.kind === 'int' && type.bool
  const signed = type.signed && !isBool
  const [minimum, maximum] = range(bits, signed)
  const mask = (1n << BigInt(bits)) - 1n
  return {
    size: 0,
    encode(value, view, offset) {
      const number = inRange(isBool && typeof value === 'boolean' ? Number(value) : value, minimum, maximum, path)
      const placed = (BigInt(number) & mask) << BigInt(shift)
      for (let index = 0; index < bytes; index++) {
        const byte = Number((placed >> BigInt(8 * index)) & 0xffn)
        view.setUint8(offset + index, view.getUint8(offset + index) | byte)
      }
    },
    decode(view, offset) {
      let all = 0n
      for (let index = 0; index < bytes; index++) all |= BigInt(view.getUint8(offset + index)) << BigInt(8 * index)
      const value = (all >> BigInt(shift)) & mask
      if (isBool) return value !== 0n
      return Number(signed ? BigInt.asIntN(bits, value) : value)
    },
  }
}

function longCodec(signed: boolean, little: boolean, path: string): Codec<unknown> {
  const minimum = signed ? -(1n << 63n) : 0n
  const maximum = signed ? (1n << 63n) - 1n : (1n << 64n) - 1n
  return {
    size: 8,
    encode(value, view, offset) {
      const number = typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value
      if (typeof number !== 'bigint' || number < minimum || number > maximum)
        throw new CodecError(path, `wants a bigint from ${minimum} to ${maximum}, got ${describe(value)}`)
      view.setBigUint64(offset, BigInt.asUintN(64, number), little)
    },
    decode: signed
      ? (view, offset) => view.getBigInt64(offset, little)
      : (view, offset) => view.getBigUint64(offset, little),
  }
}

const range = (bits: number, signed: boolean): readonly [number, number] =>
  signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1]

function inRange(value: unknown, minimum: number, maximum: number, path: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < minimum || value > maximum)
    throw new CodecError(path, `wants an integer from ${minimum} to ${maximum}, got ${describe(value)}`)
  return value
}

type Read = (view: DataView, offset: number, little: boolean) => number
type Write = (view: DataView, offset: number, value: number, little: boolean) => void

const READERS: Readonly<Record<1 | 2 | 4, Read>> = {
  1: (view, offset) => view.getUint8(offset),
  2: (view, offset, little) => view.getUint16(offset, little),
  4: (view, offset, little) => view.getUint32(offset, little),
}
const SIGNED_READERS: Readonly<Record<1 | 2 | 4, Read>> = {
  1: (view, offset) => view.getInt8(offset),
  2: (view, offset, little) => view.getInt16(offset, little),
  4: (view, offset, little) => view.getInt32(offset, little),
}
// A two's-complement write is the same for both signs.
const WRITERS: Readonly<Record<1 | 2 | 4, Write>> = {
  1: (view, offset, value) => view.setUint8(offset, value),
  2: (view, offset, value, little) => view.setUint16(offset, value, little),
  4: (view, offset, value, little) => view.setUint32(offset, value, little),
}
