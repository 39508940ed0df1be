// Schema of the regular expressions of HTTP rules: POSIX extended ones, in the dialect
// of RE2 that Cilium's proxy has. Read by the parser that also judges requests by them,
// so that what is accepted here can be enforced.

import * as z from 'zod'
import { isTooLarge, MAX_PROGRAM_SIZE, parseRegex, plainLiteral } from '../../../regex/index.ts'

export const extendedRegex = z.string().check(({ value, issues }) => {
  const { problem } = factsOf(value)
  if (problem !== undefined) issues.push({ code: 'custom', message: problem, input: value })
})

/** Which of the alternatives at the top of an expression match something that begins with a slash. */
export const slashAlternatives = (text: string): 'all' | 'some' | 'none' => factsOf(text).slash

type Facts = { readonly problem: string | undefined; readonly slash: 'all' | 'some' | 'none' }

/** Of a policy that changes, nearly all expressions are those of before. The oldest go when there are more. */
const MOST_KNOWN = 5_000
const MOST_CHARACTERS = 200
const known = new Map<string, Facts>()

const PLAIN = {
  all: { problem: undefined, slash: 'all' },
  none: { problem: undefined, slash: 'none' },
} as const

function factsOf(text: string): Facts {
  const plain = plainLiteral(text)
  if (plain) return plain.text.startsWith('/') || (plain.open && plain.text === '') ? PLAIN.all : PLAIN.none
  const before = known.get(text)
  if (before) return before
  const parsed = parseRegex(text)
  const facts = { problem: problemOf(parsed), slash: slashOf(parsed) }
  if (text.length > MOST_CHARACTERS) return facts
  for (const oldest of known.keys()) {
    if (known.size < MOST_KNOWN) break
    known.delete(oldest)
  }
  known.set(text, facts)
  return facts
}

type Parsed = ReturnType<typeof parseRegex>
type Regex = Extract<Parsed, { readonly regex: unknown }>['regex']

function problemOf(parsed: Parsed): string | undefined {
  if ('problem' in parsed)
    return `must be a regular expression of RE2: it ${parsed.problem} (at character ${parsed.at + 1})`
  if (!isTooLarge(parsed.regex)) return undefined
  return `must be a smaller regular expression: it would need more than ${MAX_PROGRAM_SIZE} steps to be matched`
}

function slashOf(parsed: Parsed): Facts['slash'] {
  // What is no expression is told of elsewhere.
  if ('problem' in parsed) return 'all'
  const alternatives = parsed.regex.kind === 'alternatives' ? parsed.regex.parts : [parsed.regex]
  const count = alternatives.filter(part => beginning(part).slash).length
  return count === alternatives.length ? 'all' : count > 0 ? 'some' : 'none'
}

type Beginning = { readonly slash: boolean; readonly empty: boolean }

const SLASH = BigInt('/'.charCodeAt(0))

/** Whether what an expression matches may begin with a slash, and whether it may be empty. */
function beginning(regex: Regex): Beginning {
  switch (regex.kind) {
    case 'set':
      return { slash: ((regex.set >> SLASH) & 1n) === 1n, empty: false }
    case 'assertion':
      return { slash: false, empty: true }
    case 'sequence': {
      const parts = regex.parts.map(beginning)
      const whole = parts.findIndex(({ empty }) => !empty)
      const reached = whole < 0 ? parts : parts.slice(0, whole + 1)
      return { slash: reached.some(({ slash }) => slash), empty: whole < 0 }
    }
    case 'alternatives': {
      const parts = regex.parts.map(beginning)
      return { slash: parts.some(({ slash }) => slash), empty: parts.some(({ empty }) => empty) }
    }
    case 'repeat': {
      const { slash, empty } = beginning(regex.part)
      return { slash: slash && regex.max !== 0, empty: empty || regex.min === 0 }
    }
  }
}
