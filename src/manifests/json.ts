// A document that is plain JSON, as kubectl and API servers write it, read many times
// faster than YAML is. It says what yaml.ts would say, to the last position; whatever is
// not plain, or wrong, is left to yaml.ts (tested against it).

import type { Position } from './object.ts'
import { NotPlain, type PlainLimits, type PlainRead, readPlain } from './plain.ts'
import type { YamlDocument, YamlPosition } from './yaml.ts'

const NUMBER = /-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?(?![\d.eE+-])/y
const ESCAPE = /\\(?:u(?![dD][89a-fA-F])[\da-fA-F]{4}|["\\/bfnrt])/g
/** YAML takes no longer ones without a mark of their own. */
const MAX_KEY_CHARACTERS = 1000

/** @returns undefined for what is not an object in plain JSON within the limits: that is not to say that it is wrong */
export function readPlainJson(text: string, limits: PlainLimits): YamlDocument | undefined {
  if (!/^[\n ]*\{/.test(text)) return undefined
  return readPlain(text, () => new JsonReader(text, limits).readDocument())
}

class JsonReader {
  readonly #text: string
  readonly #limits: PlainLimits
  #at = 0
  #line = 1
  #lineStart = 0
  #values = 0

  constructor(text: string, limits: PlainLimits) {
    this.#text = text
    this.#limits = limits
  }

  readDocument(): PlainRead {
    this.#skipBlanks()
    const read = this.#read(0)
    this.#skipBlanks()
    if (this.#at < this.#text.length) throw new NotPlain()
    return read
  }

  #read(depth: number): PlainRead {
    if (depth > this.#limits.depth || ++this.#values > this.#limits.values) throw new NotPlain()
    const start = this.#position()
    switch (this.#text[this.#at]) {
      case '{':
        return this.#readObject(start, depth)
      case '[':
        return this.#readArray(start, depth)
      case '"':
        return { value: this.#readString(), position: start }
      default:
        return { value: this.#readWord(), position: start }
    }
  }

  #readObject(start: Position, depth: number): PlainRead {
    const value: Record<string, unknown> = {}
    const children = new Map<string, YamlPosition>()
    for (let isMore = this.#opens('}'); isMore; isMore = this.#goesOn('}')) {
      const { line, column } = this.#position()
      const key = this.#readString()
      if (children.has(key) || key === '__proto__' || key === '<<' || key.length > MAX_KEY_CHARACTERS)
        throw new NotPlain()
      while (this.#text[this.#at] === ' ') this.#at++
      this.#take(':')
      this.#skipBlanks()
      const read = this.#read(depth + 1)
      value[key] = read.value
      children.set(key, { ...read.position, line, column })
    }
    return { value, position: { ...start, children, range: { start, end: this.#position() } } }
  }

  #readArray(start: Position, depth: number): PlainRead {
    const read: PlainRead[] = []
    for (let isMore = this.#opens(']'); isMore; isMore = this.#goesOn(']')) read.push(this.#read(depth + 1))
    const children = new Map(read.map((item, i) => [i, item.position]))
    // Not pushed one by one: that leaves room for more, which of many short lists is much.
    const value = read.map(item => item.value)
    return { value, position: { ...start, children } }
  }

  /** @returns whether there is a first item */
  #opens(end: string): boolean {
    this.#at++
    this.#skipBlanks()
    if (this.#text[this.#at] !== end) return true
    this.#at++
    return false
  }

  /** @returns whether there is another item */
  #goesOn(end: string): boolean {
    this.#skipBlanks()
    const next = this.#text[this.#at++]
    if (next === end) return false
    if (next !== ',') throw new NotPlain()
    this.#skipBlanks()
    return true
  }

  #readString(): string {
    this.#take('"')
    let end = this.#text.indexOf('"', this.#at)
    while (end > 0 && this.#isEscaped(end)) end = this.#text.indexOf('"', end + 1)
    if (end < 0) throw new NotPlain()
    const written = this.#text.slice(this.#at, end)
    this.#at = end + 1
    if (written.includes('\n')) throw new NotPlain()
    if (!written.includes('\\')) return written
    if (written.replace(ESCAPE, '').includes('\\')) throw new NotPlain()
    return JSON.parse(`"${written}"`) as string
  }

  /** After an odd number of backslashes. */
  #isEscaped(at: number): boolean {
    let first = at
    while (this.#text[first - 1] === '\\') first--
    return (at - first) % 2 === 1
  }

  #readWord(): unknown {
    for (const [word, value] of WORDS)
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length
        return value
      }
    NUMBER.lastIndex = this.#at
    const [number] = NUMBER.exec(this.#text) ?? []
    if (number === undefined) throw new NotPlain()
    this.#at += number.length
    return Number(number)
  }

  #take(character: string): void {
    if (this.#text[this.#at++] !== character) throw new NotPlain()
  }

  #skipBlanks(): void {
    for (;;) {
      const character = this.#text[this.#at]
      if (character !== ' ' && character !== '\n') return
      this.#at++
      if (character === '\n') {
        this.#line++
        this.#lineStart = this.#at
      }
    }
  }

  #position(): Position {
    return { line: this.#line, column: this.#at - this.#lineStart + 1 }
  }
}

/** What follows one is no part of it: only a comma, a bracket or a blank is taken there. */
const WORDS: readonly (readonly [string, unknown])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
]
