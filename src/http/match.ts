// Judges a request by the rules of one direction, as HAProxy does with what ./entries.ts
// makes of them. Any rule that matches allows; when none does, it is told what each one
// misses, the nearest rule first.

import type { HeaderMatch, HttpRule } from '../policy/index.ts'
import { compileRegexes, type Regex, RegexMatcher } from '../regex/index.ts'
import { fieldPatterns, HTTP_FIELDS, type HttpField, type SecretValue, wantedValue } from './compiled-rule.ts'
import { type HttpRequest, hostName } from './request.ts'

export type HeaderChange =
  /** One more, after those that are there. */
  | { readonly change: 'add'; readonly name: string; readonly value: string }
  /** In place of those that are there. */
  | { readonly change: 'replace'; readonly name: string; readonly value: string }
  | { readonly change: 'delete'; readonly name: string }

export type HttpMismatch =
  | { readonly field: HttpField; readonly pattern: string; readonly found: string }
  /** Without `wanted`: the header need only be there, or its secret is not. */
  | {
      readonly field: 'header'
      readonly name: string
      readonly wanted: string | undefined
      readonly found: readonly string[]
      /** `Connection` names it, so the next proxy takes it away. */
      readonly isTakenAway?: true
    }

export type HttpVerdict =
  | {
      readonly allowed: true
      /** Place of the first rule that matches. */
      readonly rule: number
      /** Of all rules that match, in their order. */
      readonly changes: readonly HeaderChange[]
      /** Names of headers that are not as a matching rule wants. */
      readonly mismatchedHeaders: readonly string[]
    }
  | {
      readonly allowed: false
      readonly nearest: readonly { readonly rule: number; readonly mismatches: readonly HttpMismatch[] }[]
    }

type Judgement = {
  readonly rule: number
  readonly mismatches: readonly HttpMismatch[]
  readonly changes: readonly HeaderChange[]
  readonly mismatchedHeaders: readonly string[]
}

export function matchHttp(
  rules: readonly HttpRule[],
  request: HttpRequest,
  secretValue: SecretValue = () => undefined,
): HttpVerdict {
  const judged = rules.map((rule, index) => judge(rule, index, request, secretValue))
  const matching = judged.filter(({ mismatches }) => mismatches.length === 0)
  const [first] = matching
  if (first)
    return {
      allowed: true,
      rule: first.rule,
      changes: matching.flatMap(({ changes }) => changes),
      mismatchedHeaders: [...new Set(matching.flatMap(({ mismatchedHeaders }) => mismatchedHeaders))],
    }
  const nearest = judged.toSorted((a, b) => a.mismatches.length - b.mismatches.length)
  return { allowed: false, nearest: nearest.map(({ rule, mismatches }) => ({ rule, mismatches })) }
}

function judge(rule: HttpRule, index: number, request: HttpRequest, secretValue: SecretValue): Judgement {
  const mismatches: HttpMismatch[] = []
  const changes: HeaderChange[] = []
  const mismatchedHeaders: string[] = []
  const patterns = fieldPatterns(rule)
  for (const field of HTTP_FIELDS) {
    const pattern = patterns[field]
    const found = field === 'host' ? hostName(request.host) : request[field]
    if (pattern && (found === undefined || !matches(pattern, found)))
      mismatches.push({ field, pattern: rule[field] ?? '', found: request[field] })
  }
  for (const match of rule.headers) {
    const { holds, change, told, mismatch } = judgeHeader(match, request, secretValue)
    if (!holds) mismatches.push(mismatch)
    if (change) changes.push(change)
    if (told) mismatchedHeaders.push(match.name)
  }
  return { rule: index, mismatches, changes, mismatchedHeaders }
}

function judgeHeader(match: HeaderMatch, request: HttpRequest, secretValue: SecretValue) {
  const { name } = match
  const want = wantedValue(match, secretValue)
  const found = request.headers.filter(([other]) => other === name).map(([, value]) => value)
  const wanted = want.kind === 'value' ? want.value : undefined
  const isTakenAway = isNamedByConnection(request, name)
  const mismatch: HttpMismatch = { field: 'header', name, wanted, found, ...(isTakenAway && { isTakenAway }) }
  // Gateways of servers write both signs alike: which of the two headers counts, only they know.
  const alias = request.headers.some(([other]) => other !== name && oneSign(other) === oneSign(name))
  const right =
    found.length > 0 && want.kind !== 'unknown' && found.every(value => wanted === undefined || value === wanted)
  const writes = match.mismatch === 'add' || match.mismatch === 'replace'
  const fails = match.mismatch === 'deny' || (writes && want.kind === 'unknown')
  if (alias || isTakenAway || (!right && fails)) return { holds: false, change: undefined, told: false, mismatch }
  const change = right ? undefined : changeFor(match, wanted)
  return { holds: true, change, told: !right, mismatch }
}

function changeFor({ name, mismatch }: HeaderMatch, value: string | undefined): HeaderChange | undefined {
  if (mismatch === 'delete') return { change: 'delete', name }
  return (mismatch === 'add' || mismatch === 'replace') && value !== undefined
    ? { change: mismatch, name, value }
    : undefined
}

/** Then a proxy behind ours takes the header away (RFC 9110, 7.6.1). */
const isNamedByConnection = ({ headers }: HttpRequest, name: string): boolean =>
  headers.some(
    ([other, value]) =>
      other === 'connection' &&
      oneSign(value.toLowerCase())
        .split(/[\s,;"]+/)
        .includes(oneSign(name)),
  )

const oneSign = (name: string): string => name.replaceAll('_', '-')

function matches(pattern: Regex, text: string): boolean {
  const program = compileRegexes([pattern])
  return program !== undefined && new RegexMatcher(program).match(text).length > 0
}
