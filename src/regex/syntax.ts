// The shape of a regular expression, and the sets of characters in it. What is judged is
// ASCII: a set is the 128 bits of a bigint, and a character beyond ASCII is in none, so
// it is read and can never match.

/** Bit n: the character with code n. */
export type CharacterSet = bigint

export type Assertion = 'beginText' | 'endText' | 'beginLine' | 'endLine' | 'wordEdge' | 'noWordEdge'

export type Regex =
  | { readonly kind: 'set'; readonly set: CharacterSet }
  | { readonly kind: 'assertion'; readonly assertion: Assertion }
  /** Without parts: the empty text. */
  | { readonly kind: 'sequence'; readonly parts: readonly Regex[] }
  | { readonly kind: 'alternatives'; readonly parts: readonly Regex[] }
  /** Without `max`: as often as you like. */
  | { readonly kind: 'repeat'; readonly part: Regex; readonly min: number; readonly max: number | undefined }

export const ASCII_SIZE = 128
export const ALL_CHARACTERS: CharacterSet = (1n << BigInt(ASCII_SIZE)) - 1n

/** Most of what is written is single characters. */
const SINGLES: readonly CharacterSet[] = Array.from({ length: ASCII_SIZE }, (_, code) => 1n << BigInt(code))

/** Codes from `from` to `to`, as far as they are ASCII. */
export function rangeSet(from: number, to: number): CharacterSet {
  if (from === to && from < ASCII_SIZE) return SINGLES[from] as CharacterSet
  const last = Math.min(to, ASCII_SIZE - 1)
  return from > last ? 0n : ((1n << BigInt(last - from + 1)) - 1n) << BigInt(from)
}

export function setOf(characters: string): CharacterSet {
  let set = 0n
  for (const character of characters) set |= rangeSet(codeOf(character), codeOf(character))
  return set
}

export const complement = (set: CharacterSet): CharacterSet => ALL_CHARACTERS & ~set

export const hasCode = (set: CharacterSet, code: number): boolean => ((set >> BigInt(code)) & 1n) === 1n

/** Of sets that were asked for before: long lists of expressions have few. */
const KNOWN_CODES = new Map<CharacterSet, readonly number[]>(SINGLES.map((set, code) => [set, [code]]))
const MOST_KNOWN_CODES = 1_000

/** Codes of a set, ascending. */
export function codesOf(set: CharacterSet): readonly number[] {
  const known = KNOWN_CODES.get(set)
  if (known) return known
  const codes: number[] = []
  for (let code = 0; code < ASCII_SIZE; code++) if (hasCode(set, code)) codes.push(code)
  if (KNOWN_CODES.size < MOST_KNOWN_CODES) KNOWN_CODES.set(set, codes)
  return codes
}

const UPPER = rangeSet(65, 90)
const LOWER = rangeSet(97, 122)
const CASE_DISTANCE = 32n

/** With the other case of each letter. Beyond ASCII nothing is folded here: see `foldedRange`. */
export const foldCase = (set: CharacterSet): CharacterSet =>
  set | ((set & UPPER) << CASE_DISTANCE) | ((set & LOWER) >> CASE_DISTANCE)

const KELVIN_SIGN = 0x212a
const LONG_S = 0x17f

/** A range without regard to case. Two characters beyond ASCII fold into it: the Kelvin sign to k, the long s to s. */
export function foldedRange(from: number, to: number): CharacterSet {
  const kelvin = from <= KELVIN_SIGN && KELVIN_SIGN <= to ? setOf('k') : 0n
  const longS = from <= LONG_S && LONG_S <= to ? setOf('s') : 0n
  return foldCase(rangeSet(from, to) | kelvin | longS)
}

const codeOf = (character: string): number => character.codePointAt(0) ?? 0

const DIGIT = setOf('0123456789')
const LETTER = UPPER | LOWER
const WORD = LETTER | DIGIT | setOf('_')
const GRAPHIC = rangeSet(0x21, 0x7e)

export const WORD_CHARACTERS = WORD

/** Of `\d` and the like, by the lower-case letter. */
export const ESCAPED_CLASSES: Readonly<Record<string, CharacterSet>> = { d: DIGIT, w: WORD, s: setOf('\t\n\f\r ') }

/** Of `[:alpha:]` and the like. */
export const POSIX_CLASSES: Readonly<Record<string, CharacterSet>> = {
  alnum: LETTER | DIGIT,
  alpha: LETTER,
  ascii: ALL_CHARACTERS,
  blank: setOf('\t '),
  cntrl: rangeSet(0, 0x1f) | setOf('\u007f'),
  digit: DIGIT,
  graph: GRAPHIC,
  lower: LOWER,
  print: GRAPHIC | setOf(' '),
  punct: GRAPHIC & complement(LETTER | DIGIT),
  space: setOf('\t\n\v\f\r '),
  upper: UPPER,
  word: WORD,
  xdigit: DIGIT | setOf('abcdefABCDEF'),
}
