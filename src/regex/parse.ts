// Reads extended regular expressions in the dialect of RE2, which Cilium's proxy takes
// (RE2's syntax page is the source). What RE2 does not know, or we do not, is refused by
// name; sizes are bounded, so that what is accepted can be matched in linear time.

import { RegexReader } from './reader.ts'
import {
  ALL_CHARACTERS,
  type CharacterSet,
  complement,
  ESCAPED_CLASSES,
  foldCase,
  foldedRange,
  POSIX_CLASSES,
  type Regex,
  rangeSet,
  setOf,
} from './syntax.ts'

export type ParsedRegex =
  | { readonly regex: Regex }
  /** `at`: index in the text. The message completes "the regular expression …". */
  | { readonly problem: string; readonly at: number }

const MAX_LENGTH = 4096
const MAX_REPEAT = 1000
const MAX_DEPTH = 200

export function parseRegex(text: string): ParsedRegex {
  if (text.length > MAX_LENGTH) return { problem: `is longer than ${MAX_LENGTH} characters`, at: MAX_LENGTH }
  try {
    return { regex: new RegexParser(text).parse() }
  } catch (error) {
    if (error instanceof RegexProblem) return { problem: error.message, at: error.at }
    throw error
  }
}

class RegexProblem extends Error {
  readonly at: number
  constructor(message: string, at: number) {
    super(message)
    this.at = at
  }
}

type Flags = { readonly i: boolean; readonly m: boolean; readonly s: boolean }

class RegexParser {
  readonly #reader: RegexReader
  #flags: Flags = { i: false, m: false, s: false }
  #depth = 0

  constructor(text: string) {
    this.#reader = new RegexReader(text)
  }

  parse(): Regex {
    const regex = this.#alternatives()
    if (!this.#reader.atEnd) this.#fail('closes a group that is not open')
    return regex
  }

  #alternatives(): Regex {
    const parts = [this.#sequence()]
    while (this.#reader.take('|')) parts.push(this.#sequence())
    const [only] = parts
    return parts.length === 1 && only ? only : { kind: 'alternatives', parts }
  }

  #sequence(): Regex {
    const parts: Regex[] = []
    while (!this.#reader.atEnd && !this.#reader.sees('|') && !this.#reader.sees(')')) {
      const quoted = this.#reader.takeQuoted()
      if (quoted === undefined) {
        const part = this.#repeated()
        if (part) parts.push(part)
      } else if (quoted !== '') {
        const literals = Array.from(quoted, character => this.#literal(character))
        const last = literals.pop()
        if (last) parts.push(...literals, this.#repetitions(last))
      }
    }
    const [only] = parts
    return parts.length === 1 && only ? only : { kind: 'sequence', parts }
  }

  /** @returns undefined for what sets flags only */
  #repeated(): Regex | undefined {
    const part = this.#part()
    if (part) return this.#repetitions(part)
    if (this.#reader.repetition()) this.#fail('repeats nothing')
    return undefined
  }

  #repetitions(part: Regex): Regex {
    const at = this.#reader.index
    const repetition = this.#reader.takeRepetition()
    if (!repetition) return part
    const { min, max } = repetition
    if (min > MAX_REPEAT || (max ?? 0) > MAX_REPEAT) this.#fail(`repeats more than ${MAX_REPEAT} times`, at)
    if (max !== undefined && max < min) this.#fail('has a repetition whose end is before its beginning', at)
    this.#reader.take('?')
    if (this.#reader.repetition()) this.#fail('repeats a repetition', this.#reader.index)
    const repeated: Regex = { kind: 'repeat', part, min, max }
    if (repeats(repeated) > MAX_REPEAT) this.#fail(`has repetitions that make more than ${MAX_REPEAT} together`, at)
    return repeated
  }

  #part(): Regex | undefined {
    const reader = this.#reader
    if (reader.repetition()) this.#fail('repeats nothing')
    if (reader.take('(')) return this.#group()
    if (reader.take('[')) return { kind: 'set', set: this.#class() }
    const character = reader.next()
    if (character === '.') return { kind: 'set', set: this.#flags.s ? ALL_CHARACTERS : complement(setOf('\n')) }
    if (character === '^') return { kind: 'assertion', assertion: this.#flags.m ? 'beginLine' : 'beginText' }
    if (character === '$') return { kind: 'assertion', assertion: this.#flags.m ? 'endLine' : 'endText' }
    return character === '\\' ? this.#escape() : this.#literal(character)
  }

  #literal(character: string): Regex {
    const code = character.codePointAt(0) ?? 0
    return { kind: 'set', set: this.#range(code, code) }
  }

  #range(from: number, to: number): CharacterSet {
    return this.#flags.i ? foldedRange(from, to) : rangeSet(from, to)
  }

  #group(): Regex | undefined {
    const at = this.#reader.index - 1
    const before = this.#flags
    if (this.#reader.take('?')) {
      const opening = this.#groupKind(at)
      if (opening === 'flags') return undefined
    }
    if (++this.#depth > MAX_DEPTH) this.#fail(`has more than ${MAX_DEPTH} groups in each other`, at)
    const regex = this.#alternatives()
    if (!this.#reader.take(')')) this.#fail('has a group that does not end', at)
    this.#depth--
    this.#flags = before
    return regex
  }

  #groupKind(at: number): 'group' | 'flags' {
    const reader = this.#reader
    for (const [sign, name] of UNSUPPORTED_GROUPS) if (reader.take(sign)) this.#fail(`has ${name}`, at)
    if (reader.takeName()) return 'group'
    const { flags, end } =
      reader.takeFlags(this.#flags) ?? this.#fail('has a group of a kind that RE2 does not know', at)
    this.#flags = flags
    return end === ')' ? 'flags' : 'group'
  }

  #escape(): Regex {
    const at = this.#reader.index - 1
    const letter = this.#reader.peek()
    const assertion = ({ A: 'beginText', z: 'endText', b: 'wordEdge', B: 'noWordEdge' } as const)[letter]
    if (assertion) {
      this.#reader.next()
      return { kind: 'assertion', assertion }
    }
    const set = this.#escapedClass()
    if (set !== undefined) return { kind: 'set', set }
    const code = this.#escapedCode(at)
    return { kind: 'set', set: this.#range(code, code) }
  }

  #escapedClass(): CharacterSet | undefined {
    const letter = this.#reader.peek()
    const set = ESCAPED_CLASSES[letter.toLowerCase()]
    if (set === undefined) return undefined
    this.#reader.next()
    return letter === letter.toLowerCase() ? set : complement(set)
  }

  #escapedCode(at: number): number {
    const code = this.#reader.takeEscapedCode()
    if (code !== undefined) return code
    const letter = this.#reader.peek()
    const named = UNSUPPORTED_ESCAPES[letter] ?? (/[1-9]/.test(letter) ? 'a reference to a group' : undefined)
    return this.#fail(named ? `has ${named}` : `has the escape \\${letter}, which RE2 does not know`, at)
  }

  #class(): CharacterSet {
    const at = this.#reader.index - 1
    const negated = this.#reader.take('^')
    let set = 0n
    for (let first = true; first || !this.#reader.sees(']'); first = false) {
      if (this.#reader.atEnd) this.#fail('has a class that does not end', at)
      set |= this.#classItem()
    }
    this.#reader.next()
    return negated ? complement(set) : set
  }

  #classItem(): CharacterSet {
    const at = this.#reader.index
    const posix = this.#reader.takePosixClass()
    if (posix) {
      const set = POSIX_CLASSES[posix.name] ?? this.#fail(`has the class [:${posix.name}:], which nobody knows`, at)
      const folded = this.#flags.i ? foldCase(set) : set
      return posix.negated ? complement(folded) : folded
    }
    if (this.#reader.take('\\')) {
      const set = this.#escapedClass()
      if (set !== undefined) return set
      this.#reader.index = at
    }
    const from = this.#classCharacter(at)
    if (!this.#reader.takeRangeSign()) return this.#range(from, from)
    const to = this.#classCharacter(at)
    if (to < from) this.#fail('has a range whose end is before its beginning', at)
    return this.#range(from, to)
  }

  #classCharacter(at: number): number {
    if (this.#reader.atEnd) this.#fail('has a class that does not end', at)
    const escapedAt = this.#reader.index
    const character = this.#reader.next()
    if (character !== '\\') return character.codePointAt(0) ?? 0
    if (ESCAPED_CLASSES[this.#reader.peek().toLowerCase()] !== undefined)
      this.#fail('has a range that ends in a class', at)
    return this.#escapedCode(escapedAt)
  }

  #fail(message: string, at = this.#reader.index): never {
    throw new RegexProblem(message, at)
  }
}

const UNSUPPORTED_GROUPS: readonly (readonly [sign: string, name: string])[] = [
  ['=', 'a look ahead'],
  ['!', 'a look ahead'],
  ['<=', 'a look behind'],
  ['<!', 'a look behind'],
  ['>', 'an atomic group'],
  ['#', 'a comment'],
  ['|', 'a branch reset'],
  ['P=', 'a reference to a group'],
  ['P>', 'a recursion'],
  ['R', 'a recursion'],
  ['(', 'a condition'],
]

const UNSUPPORTED_ESCAPES: Readonly<Record<string, string>> = {
  p: 'a class of Unicode (\\p)',
  P: 'a class of Unicode (\\P)',
  C: 'a single byte (\\C)',
  k: 'a reference to a group',
  g: 'a reference to a group',
  Z: 'the anchor \\Z (write \\z or $)',
  G: 'the anchor \\G',
  K: 'the sign \\K',
  R: 'the sign \\R',
  X: 'the sign \\X',
  '': 'a backslash at its end',
}

/** How often the innermost part is repeated by the repetitions around it, as RE2 counts. */
function repeats(regex: Regex): number {
  if (regex.kind === 'repeat') return Math.max(regex.max ?? regex.min, 1) * repeats(regex.part)
  if (regex.kind === 'set' || regex.kind === 'assertion') return 1
  return regex.parts.reduce((most, part) => Math.max(most, repeats(part)), 1)
}
