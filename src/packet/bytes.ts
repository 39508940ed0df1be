// Bytes of packets: numbers in network order, a reader that knows its end, and the
// errors of both directions. Pure.

/** A value that does not fit into its field, or a layer that cannot stand where it stands. */
export class PacketError extends Error {
  override readonly name = 'PacketError'
  readonly code = 'INVALID_PACKET'
}

/** The reason of every header that ends too early. */
export const CUT_SHORT = 'cut short'

/** Why a header could not be read. Stays inside this folder: decoding tells it in an `unparsed` layer. */
export class UnparsedError extends Error {
  readonly truncated: boolean

  constructor(reason: string, truncated = false) {
    super(reason)
    this.truncated = truncated
  }
}

const number = (value: number, bytes: 1 | 2 | 4): number[] => {
  if (!Number.isInteger(value) || value < 0 || value >= 256 ** bytes)
    throw new PacketError(`${value} does not fit into ${bytes * 8} bits`)
  return Array.from({ length: bytes }, (_, i) => (value >>> (8 * (bytes - 1 - i))) & 0xff)
}

export const u8 = (value: number): number[] => number(value, 1)
export const u16 = (value: number): number[] => number(value, 2)
export const u32 = (value: number): number[] => number(value, 4)

/** A number of `width` bits for use in a packed field. */
export function bits(value: number, width: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** width)
    throw new PacketError(`${value} does not fit into ${width} bits`)
  return value
}

export function pack(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** Zeros that bring `length` to a multiple of `unit`. */
export const zerosTo = (length: number, unit: number): Uint8Array => new Uint8Array((unit - (length % unit)) % unit)

/** A copy with a 16-bit number in network order at `offset`. */
export function with16(bytes: Uint8Array, offset: number, value: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy.set(u16(value), offset)
  return copy
}

/** Reads from the front. Every read past the end is an UnparsedError. */
export class Reader {
  #rest: Uint8Array

  constructor(bytes: Uint8Array) {
    this.#rest = bytes
  }

  get left(): number {
    return this.#rest.length
  }

  take(length: number): Uint8Array {
    if (length > this.#rest.length) throw new UnparsedError(CUT_SHORT, true)
    const taken = this.#rest.subarray(0, length)
    this.#rest = this.#rest.subarray(length)
    return taken
  }

  u8(): number {
    return this.take(1)[0] ?? 0
  }

  u16(): number {
    const [high = 0, low = 0] = this.take(2)
    return high * 0x100 + low
  }

  u32(): number {
    return this.u16() * 0x10000 + this.u16()
  }

  /** All that is left. */
  rest(): Uint8Array {
    return this.take(this.left)
  }
}
