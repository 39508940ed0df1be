// Bounds-checked little-endian reads of foreign bytes. A read past the end is a
// FormatError that names what was being read, never a RangeError or garbage.

import { FormatError } from './errors.ts'

const decoder = new TextDecoder()

export class ByteReader {
  readonly length: number
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #what: string

  /** @param what names the bytes in errors, as in "ELF symbol table" */
  constructor(bytes: Uint8Array, what: string) {
    // Never a Buffer: its slice() would share memory where Uint8Array's copies.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.length = bytes.byteLength
    this.#what = what
  }

  u8(offset: number): number {
    this.#require(offset, 1)
    return this.#view.getUint8(offset)
  }

  u16(offset: number): number {
    this.#require(offset, 2)
    return this.#view.getUint16(offset, true)
  }

  u32(offset: number): number {
    this.#require(offset, 4)
    return this.#view.getUint32(offset, true)
  }

  i32(offset: number): number {
    this.#require(offset, 4)
    return this.#view.getInt32(offset, true)
  }

  /** A 64-bit number that must be a safe integer, such as a file offset. */
  size(offset: number): number {
    this.#require(offset, 8)
    const value = this.#view.getBigUint64(offset, true)
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new FormatError(`${this.#what}: absurd size ${value}`)
    return Number(value)
  }

  slice(offset: number, length: number): Uint8Array {
    this.#require(offset, length)
    return this.#bytes.subarray(offset, offset + length)
  }

  /** Text up to the next NUL. */
  text(offset: number): string {
    this.#require(offset, 1)
    const end = this.#bytes.indexOf(0, offset)
    if (end < 0) throw new FormatError(`${this.#what}: text at ${offset} has no end`)
    return decoder.decode(this.#bytes.subarray(offset, end))
  }

  #require(offset: number, length: number): void {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.length))
      throw new FormatError(`${this.#what}: ${length} bytes at ${offset} lie outside its ${this.length} bytes`)
  }
}
