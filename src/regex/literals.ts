// What a simple regular expression says in plain words: a list of whole texts, and of
// beginnings after which anything goes. Such a list can be looked up in a tree however
// long it is; what has no short one is for the matcher.

import { type CharacterSet, codesOf, type Regex } from './syntax.ts'

/** `open`: every text that begins like this. */
export type Literal = { readonly text: string; readonly open: boolean }

/** Where a part stands: an anchor says nothing where the text begins or ends anyhow. */
type Place = { readonly first: boolean; readonly last: boolean }

const EMPTY: readonly Literal[] = [{ text: '', open: false }]
const INSIDE: Place = { first: false, last: false }

/**
 * Together they match what the expression matches, of all texts made of `alphabet`.
 * @returns undefined when there is no such list, or none of at most `limit`
 */
export function literalsOf(regex: Regex, alphabet: CharacterSet, limit: number): readonly Literal[] | undefined {
  const found = new Expansion(alphabet, limit).of(regex, { first: true, last: true })
  return found && unique(found)
}

/** Characters that stand for themselves, and nothing but them; then perhaps anything. */
const PLAIN = /^\^?([A-Za-z0-9_/~%!@&=:,;'"<>-]*)(\.\*)?\$?$/
const MOST_PLAIN_CHARACTERS = 1000

/**
 * What `literalsOf` says of an expression that is one plain text, as most are, without reading it as one. Of texts that are made of
 * printable characters.
 * @returns undefined for all others
 */
export function plainLiteral(expression: string): Literal | undefined {
  if (expression.length > MOST_PLAIN_CHARACTERS) return undefined
  const [, text, rest] = PLAIN.exec(expression) ?? []
  return text === undefined ? undefined : { text, open: rest !== undefined }
}

class Expansion {
  readonly #alphabet: CharacterSet
  readonly #limit: number

  constructor(alphabet: CharacterSet, limit: number) {
    this.#alphabet = alphabet
    this.#limit = limit
  }

  of(regex: Regex, place: Place): readonly Literal[] | undefined {
    switch (regex.kind) {
      case 'set':
        return this.#bounded(
          codesOf(regex.set & this.#alphabet).map(code => ({ text: String.fromCharCode(code), open: false })),
        )
      case 'assertion':
        return (regex.assertion === 'beginText' && place.first) || (regex.assertion === 'endText' && place.last)
          ? EMPTY
          : undefined
      case 'sequence':
        return this.#sequence(regex.parts, place)
      case 'alternatives':
        return this.#bounded(all(regex.parts.map(part => this.of(part, place)))?.flat())
      case 'repeat':
        return this.#repeat(regex.part, regex.min, regex.max, place)
      default:
        return regex satisfies never
    }
  }

  #sequence(parts: readonly Regex[], place: Place): readonly Literal[] | undefined {
    let texts: readonly Literal[] | undefined = EMPTY
    for (const [index, part] of parts.entries()) {
      const next = this.of(part, {
        first: place.first && parts.slice(0, index).every(before => before.kind === 'assertion'),
        last: place.last && parts.slice(index + 1).every(after => after.kind === 'assertion'),
      })
      texts = this.#joined(texts, next)
      if (!texts) return undefined
    }
    return texts
  }

  #repeat(part: Regex, min: number, max: number | undefined, place: Place): readonly Literal[] | undefined {
    if (min === 0 && max === undefined) return this.#isAnything(part) ? [{ text: '', open: true }] : undefined
    const once = this.of(part, min === 0 && max === 1 ? place : INSIDE)
    let texts: readonly Literal[] | undefined = EMPTY
    for (let count = 0; count < min && texts; count++) texts = this.#joined(texts, once)
    if (max === undefined) return this.#isAnything(part) ? texts?.map(({ text }) => ({ text, open: true })) : undefined
    let longest = texts
    for (let count = min; count < max && texts; count++) {
      longest = this.#joined(longest, once)
      texts = this.#bounded(longest && [...texts, ...longest])
    }
    return texts
  }

  #isAnything(part: Regex): boolean {
    return part.kind === 'set' && (part.set & this.#alphabet) === this.#alphabet
  }

  #joined(before?: readonly Literal[], after?: readonly Literal[]): readonly Literal[] | undefined {
    if (!before || !after || before.length * after.length > this.#limit) return undefined
    const texts: Literal[] = []
    for (const one of before)
      for (const next of after) {
        // Something after anything has no beginning.
        if (one.open && next.text !== '') return undefined
        texts.push({ text: one.text + next.text, open: one.open || next.open })
      }
    return texts
  }

  #bounded(texts?: readonly Literal[]): readonly Literal[] | undefined {
    return texts && texts.length <= this.#limit ? texts : undefined
  }
}

function all<T>(values: readonly (T | undefined)[]): T[] | undefined {
  const present = values.filter(value => value !== undefined)
  return present.length === values.length ? present : undefined
}

const unique = (texts: readonly Literal[]): readonly Literal[] => [
  ...new Map(texts.map(one => [`${one.open ? 1 : 0}${one.text}`, one])).values(),
]
