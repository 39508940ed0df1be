// EDNS (RFC 6891) in queries: whether the asker speaks it, and how large answers over UDP
// may be.

import { type Question, readRecordHeader, word } from './message.ts'

const SIG = 24
const OPT = 41
const TSIG = 250

/** A datagram of this size passes every path unfragmented (DNS flag day 2020). */
export const UNFRAGMENTED_BYTES = 1232

export type Edns = {
  readonly version: number
  readonly dnssecOk: boolean
  /** How large an answer may be. */
  readonly payloadBytes: number
  /** Where that stands in the message. */
  readonly payloadAt: number
  /** The query is signed: what is changed of it makes it invalid. */
  readonly isSigned: boolean
}

/** The OPT record of a query; undefined without one, or where the records cannot be read up to it. */
export function readEdns(bytes: Uint8Array, question: Pick<Question, 'end'>): Edns | undefined {
  const count = word(bytes, 6) + word(bytes, 8) + word(bytes, 10)
  let at = question.end
  let edns: Omit<Edns, 'isSigned'> | undefined
  let isSigned = false
  for (let index = 0; index < count; index++) {
    const header = readRecordHeader(bytes, at)
    if (!header) break
    isSigned ||= header.type === TSIG || header.type === SIG
    if (header.type === OPT && header.owner === '.')
      edns ??= {
        version: Math.floor(header.ttl / 0x10000) & 0xff,
        dnssecOk: (header.ttl & 0x8000) !== 0,
        payloadBytes: header.class,
        payloadAt: header.at + 2,
      }
    at = header.content + header.length
  }
  return edns && { ...edns, isSigned }
}

/**
 * Has a query ask for answers that need not be fragmented: a server cuts a longer one, and the asker comes again over TCP.
 * Changes the message in place, but for one that is signed.
 */
export function limitPayload(query: Uint8Array, question: Pick<Question, 'end'>): void {
  const edns = readEdns(query, question)
  if (!edns || edns.isSigned || edns.payloadBytes <= UNFRAGMENTED_BYTES) return
  query[edns.payloadAt] = UNFRAGMENTED_BYTES >> 8
  query[edns.payloadAt + 1] = UNFRAGMENTED_BYTES & 0xff
}
