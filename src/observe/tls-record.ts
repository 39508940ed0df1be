// A connection of TLS as HAProxy tells it (src/proxy/haproxy/tls-frontend.ts), when it
// stands or is refused, read into the event that all proxies tell.

import { PROXY_ANSWER } from '../http/index.ts'
import type { L7Event } from '../tables/index.ts'
import { type ConnectionFields, isKnown, isRecord, judgedConnection, numberOf } from './haproxy-record.ts'

type Fields = readonly [...ConnectionFields, refusal: string, serverName: string, ended: string]

const NUMBERS: ReadonlySet<number> = new Set([0, 2, 4])
const FIELD_COUNT = 17

const REFUSALS: Readonly<Record<string, string>> = {
  form: 'the connection does not begin with a whole ClientHello of TLS in one record, or it did not come in time',
  hello: 'the ClientHello is not well-formed, or its server name is none',
}

/** @returns undefined for what is no record of ours */
export function eventOfTlsRecord(record: unknown): L7Event | undefined {
  if (!isRecord(record, FIELD_COUNT, NUMBERS)) return undefined
  const fields = record as unknown as Fields
  const [refusal, serverName, ended] = [fields[14], fields[15], fields[16]]
  return {
    ...judgedConnection(fields, reasonOf(refusal, ended, fields[7])),
    content: { parser: 'tls', serverName: isKnown(serverName) ? serverName : '' },
  }
}

/** Of HAProxy's word on how it ended: who ended it, and when (its manual, 8.5). */
function reasonOf(refusal: string, ended: string, answer: string): string | undefined {
  if ((numberOf(answer) ?? 0) < PROXY_ANSWER) return 'the kernel does not know the connection'
  if (isKnown(refusal)) return REFUSALS[refusal] ?? refusal
  return ended[1] === 'C' ? 'the server could not be reached' : undefined
}
