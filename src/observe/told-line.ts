// Lines in which a proxy tells of requests. At tens of thousands a second nearly all are
// of requests that simply passed: of those, enough is seen in the first bytes to count
// them, and the rest is read when somebody wants to know.

import type { L7Event } from '../tables/index.ts'
import { eventOfHttpRecord } from './http-record.ts'
import { eventOfTlsRecord } from './tls-record.ts'

/** As src/proxy/haproxy/log-line.ts has it begin: it ended as it should, for no reason to refuse it; then come both verdicts. */
const PASSED = new TextEncoder().encode('{"http":["--","-","')
const [QUOTE, COMMA, ZERO, NINE, BRACKET, BRACE] = [0x22, 0x2c, 0x30, 0x39, 0x5d, 0x7d] as const

/** Whether a line, without its end, is HAProxy's, of a request that both directions allowed and that ended well. */
export function isPassed(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = 0; at < PASSED.length; at++) if (bytes[start + at] !== PASSED[at]) return false
  const egress = afterDigits(bytes, start + PASSED.length)
  if (bytes[egress] !== QUOTE || bytes[egress + 1] !== COMMA || bytes[egress + 2] !== QUOTE) return false
  const ingress = afterDigits(bytes, egress + 3)
  return bytes[ingress] === QUOTE && ingress < end && bytes[end - 1] === BRACE && bytes[end - 2] === BRACKET
}

/** Longer numbers are no places of rules. */
const MOST_DIGITS = 6

/** Where the digits end, or `NaN` when there are none, or too many. */
function afterDigits(bytes: Uint8Array, start: number): number {
  let at = start
  for (let byte = bytes[at]; byte !== undefined && isDigit(byte); byte = bytes[at]) at++
  return at > start && at <= start + MOST_DIGITS ? at : Number.NaN
}

const isDigit = (byte: number): boolean => byte >= ZERO && byte <= NINE

/** What a line says, written out where HAProxy tells it in short. Undefined for what is no JSON. */
export function readLine(text: string): unknown {
  let told: unknown
  try {
    told = JSON.parse(text)
  } catch {
    return undefined
  }
  return writtenOut(told)
}

/** @returns undefined for a record that is none of ours */
export function writtenOut(told: unknown): unknown {
  if (!isObject(told)) return told
  if ('http' in told) return eventOfHttpRecord(told['http'], 'http')
  if ('https' in told) return eventOfHttpRecord(told['https'], 'https')
  return 'tls' in told ? eventOfTlsRecord(told['tls']) : told
}

const PARSERS: ReadonlySet<string> = new Set(['http', 'dns', 'kafka', 'tls'])
const VERDICTS: ReadonlySet<string> = new Set(['FORWARDED', 'DROPPED', 'AUDIT', 'REDIRECTED', 'ERROR'])

/** As far as a proxy of another version might have it differently. */
export function isEvent(line: unknown): line is L7Event {
  if (!isObject(line) || !Number.isFinite(line['timeMicros']) || !VERDICTS.has(line['verdict'] as string)) return false
  const { opener, responder, egress, ingress, content } = line
  return (
    [opener, responder].every(end => isObject(end) && typeof end['address'] === 'string') &&
    [egress, ingress].every(side => isObject(side) && Number.isInteger(side['set'])) &&
    isObject(content) &&
    PARSERS.has(content['parser'] as string)
  )
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null
