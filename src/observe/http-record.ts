// A request as HAProxy tells it: the fields of its log line (src/proxy/haproxy/log-line.ts)
// by their places, read into the event that all proxies tell.

import { PROXY_ANSWER } from '../http/index.ts'
import type { L7Event, L7Header } from '../tables/index.ts'
import {
  isKnown,
  isRecord,
  JUDGED_COUNT,
  type JudgedFields,
  judgedConnection,
  NUMBERS,
  numberOf,
} from './haproxy-record.ts'

type Fields = readonly [
  ...JudgedFields,
  latencyMicros: string,
  grpcStatus: string,
  target: string,
  host: string,
  version: string,
  status: number,
  mismatched: string,
]

const REFUSALS: Readonly<Record<string, string>> = {
  connect: 'a tunnel through the proxy was asked for (CONNECT)',
  target: 'the target of the request is not a path',
  headers: 'headers are not in order',
  connection: 'Connection names a header that the request cannot be without',
  host: 'the request names no host, or several',
  version: 'the version of HTTP is none that is known',
  control: 'a header has control characters',
  framing: 'where the body ends is said in more than one way',
  path: 'the path can be read in more than one way',
  handshake: 'TLS with the client failed: it does not trust the certificate, or has to show one itself',
  name: 'the request names no host by which the certificate of the server could be verified',
  peer: 'the server shows no certificate of its name that is trusted, or TLS with it failed otherwise',
  share: 'the proxy has too much to do, and the client its share of it',
}

/** @returns undefined for what is no record of ours */
export function eventOfHttpRecord(record: unknown, scheme: 'http' | 'https'): L7Event | undefined {
  const fields = fieldsOf(record)
  if (!fields) return undefined
  const [ended, refusal, egressVerdict, ingressVerdict, , egressAnswer] = fields
  const [latencyMicros, grpcStatus, target, host, version, status, mismatched] = fields.slice(JUDGED_COUNT) as Tail
  const [, method = '', path = ''] = /^([^:]*):(.*?)#?$/s.exec(target) ?? []
  const headers = headersOf(fields)
  const reason = reasonOf({ refusal, ended, egressVerdict, ingressVerdict, egressAnswer })
  return {
    ...judgedConnection(fields, reason),
    ...(isKnown(latencyMicros) && { latencyNs: Number(latencyMicros) * 1000 }),
    ...(isKnown(mismatched) && { mismatchedHeaders: mismatched.split(',') }),
    content: {
      parser: 'http',
      method,
      path,
      host: isKnown(host) ? host : '',
      scheme,
      version: version === '<BADREQ>' ? '' : version,
      ...(status > 0 && { status }),
      ...(numberOf(grpcStatus) !== undefined && { grpcStatus: Number(grpcStatus) }),
      ...(headers.length > 0 && { headers }),
    },
  }
}

type Tail = [string, string, string, string, string, number, string]

const ALL_NUMBERS: ReadonlySet<number> = new Set([...NUMBERS, JUDGED_COUNT + 5])
const FIELD_COUNT = JUDGED_COUNT + 7

/** Names and values of headers may follow, where the proxy was told which. */
function fieldsOf(record: unknown): Fields | undefined {
  const count = Array.isArray(record) ? record.length : 0
  const isWhole = count >= FIELD_COUNT && (count - FIELD_COUNT) % 2 === 0
  return isWhole && isRecord(record, count, ALL_NUMBERS) ? (record as unknown as Fields) : undefined
}

function headersOf(fields: Fields): L7Header[] {
  const texts = fields.slice(FIELD_COUNT) as string[]
  const headers = texts.flatMap((name, place) => (place % 2 === 0 ? { name, value: texts[place + 1] ?? '' } : []))
  return headers.filter(({ value }) => isKnown(value))
}

type Ending = {
  readonly refusal: string
  readonly ended: string
  readonly egressVerdict: string
  readonly ingressVerdict: string
  readonly egressAnswer: string
}

/** Of HAProxy's word on how it ended: who ended it, and when (its manual, 8.5). */
function reasonOf({ refusal, ended, egressVerdict, ingressVerdict, egressAnswer }: Ending): string | undefined {
  if (isKnown(refusal)) return REFUSALS[refusal] ?? refusal
  const [who, when] = ended
  // What was judged was well-formed; it was denied by a reset.
  if (who === 'P' && when === 'R' && !isKnown(egressVerdict)) return 'the request is not well-formed'
  // The body of a denied request is waited for before the answer.
  const isDenied = [egressVerdict, ingressVerdict].some(verdict => (numberOf(verdict) ?? 0) < 0)
  if (when === 'R' && who?.toLowerCase() === 'c' && !isDenied)
    return who === 'c' ? 'the request did not come in time' : 'the request did not come whole'
  if (when === 'C') return 'the server could not be reached'
  if (when === 'H' && (who === 'S' || who === 's' || who === 'P'))
    return 'the server did not answer as a server of HTTP'
  return (numberOf(egressAnswer) ?? 0) < PROXY_ANSWER ? 'the kernel does not know the connection' : undefined
}
