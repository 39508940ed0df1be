// DNS messages as far as policy needs them (RFC 1035 section 4): what is asked, and the
// addresses that an answer gives. Any bytes are taken: what cannot be read is a value
// that says why. What is passed on is passed as it came, never written anew from here.

import { formatIp, mapIpv4 } from '../ip/index.ts'
import { readName } from './name.ts'

export const HEADER_BYTES = 12
/** Bytes of a record besides its name and its content. */
const RECORD_BYTES = 10
const A = 1
const CNAME = 5
const AAAA = 28
const INTERNET = 1
const CACHE_FLUSH_AND_UP = 0x80000000

export const FLAG = {
  response: 0x8000,
  opcode: 0x7800,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  checkingDisabled: 0x0010,
  rcode: 0x000f,
} as const

/** Why a message cannot be read. */
export type MessageProblem =
  /** Not even a header. */
  | 'SHORT'
  /** An answer where a question was expected, or the other way round. */
  | 'WRONG_DIRECTION'
  /** None, or more than one: nobody can say which of them an answer is for (RFC 9619). */
  | 'QUESTION_COUNT'
  /** The question is cut off, or its name is not well-formed. */
  | 'QUESTION'

export type Unreadable = { readonly problem: MessageProblem }

/** What a message asks for. */
export type Question = {
  readonly id: number
  /** Second word of the header: see `FLAG`. */
  readonly flags: number
  /** See `readName`. */
  readonly name: string
  readonly type: number
  readonly class: number
  /** Where the question ends in the message. */
  readonly end: number
}

export type AnswerRecord = { readonly owner: string; readonly ttlSeconds: number } & (
  | { readonly type: 'A' | 'AAAA'; readonly address: string }
  | { readonly type: 'CNAME'; readonly target: string }
)

export type Answer = {
  readonly rcode: number
  readonly truncated: boolean
  /** Of the answer section, those that can be read up to the first that cannot; other types are left out. */
  readonly records: readonly AnswerRecord[]
}

export const word = (bytes: Uint8Array, at: number): number => ((bytes[at] as number) << 8) | (bytes[at + 1] as number)

/** The one question of a query. */
export function readQuery(bytes: Uint8Array): Question | Unreadable {
  if (bytes.length < HEADER_BYTES) return { problem: 'SHORT' }
  if (word(bytes, 2) & FLAG.response) return { problem: 'WRONG_DIRECTION' }
  return readQuestion(bytes)
}

/** The question that a response is about. A refusal may leave it out, which is `QUESTION_COUNT`. */
export function readResponse(bytes: Uint8Array): Question | Unreadable {
  if (bytes.length < HEADER_BYTES) return { problem: 'SHORT' }
  if (!(word(bytes, 2) & FLAG.response)) return { problem: 'WRONG_DIRECTION' }
  return readQuestion(bytes)
}

function readQuestion(bytes: Uint8Array): Question | Unreadable {
  if (word(bytes, 4) !== 1) return { problem: 'QUESTION_COUNT' }
  const name = readName(bytes, HEADER_BYTES, false)
  if (!name || name.end + 4 > bytes.length) return { problem: 'QUESTION' }
  return {
    id: word(bytes, 0),
    flags: word(bytes, 2),
    name: name.text,
    type: word(bytes, name.end),
    class: word(bytes, name.end + 2),
    end: name.end + 4,
  }
}

/** What a response answers; `question` is what `readResponse` said of it. */
export function readAnswer(bytes: Uint8Array, question: Pick<Question, 'flags' | 'end'>): Answer {
  const records: AnswerRecord[] = []
  const count = word(bytes, 6)
  let at = question.end
  for (let index = 0; index < count; index++) {
    const header = readRecordHeader(bytes, at)
    if (!header) break
    const record = readRecord(bytes, header)
    if (record === 'malformed') break
    if (record) records.push(record)
    at = header.content + header.length
  }
  return { rcode: question.flags & FLAG.rcode, truncated: (question.flags & FLAG.truncated) !== 0, records }
}

export type RecordHeader = {
  readonly owner: string
  readonly type: number
  readonly class: number
  readonly ttl: number
  /** Where its type stands, after its owner. */
  readonly at: number
  /** Where its content begins. */
  readonly content: number
  readonly length: number
}

/** @returns undefined where there is no whole record */
export function readRecordHeader(bytes: Uint8Array, at: number): RecordHeader | undefined {
  const owner = readName(bytes, at, true)
  if (!owner || owner.end + RECORD_BYTES > bytes.length) return undefined
  const { end } = owner
  const length = word(bytes, end + 8)
  const content = end + RECORD_BYTES
  if (content + length > bytes.length) return undefined
  const ttl = word(bytes, end + 4) * 0x10000 + word(bytes, end + 6)
  return { owner: owner.text, type: word(bytes, end), class: word(bytes, end + 2), ttl, at: end, content, length }
}

function readRecord(bytes: Uint8Array, header: RecordHeader): AnswerRecord | 'malformed' | undefined {
  if (header.class !== INTERNET) return undefined
  const { owner, content, length } = header
  // A lifetime with the highest bit set is none (RFC 2181 section 8).
  const ttlSeconds = header.ttl >= CACHE_FLUSH_AND_UP ? 0 : header.ttl
  if (header.type === A || header.type === AAAA) {
    if (length !== (header.type === A ? 4 : 16)) return 'malformed'
    const wire = bytes.subarray(content, content + length)
    const type = header.type === A ? 'A' : 'AAAA'
    return { owner, ttlSeconds, type, address: formatIp(type === 'A' ? mapIpv4(wire) : wire) }
  }
  if (header.type !== CNAME) return undefined
  const target = readName(bytes, content, true)
  if (target?.end !== content + length) return 'malformed'
  return { owner, ttlSeconds, type: 'CNAME', target: target.text }
}

const TYPE_NAMES: Readonly<Record<number, string>> = {
  1: 'A',
  2: 'NS',
  5: 'CNAME',
  6: 'SOA',
  12: 'PTR',
  15: 'MX',
  16: 'TXT',
  28: 'AAAA',
  33: 'SRV',
  35: 'NAPTR',
  39: 'DNAME',
  43: 'DS',
  46: 'RRSIG',
  47: 'NSEC',
  48: 'DNSKEY',
  52: 'TLSA',
  64: 'SVCB',
  65: 'HTTPS',
  251: 'IXFR',
  252: 'AXFR',
  255: 'ANY',
  257: 'CAA',
}

/** Name of a type of records; `TYPE65280` for those without (RFC 3597). */
export const typeName = (type: number): string => TYPE_NAMES[type] ?? `TYPE${type}`
