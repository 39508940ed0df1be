// Where every field of an object stands, in a few bytes a field. Positions are asked for
// when something is wrong with an object, and kept as long as it: of tens of thousands of
// objects they must weigh less than what the objects say.

import { isFields } from './metadata.ts'
import type { Path, Position } from './object.ts'
import type { YamlPosition } from './yaml.ts'

/**
 * The positions of a value and of all inside it, in the order of its fields. Each is written as: lines below the value
 * that it is in, column, length of what follows for the values inside it; then those. A string, since one of characters
 * below 256 takes a byte for each and little besides, which no typed array does.
 */
export type PackedPositions = string

/** @param value must not change, for the order of its fields tells whose position is which */
export function packPositions(value: unknown, positioned: YamlPosition): PackedPositions {
  const reversed: number[] = []
  writeReversed(reversed, value, positioned, 0)
  reversed.reverse()
  let packed = ''
  for (let i = 0; i < reversed.length; i += CHUNK) packed += String.fromCharCode(...reversed.slice(i, i + CHUNK))
  return packed
}

/** An item of a long list that was asked for, by where the list begins: those after it are found from there. */
export type LastItem = { list: number; index: number; at: number }

export const NO_ITEM: LastItem = { list: -1, index: 0, at: 0 }

/**
 * Where a path of the packed value stands; else its nearest ancestor.
 * @param last of the same value, kept by the caller: whoever asks for all items of a list pays for each once
 */
export function unpackPosition(
  packed: PackedPositions,
  value: unknown,
  path: Path,
  last: LastItem = { ...NO_ITEM },
): Position {
  const cursor = new Cursor(packed)
  let { line, column } = cursor.read(0)
  let inside = value
  for (const part of path) {
    const index = indexOf(inside, part)
    if (index === undefined) break
    cursor.pass(index, last)
    const position = cursor.read(line)
    line = position.line
    column = position.column
    inside = partOf(inside, part)
  }
  return { line, column }
}

/** From here on it is worth while to remember a place. */
const LONG_LIST = 16

/** Most arguments of one call. */
const CHUNK = 4096

/** From the end to the beginning, so that the length of what is inside is known when it is written. */
function writeReversed(out: number[], value: unknown, position: YamlPosition, parentLine: number): void {
  const before = out.length
  for (const part of partsOf(value).toReversed())
    writeReversed(out, partOf(value, part), position.children?.get(part) ?? position, position.line)
  writeNumber(out, out.length - before)
  writeNumber(out, position.column)
  const down = position.line - parentLine
  // What an alias stands for is above it: the sign is the last bit.
  writeNumber(out, down < 0 ? -down * 2 - 1 : down * 2)
}

/** Seven bits a byte; all bytes of a number but its last have the eighth bit. */
function writeNumber(out: number[], number: number): void {
  out.push(number % 128)
  for (let rest = Math.floor(number / 128); rest > 0; rest = Math.floor(rest / 128)) out.push(128 + (rest % 128))
}

class Cursor {
  readonly #packed: PackedPositions
  #at = 0

  constructor(packed: PackedPositions) {
    this.#packed = packed
  }

  /** The position here; goes on to the values inside it. */
  read(parentLine: number): Position {
    const signed = this.#number()
    const line = parentLine + (signed % 2 === 1 ? -(signed + 1) / 2 : signed / 2)
    const column = this.#number()
    this.#number()
    return { line, column }
  }

  /** Goes past so many values. */
  pass(count: number, last: LastItem): void {
    const list = this.#at
    let passed = 0
    if (last.list === list && last.index <= count) {
      passed = last.index
      this.#at = last.at
    }
    for (; passed < count; passed++) this.#skip()
    if (count >= LONG_LIST) Object.assign(last, { list, index: count, at: this.#at })
  }

  #skip(): void {
    this.#number()
    this.#number()
    const length = this.#number()
    this.#at += length
  }

  #number(): number {
    let number = 0
    let byte: number
    do {
      byte = this.#packed.charCodeAt(this.#at++)
      number = number * 128 + (byte & 127)
    } while (byte & 128)
    return number
  }
}

function partsOf(value: unknown): readonly (string | number)[] {
  if (Array.isArray(value)) return [...value.keys()]
  return isFields(value) ? Object.keys(value) : []
}

function partOf(value: unknown, part: string | number): unknown {
  return (value as Readonly<Record<string | number, unknown>>)[part]
}

function indexOf(value: unknown, part: string | number): number | undefined {
  if (Array.isArray(value)) return typeof part === 'number' && part in value ? part : undefined
  if (typeof part !== 'string' || !isFields(value) || !Object.hasOwn(value, part)) return undefined
  return Object.keys(value).indexOf(part)
}
