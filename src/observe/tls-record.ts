// A connection of TLS as HAProxy tells it (src/proxy/haproxy/tls-frontend.ts), when it
// stands or is refused, read into the event that all proxies tell.

import { PROXY_ANSWER } from '../http/index.ts'
import type { L7Event } from '../tables/index.ts'
import {
  isKnown,
  isRecord,
  JUDGED_COUNT,
  type JudgedFields,
  judgedConnection,
  NUMBERS,
  numberOf,
} from './haproxy-record.ts'

type Fields = readonly [...JudgedFields, serverName: string]

const ALL_NUMBERS: ReadonlySet<number> = new Set(NUMBERS)

const REFUSALS: Readonly<Record<string, string>> = {
  form: 'the connection does not begin with a whole ClientHello of TLS in one record, or it did not come in time',
  hello: 'the ClientHello is not well-formed, or its server name is none',
}

/** @returns undefined for what is no record of ours */
export function eventOfTlsRecord(record: unknown): L7Event | undefined {
  if (!isRecord(record, JUDGED_COUNT + 1, ALL_NUMBERS)) return undefined
  const fields = record as unknown as Fields
  const [ended, refusal, , , , egressAnswer] = fields
  const serverName = fields[JUDGED_COUNT]
  return {
    ...judgedConnection(fields, reasonOf(refusal, ended, egressAnswer)),
    content: { parser: 'tls', serverName: isKnown(serverName) ? serverName : '' },
  }
}

/** Of HAProxy's word on how it ended: who ended it, and when (its manual, 8.5). */
function reasonOf(refusal: string, ended: string, answer: string): string | undefined {
  if ((numberOf(answer) ?? 0) < PROXY_ANSWER) return 'the kernel does not know the connection'
  if (isKnown(refusal)) return REFUSALS[refusal] ?? refusal
  return ended[1] === 'C' ? 'the server could not be reached' : undefined
}
