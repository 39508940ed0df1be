// Schema of the regular expressions of HTTP rules: POSIX extended ones, in the dialect
// of RE2 that Cilium's proxy has. Read by the parser that also judges requests by them,
// so that what is accepted here can be enforced.

import * as z from 'zod'
import { isTooLarge, MAX_PROGRAM_SIZE, parseRegex } from '../../../regex/index.ts'

export const extendedRegex = z.string().check(({ value, issues }) => {
  const message = regexProblem(value)
  if (message !== undefined) issues.push({ code: 'custom', message, input: value })
})

function regexProblem(text: string): string | undefined {
  const parsed = parsedRegex(text)
  if ('problem' in parsed)
    return `must be a regular expression of RE2: it ${parsed.problem} (at character ${parsed.at + 1})`
  if (!isTooLarge(parsed.regex)) return undefined
  return `must be a smaller regular expression: it would need more than ${MAX_PROGRAM_SIZE} steps to be matched`
}

type Parsed = ReturnType<typeof parseRegex>

/** Each expression is asked about several times in a row. */
let last: { readonly text: string; readonly parsed: Parsed } | undefined

function parsedRegex(text: string): Parsed {
  if (last?.text !== text) last = { text, parsed: parseRegex(text) }
  return last.parsed
}

type Regex = Extract<Parsed, { readonly regex: unknown }>['regex']

/** Which of the alternatives at the top of an expression match something that begins with a slash. */
export function slashAlternatives(text: string): 'all' | 'some' | 'none' {
  const parsed = parsedRegex(text)
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
