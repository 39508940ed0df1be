// A document in the plain block style in which most manifests are written: mappings and
// lists by indentation, values of one line. Read many times faster than all of YAML is,
// with the same outcome to the last position; whatever is not plain, or wrong, is left to
// yaml.ts (tested against it).

import type { Position } from './object.ts'
import { NotPlain, type PlainLimits, type PlainRead, readPlain } from './plain.ts'
import type { YamlDocument, YamlPosition } from './yaml.ts'

const KEY = /^([A-Za-z_][\w./-]{0,200}|"[\w ./-]{1,200}"):(?: +(\S.*))?$/
/** No comment, no mapping, nothing that stands for something else at its beginning. */
const TEXT = /^[A-Za-z/](?:[^:#]|:(?=[^ ]))*$/
const QUOTED = /^(?:"([^"\\]*)"|'([^']*)')$/
const ADDRESS = /^\d{1,3}(?:\.\d{1,3}){3}(?:\/\d{1,2})?$/
const NUMBER = /^-?(?:0|[1-9]\d{0,14})$/
/** Of YAML 1.1 and 1.2: they mean something else than their letters. */
const WORD = /^(?:y|yes|on|true|n|no|off|false|null)$/i

type Line = { readonly number: number; readonly indent: number; readonly text: string }

/** @returns undefined for what is not a plain mapping within the limits: that is not to say that it is wrong */
export const readPlainYaml = (text: string, limits: PlainLimits): YamlDocument | undefined =>
  readPlain(text, () => new BlockReader(text, limits).readDocument())

class BlockReader {
  readonly #lines: Line[]
  readonly #limits: PlainLimits
  readonly #end: Position
  #at = 0
  #values = 0

  constructor(text: string, limits: PlainLimits) {
    const lines = text.split('\n')
    this.#limits = limits
    this.#end = { line: lines.length, column: (lines.at(-1) ?? '').length + 1 }
    this.#lines = []
    for (const [i, line] of lines.entries()) {
      const content = withoutIndent(line)
      // A comment further down may belong to the block before it.
      if (content.startsWith('#') && this.#lines.length > 0) throw new NotPlain()
      if (content !== '' && !content.startsWith('#'))
        this.#lines.push({ number: i + 1, indent: line.length - content.length, text: content })
    }
  }

  readDocument(): PlainRead {
    const [first] = this.#lines
    if (!first || first.text.startsWith('-')) throw new NotPlain()
    const read = this.#readMapping(first.indent, 0)
    if (this.#at < this.#lines.length) throw new NotPlain()
    return read
  }

  #readMapping(indent: number, depth: number): PlainRead {
    this.#count(depth)
    const value: Record<string, unknown> = {}
    const children = new Map<string, YamlPosition>()
    const start = this.#here()
    for (let line = this.#next(indent); line && !isItem(line.text); line = this.#next(indent)) {
      const [, written = '', text] = KEY.exec(line.text) ?? []
      const key = written.startsWith('"') ? written.slice(1, -1) : written
      if (key === '' || key === '__proto__' || (key === written && WORD.test(key)) || children.has(key))
        throw new NotPlain()
      const at = this.#here()
      const read = text === undefined ? this.#readBelow(line, depth + 1) : this.#readLine(line, text, depth + 1)
      value[key] = read.value
      children.set(key, { ...read.position, line: at.line, column: at.column })
    }
    if (children.size === 0) throw new NotPlain()
    return { value, position: { ...start, children, range: { start, end: this.#afterLast() } } }
  }

  /** What a key has on the lines below it. */
  #readBelow(line: Line, depth: number): PlainRead {
    this.#at++
    const below = this.#lines[this.#at]
    if (!below || below.indent < line.indent) throw new NotPlain()
    if (isItem(below.text)) return this.#readList(below.indent, depth)
    if (below.indent === line.indent) throw new NotPlain()
    return this.#readMapping(below.indent, depth)
  }

  #readList(indent: number, depth: number): PlainRead {
    this.#count(depth)
    const read: PlainRead[] = []
    const start = this.#here()
    for (let line = this.#next(indent); line && isItem(line.text); line = this.#next(indent)) {
      const text = withoutIndent(line.text.slice(1))
      if (text === '' || text.startsWith('-')) throw new NotPlain()
      const inner = { number: line.number, indent: indent + line.text.length - text.length, text }
      if (KEY.test(text)) {
        this.#lines[this.#at] = inner
        read.push(this.#readMapping(inner.indent, depth + 1))
      } else read.push(this.#readLine(inner, text, depth + 1))
    }
    const children = new Map(read.map((item, i) => [i, item.position]))
    // Not pushed one by one: that leaves room for more, which of many short lists is much.
    const value = read.map(item => item.value)
    return { value, position: { ...start, children } }
  }

  /** A value on the line of its key or of its dash. */
  #readLine(line: Line, text: string, depth: number): PlainRead {
    this.#count(depth)
    this.#at++
    const column = line.indent + line.text.length - text.length + 1
    const position = { line: line.number, column }
    if (text === '[]') return { value: [], position: { ...position, children: new Map() } }
    if (text !== '{}') return { value: scalarOf(text), position }
    const range = { start: position, end: { line: line.number, column: column + 2 } }
    return { value: {}, position: { ...position, children: new Map(), range } }
  }

  /** The next line of a block; undefined when the block has ended. */
  #next(indent: number): Line | undefined {
    const line = this.#lines[this.#at]
    if (!line || line.indent < indent) return undefined
    if (line.indent > indent || line.text.endsWith(' ')) throw new NotPlain()
    return line
  }

  #here(): Position {
    const { number = 1, indent = 0 } = this.#lines[this.#at] ?? {}
    return { line: number, column: indent + 1 }
  }

  /** A block ends where the line after it begins. */
  #afterLast(): Position {
    const { number = 0 } = this.#lines[this.#at - 1] ?? {}
    return number < this.#end.line ? { line: number + 1, column: 1 } : this.#end
  }

  #count(depth: number): void {
    if (depth > this.#limits.depth || ++this.#values > this.#limits.values) throw new NotPlain()
  }
}

/** Blanks of Unicode indent nothing: to YAML they are letters. */
const withoutIndent = (text: string): string => text.replace(/^ +/, '')

const isItem = (text: string): boolean => text.startsWith('- ') || text === '-'

function scalarOf(text: string): unknown {
  const quoted = QUOTED.exec(text)
  if (quoted) return quoted[1] ?? quoted[2]
  if (text === 'true' || text === 'false') return text === 'true'
  if (NUMBER.test(text)) return Number(text)
  if ((TEXT.test(text) && !WORD.test(text)) || ADDRESS.test(text)) return text
  throw new NotPlain()
}
