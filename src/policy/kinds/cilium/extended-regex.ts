// Schema of the regular expressions of HTTP rules: POSIX extended ones, in the dialect
// of RE2 that Cilium's proxy has. Read by the parser that also judges requests by them,
// so that what is accepted here can be enforced.

import * as z from 'zod'
import { compileRegexes, MAX_PROGRAM_SIZE, parseRegex } from '../../../regex/index.ts'

export const extendedRegex = z.string().check(({ value, issues }) => {
  const message = regexProblem(value)
  if (message !== undefined) issues.push({ code: 'custom', message, input: value })
})

function regexProblem(text: string): string | undefined {
  const parsed = parseRegex(text)
  if ('problem' in parsed)
    return `must be a regular expression of RE2: it ${parsed.problem} (at character ${parsed.at + 1})`
  if (compileRegexes([parsed.regex])) return undefined
  return `must be a smaller regular expression: it would need more than ${MAX_PROGRAM_SIZE} steps to be matched`
}
