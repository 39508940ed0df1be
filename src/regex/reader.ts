// Takes the words of a regular expression off its text: characters, counts, names, flags,
// codes. It knows how they are written and not what they mean.

type Flags = { readonly i: boolean; readonly m: boolean; readonly s: boolean }
type Repetition = { readonly min: number; readonly max: number | undefined }

const REPETITION = /(?:([*+?])|\{(\d{1,9})(,(\d{0,9}))?\})/y
const QUOTED = /\\Q(.*?)(?:\\E|$)/sy
const NAME = /P?<[A-Za-z_][A-Za-z0-9_]*>/y
const FLAGS = /([imsU]*)(?:-([imsU]+))?([:)])/y
const POSIX_CLASS = /\[:(\^?)([a-z]+):\]/y
const RANGE_SIGN = /-(?!\])/y
const ESCAPED_CODE =
  /x([0-9A-Fa-f]{2})|x\{([0-9A-Fa-f]{1,6})\}|(0[0-7]{0,2}|[1-7][0-7]{1,2})|([aftnrv])|([!-/:-@[-`{-~])/y
const MAX_CODE = 0x10ffff

const CONTROL_CODES: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 }

export class RegexReader {
  readonly #text: string
  /** Where it stands. */
  index = 0

  constructor(text: string) {
    this.#text = text
  }

  get atEnd(): boolean {
    return this.index >= this.#text.length
  }

  /** Empty at the end. */
  peek(): string {
    const code = this.#text.codePointAt(this.index)
    return code === undefined ? '' : String.fromCodePoint(code)
  }

  next(): string {
    const character = this.peek()
    this.index += character.length
    return character
  }

  sees(text: string): boolean {
    return this.#text.startsWith(text, this.index)
  }

  take(text: string): boolean {
    if (!this.sees(text)) return false
    this.index += text.length
    return true
  }

  /** Whether a repetition comes. */
  repetition(): boolean {
    return this.#match(REPETITION) !== undefined
  }

  takeRepetition(): Repetition | undefined {
    const match = this.#take(REPETITION)
    if (!match) return undefined
    const [, sign, least = '', more, most] = match
    if (sign !== undefined) return { min: sign === '+' ? 1 : 0, max: sign === '?' ? 1 : undefined }
    const min = Number(least)
    return { min, max: more === undefined ? min : most ? Number(most) : undefined }
  }

  /** What stands between \Q and \E. */
  takeQuoted(): string | undefined {
    return this.#take(QUOTED)?.[1]
  }

  takeName(): boolean {
    return this.#take(NAME) !== undefined
  }

  takeFlags(before: Flags): { readonly flags: Flags; readonly end: string } | undefined {
    const match = this.#take(FLAGS)
    if (!match) return undefined
    const [, on = '', off = '', end = ''] = match
    const flag = (name: 'i' | 'm' | 's'): boolean => (on.includes(name) || before[name]) && !off.includes(name)
    return { flags: { i: flag('i'), m: flag('m'), s: flag('s') }, end }
  }

  takePosixClass(): { readonly negated: boolean; readonly name: string } | undefined {
    const match = this.#take(POSIX_CLASS)
    return match && { negated: match[1] === '^', name: match[2] ?? '' }
  }

  /** The sign of a range: a hyphen that is not the last character of a class. */
  takeRangeSign(): boolean {
    return this.#take(RANGE_SIGN) !== undefined
  }

  /** What follows a backslash, where it stands for one character. */
  takeEscapedCode(): number | undefined {
    const match = this.#match(ESCAPED_CODE)
    if (!match) return undefined
    const [word, byte, braced, octal, control, sign] = match
    const hex = byte ?? braced
    const code =
      hex !== undefined
        ? Number.parseInt(hex, 16)
        : octal !== undefined
          ? Number.parseInt(octal, 8)
          : (CONTROL_CODES[control ?? ''] ?? sign?.charCodeAt(0) ?? 0)
    if (code > MAX_CODE) return undefined
    this.index += word.length
    return code
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.index
    return pattern.exec(this.#text) ?? undefined
  }

  #take(pattern: RegExp): RegExpExecArray | undefined {
    const match = this.#match(pattern)
    if (match) this.index += match[0].length
    return match
  }
}
