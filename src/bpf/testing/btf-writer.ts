// Writes BTF for tests, so that types can be made without a compiler. Each method
// adds one type and returns its id.

import { Btf } from '../btf.ts'

const INT_SIGNED = 1
const INT_BOOL = 4

export class BtfWriter {
  readonly #types: Buffer[] = []
  #strings = '\0'

  int(name: string, size: number, encoding: 'signed' | 'unsigned' | 'bool' = 'unsigned'): number {
    const flags = { signed: INT_SIGNED, unsigned: 0, bool: INT_BOOL }[encoding]
    return this.#add(1, name, size, false, 0, [(flags << 24) | (8 * size)])
  }

  pointer(target: number): number {
    return this.#add(2, '', target)
  }

  array(element: number, length: number): number {
    return this.#add(3, '', 0, false, 0, [element, element, length])
  }

  struct(
    name: string,
    size: number,
    members: readonly (readonly [name: string, type: number, offset: number])[],
  ): number {
    return this.#composite(4, name, size, members)
  }

  union(
    name: string,
    size: number,
    members: readonly (readonly [name: string, type: number, offset: number])[],
  ): number {
    return this.#composite(5, name, size, members)
  }

  /** Members of bit fields: offset and width in bits; a width of 0 is a plain member. */
  bitStruct(
    name: string,
    size: number,
    members: readonly (readonly [name: string, type: number, bitOffset: number, bits: number])[],
  ): number {
    const words = members.flatMap(([member, type, bitOffset, bits]) => [
      this.#text(member),
      type,
      (bits << 24) | bitOffset,
    ])
    return this.#add(4, name, size, true, members.length, words)
  }

  enum(name: string, values: Readonly<Record<string, number>>, signed = false): number {
    const words = Object.entries(values).flatMap(([constant, value]) => [this.#text(constant), value])
    return this.#add(6, name, 4, signed, words.length / 2, words)
  }

  enum64(name: string, values: Readonly<Record<string, bigint>>, signed = false): number {
    const words = Object.entries(values).flatMap(([constant, value]) => {
      const bits = BigInt.asUintN(64, value)
      return [this.#text(constant), Number(bits & 0xffff_ffffn), Number(bits >> 32n)]
    })
    return this.#add(19, name, 8, signed, words.length / 3, words)
  }

  typedef(name: string, target: number): number {
    return this.#add(8, name, target)
  }

  const(target: number): number {
    return this.#add(10, '', target)
  }

  bytes(): Uint8Array {
    const types = Buffer.concat(this.#types)
    const strings = Buffer.from(this.#strings, 'latin1')
    const header = Buffer.alloc(24)
    header.writeUInt16LE(0xeb9f, 0)
    header.writeUInt8(1, 2)
    header.writeUInt32LE(24, 4)
    header.writeUInt32LE(types.length, 12)
    header.writeUInt32LE(types.length, 16)
    header.writeUInt32LE(strings.length, 20)
    return new Uint8Array(Buffer.concat([header, types, strings]))
  }

  btf(): Btf {
    return new Btf(this.bytes())
  }

  #composite(
    kind: number,
    name: string,
    size: number,
    members: readonly (readonly [name: string, type: number, offset: number])[],
  ): number {
    const words = members.flatMap(([member, type, offset]) => [this.#text(member), type, 8 * offset])
    return this.#add(kind, name, size, false, members.length, words)
  }

  #text(text: string): number {
    if (text === '') return 0
    const offset = this.#strings.length
    this.#strings += `${text}\0`
    return offset
  }

  #add(kind: number, name: string, word: number, flag = false, count = 0, words: readonly number[] = []): number {
    const record = Buffer.alloc(12 + 4 * words.length)
    record.writeUInt32LE(this.#text(name), 0)
    record.writeUInt32LE(((flag ? 1 << 31 : 0) | (kind << 24) | count) >>> 0, 4)
    record.writeUInt32LE(word, 8)
    words.forEach((value, index) => record.writeInt32LE(value | 0, 12 + 4 * index))
    this.#types.push(record)
    return this.#types.length
  }
}
