// Schema of the regular expressions of HTTP rules: POSIX extended ones, in the dialect
// of RE2 that Cilium's proxy has. What RE2 knows and this language does not is put
// into its words before it is tried; what RE2 does not know is refused by name.

import * as z from 'zod'

const MAX_LENGTH = 4096

export const extendedRegex = z
  .string()
  .max(MAX_LENGTH)
  .check(({ value, issues }) => {
    const message = regexProblem(value)
    if (message !== undefined) issues.push({ code: 'custom', message, input: value })
  })

function regexProblem(text: string): string | undefined {
  // An escaped character is never the beginning of a construct.
  const bare = text.replace(/\\[^\d]/g, '_')
  if (/\(\?<?[=!]/.test(bare)) return 'must be a regular expression without looking ahead or behind'
  if (/\\\d/.test(bare)) return 'must be a regular expression without references to groups'
  const translated = text
    .replace(/\\Q(.*?)(\\E|$)/gs, '_')
    .replace(/\(\?P</g, '(?<')
    .replace(/\(\?[imsU-]+\)/g, '')
    .replace(/\(\?[imsU-]+:/g, '(?:')
  try {
    ''.search(translated)
    return undefined
  } catch (error) {
    const [, reason] = /: ([^:]+)$/.exec(error instanceof Error ? error.message : '') ?? []
    return `must be a regular expression${reason === undefined ? '' : ` (${reason.toLowerCase()})`}`
  }
}
