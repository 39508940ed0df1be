// A rule with its regular expressions read. One that cannot be read matches nothing: the
// front ends refuse it long before, and what is not understood must not allow.

import type { HeaderMatch, HttpRule, SecretReference } from '../policy/index.ts'
import { parseRegex, type Regex } from '../regex/index.ts'

/** The value of a secret now; undefined when there is none. */
export type SecretValue = (secret: SecretReference) => string | undefined

export type HttpField = 'method' | 'path' | 'host'
export const HTTP_FIELDS: readonly HttpField[] = ['method', 'path', 'host']

/** Undefined: the field may be anything. */
export type FieldPatterns = Readonly<Record<HttpField, Regex | undefined>>

const NOTHING: Regex = { kind: 'set', set: 0n }

/** Hosts are compared without regard to case (RFC 3986, 3.2.2), so their patterns are read like that. */
export const fieldPatterns = (rule: HttpRule): FieldPatterns => ({
  method: patternOf(rule.method),
  path: patternOf(rule.path),
  host: patternOf(rule.host === undefined ? undefined : `(?i)${rule.host}`),
})

function patternOf(text: string | undefined): Regex | undefined {
  if (!text) return undefined
  const parsed = parseRegex(text)
  return 'regex' in parsed ? parsed.regex : NOTHING
}

/** What a header must be. `unknown`: the secret that holds it is not there. */
export type WantedValue = { readonly kind: 'any' | 'unknown' } | { readonly kind: 'value'; readonly value: string }

export function wantedValue(match: HeaderMatch, secretValue: SecretValue): WantedValue {
  const value = match.secret ? secretValue(match.secret) : match.value
  if (value !== undefined) return { kind: 'value', value }
  return { kind: match.secret ? 'unknown' : 'any' }
}

/** Whether a mismatch of some header changes the request or is told, so that other rules cannot stand in for this one. */
export const hasSideEffects = (rule: HttpRule): boolean => rule.headers.some(({ mismatch }) => mismatch !== 'deny')
