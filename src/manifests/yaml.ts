// One YAML document to plain values, with the position of every field. Reads YAML as
// Kubernetes' tools do: 1.1's booleans and octal numbers, merge keys, but no dates and
// no base-60 numbers. Promises to end: depth, size and the growth through aliases are
// limited. Duplicate keys are errors: no tool agrees on which one wins.

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type ScalarTag,
  type YAMLError,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'
import { readPlainJson } from './json.ts'
import type { Path, Position, TextRange } from './object.ts'
import { formatPath } from './object.ts'
import { readPlainYaml } from './plain-yaml.ts'

/** Deepest nesting; real objects stay under 20. */
export const MAX_DEPTH = 64
/** Most values in one document, counting what aliases stand for each time. */
export const MAX_VALUES = 200_000
const LIMITS = { depth: MAX_DEPTH, values: MAX_VALUES }

/** Where a value and the values inside it stand. */
export type YamlPosition = Position & {
  readonly children?: ReadonlyMap<string | number, YamlPosition>
  /** The value's own text; for mappings. */
  readonly range?: TextRange
}

export type YamlProblem = Position & {
  readonly severity: 'error' | 'warning'
  readonly message: string
  readonly path?: string
}

export type YamlDocument = {
  /** Undefined when nothing could be made of the text; null when it is empty. */
  readonly value: unknown
  readonly position: YamlPosition
  readonly problems: readonly YamlProblem[]
}

/** Parses one document: a text without document markers. Positions are relative to it. Never throws. */
export const parseYaml = (text: string): YamlDocument =>
  readPlainJson(text, LIMITS) ?? readPlainYaml(text, LIMITS) ?? parseAnyYaml(text)

/** The same of whatever is YAML, which takes many times as long. */
export function parseAnyYaml(text: string): YamlDocument {
  const lines = new LineCounter()
  const document = parseDocument(text, { ...OPTIONS, lineCounter: lines })
  const fault = document.errors.find(error => error.code === 'RESOURCE_EXHAUSTION') ?? document.errors[0]
  const start = positionAt(lines, 0)
  // The errors that follow the first one are mostly its echoes.
  if (fault) return { value: undefined, position: start, problems: [syntaxProblem(fault, lines)] }
  const problems = document.warnings.map(warning => ({
    ...syntaxProblem(warning, lines),
    severity: 'warning' as const,
  }))
  const reader = new Reader(lines, problems)
  const { value, position } = reader.read(document)
  return reader.failed ? { value: undefined, position, problems } : { value, position, problems }
}

const YAML_1_1_BOOLEAN: ScalarTag = {
  tag: 'tag:yaml.org,2002:bool',
  default: true,
  test: /^(?:y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE|n|N|no|No|NO|off|Off|OFF|false|False|FALSE)$/,
  resolve: source => /^(?:y|t|on)/i.test(source),
}

const YAML_1_1_OCTAL: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  test: /^[-+]?0[0-7]+$/,
  resolve: source => Number.parseInt(source, 8),
}

const OPTIONS = {
  version: '1.2',
  schema: 'core',
  merge: true,
  customTags: (tags: readonly (ScalarTag | string | object)[]) =>
    [YAML_1_1_BOOLEAN, YAML_1_1_OCTAL, ...tags] as ScalarTag[],
  // The library's own check takes time with the square of a mapping's size; Reader does it.
  uniqueKeys: false,
  prettyErrors: false,
  logLevel: 'silent',
} as const

const HINTS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'tabs are not allowed as indentation; use spaces',
  BAD_INDENT: 'wrong indentation',
  BLOCK_AS_IMPLICIT_KEY: 'a mapping cannot begin here; is the line indented wrongly, or a value with ": " not quoted?',
  MULTILINE_IMPLICIT_KEY: 'a key must be on one line; is a ":" missing, or the indentation wrong?',
  MISSING_CHAR: 'something is missing',
  RESOURCE_EXHAUSTION: 'nested too deeply',
}

function syntaxProblem(fault: YAMLError, lines: LineCounter): YamlProblem {
  const hint = HINTS[fault.code]
  const detail = fault.message.charAt(0).toLowerCase() + fault.message.slice(1)
  const message = hint === undefined ? detail : `${hint} (${detail})`
  return { severity: 'error', message, ...positionAt(lines, fault.pos[0]) }
}

function positionAt(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset)
  return { line: Math.max(1, line), column: Math.max(1, col) }
}

type Read = {
  readonly value: unknown
  readonly position: YamlPosition
  /** Number of values in it. */
  readonly size: number
}

/** Thrown inside Reader only, to end reading at once. */
class LimitExceeded extends Error {}

class Reader {
  failed = false
  readonly #lines: LineCounter
  readonly #problems: YamlProblem[]
  /** What each anchor stands for; undefined while its value is being read. */
  readonly #anchors = new Map<string, Read | undefined>()
  #values = 0

  constructor(lines: LineCounter, problems: YamlProblem[]) {
    this.#lines = lines
    this.#problems = problems
  }

  read(document: Document.Parsed): Read {
    const start = positionAt(this.#lines, document.contents?.range?.[0] ?? 0)
    try {
      return this.#read(document.contents, start, [])
    } catch (error) {
      if (!(error instanceof LimitExceeded)) throw error
      return { value: undefined, position: start, size: 0 }
    }
  }

  #read(node: unknown, fallback: Position, path: Path): Read {
    const position = isNode(node) && node.range ? positionAt(this.#lines, node.range[0]) : fallback
    if (path.length > MAX_DEPTH) this.#giveUp(`nested more than ${MAX_DEPTH} levels deep`, position)
    if (isAlias(node)) return this.#readAlias(node.source, position, path)
    const anchor = isNode(node) && 'anchor' in node && typeof node.anchor === 'string' ? node.anchor : undefined
    if (anchor !== undefined) this.#anchors.set(anchor, undefined)
    const read = this.#readValue(node, position, path)
    if (anchor !== undefined) this.#anchors.set(anchor, read)
    return read
  }

  #readValue(node: unknown, position: Position, path: Path): Read {
    this.#count(1, position)
    if (isMap(node)) return this.#readMap(node, position, path)
    if (isSeq(node)) return this.#readSeq(node, position, path)
    return { value: isScalar(node) ? node.value : null, position, size: 1 }
  }

  /** What an alias stands for is shared, not copied; it counts each time, so that aliases of aliases come to an end. */
  #readAlias(name: string, position: Position, path: Path): Read {
    const target = this.#anchors.get(name)
    if (target) {
      this.#count(target.size, position)
      return { ...target, position: { ...target.position, ...position } }
    }
    const reason = this.#anchors.has(name) ? 'stands inside what it stands for' : `has no anchor &${name} before it`
    this.#report('error', `the alias *${name} ${reason}`, position, path)
    return { value: null, position, size: 1 }
  }

  #readSeq(node: YAMLSeq, position: Position, path: Path): Read {
    const before = this.#values
    const read = node.items.map((item, i) => this.#read(item, position, [...path, i]))
    const children = new Map(read.map((item, i) => [i, item.position]))
    // Not pushed one by one: that leaves room for more, which of many short lists is much.
    const value = read.map(item => item.value)
    return { value, position: { ...position, children }, size: this.#values - before + 1 }
  }

  #readMap(node: YAMLMap, position: Position, path: Path): Read {
    const before = this.#values
    const value: Record<string, unknown> = {}
    const children = new Map<string, YamlPosition>()
    const merged: Read[] = []
    for (const pair of node.items) {
      const at = isNode(pair.key) && pair.key.range ? positionAt(this.#lines, pair.key.range[0]) : position
      if (isMergeKey(pair)) {
        merged.push(this.#read(pair.value, at, path))
        continue
      }
      const key = this.#readKey(pair, at, path)
      if (key === undefined) continue
      const first = children.get(key)
      if (first) {
        this.#report('error', `duplicate key "${key}"; it is on line ${first.line} already`, at, [...path, key])
        continue
      }
      const read = this.#read(pair.value, at, [...path, key])
      value[key] = read.value
      children.set(key, { ...read.position, ...at })
    }
    for (const source of merged) this.#merge(source, value, children, path)
    const end = node.range?.[1]
    const range = end === undefined ? undefined : { start: position, end: positionAt(this.#lines, end) }
    return { value, position: { ...position, children, ...(range && { range }) }, size: this.#values - before + 1 }
  }

  /** The name of a field. Kubernetes' fields are strings; `__proto__` would be the prototype of a plain object. */
  #readKey(pair: Pair, position: Position, path: Path): string | undefined {
    const key = isScalar(pair.key) ? pair.key : undefined
    const value = key?.value
    if (typeof value === 'string' && value !== '__proto__') return value
    if (typeof value === 'number' || typeof value === 'boolean') {
      const text = key?.source ?? String(value)
      if (typeof value === 'number') return text
      const message = `the key ${text} reads as a boolean in YAML; write "${text}" for the string`
      this.#report('warning', message, position, path)
      return text
    }
    const message = value === '__proto__' ? 'the key __proto__ is not allowed' : 'a key must be a string'
    this.#report('error', message, position, path)
    return undefined
  }

  /** `<<: *base`: fields that the mapping has itself win, then those of the source named first. */
  #merge(source: Read, value: Record<string, unknown>, children: Map<string, YamlPosition>, path: Path): void {
    if (Array.isArray(source.value)) {
      source.value.forEach((item: unknown, i) => {
        const position = source.position.children?.get(i) ?? source.position
        this.#merge({ value: item, position, size: 1 }, value, children, path)
      })
    } else if (typeof source.value === 'object' && source.value !== null) {
      for (const [key, merged] of Object.entries(source.value)) {
        if (children.has(key)) continue
        this.#count(1, source.position)
        value[key] = merged
        children.set(key, source.position.children?.get(key) ?? source.position)
      }
    } else {
      this.#report('error', 'only a mapping can be merged with <<', source.position, path)
    }
  }

  #count(values: number, position: Position): void {
    this.#values += values
    if (this.#values > MAX_VALUES)
      this.#giveUp(`more than ${MAX_VALUES} values, counting what aliases stand for`, position)
  }

  #giveUp(message: string, position: Position): never {
    this.#report('error', message, position, [])
    throw new LimitExceeded(message)
  }

  #report(severity: YamlProblem['severity'], message: string, position: Position, path: Path): void {
    if (severity === 'error') this.failed = true
    const { line, column } = position
    this.#problems.push({ severity, message, line, column, ...(path.length > 0 && { path: formatPath(path) }) })
  }
}

function isNode(value: unknown): value is Node {
  return isMap(value) || isSeq(value) || isScalar(value) || isAlias(value)
}

function isMergeKey(pair: Pair): boolean {
  const key = isScalar(pair.key) ? pair.key : undefined
  return typeof key?.value === 'symbol' && key.value.description === '<<'
}
