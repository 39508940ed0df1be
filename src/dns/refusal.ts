// Answers that refuse: to questions that rules do not allow, and to messages that cannot
// be read. They repeat the question, so that the one who asked knows them for his.

import { readEdns, UNFRAGMENTED_BYTES } from './edns.ts'
import { FLAG, HEADER_BYTES, type Question } from './message.ts'

export const RCODE = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
} as const

const RECURSION_AVAILABLE = 0x0080
/** Of our OPT record: root name, type 41, size of datagrams, nothing else. */
const OPT_BYTES = [0, 0, 41, UNFRAGMENTED_BYTES >> 8, UNFRAGMENTED_BYTES & 0xff, 0, 0, 0, 0, 0, 0] as const
const OPT_FLAGS = 7
const DNSSEC_OK = 0x80

/** The answer to a question that says no more than the code. EDNS is answered where it was spoken. */
export function refuse(query: Uint8Array, question: Question, rcode: number): Uint8Array {
  const edns = readEdns(query, question)
  const answer = new Uint8Array(question.end + (edns ? OPT_BYTES.length : 0))
  answer.set(query.subarray(0, question.end))
  const { flags } = question
  writeHeader(answer, flags, rcode)
  answer[5] = 1
  if (edns) {
    answer[11] = 1
    answer.set(OPT_BYTES, question.end)
    if (edns.dnssecOk) answer[question.end + OPT_FLAGS] = DNSSEC_OK
  }
  return answer
}

/** The answer to a message whose question cannot be read. @returns undefined where there is nobody to answer to */
export function refuseUnreadable(query: Uint8Array, rcode: number = RCODE.formatError): Uint8Array | undefined {
  if (query.length < HEADER_BYTES) return undefined
  const flags = ((query[2] as number) << 8) | (query[3] as number)
  if (flags & FLAG.response) return undefined
  const answer = new Uint8Array(HEADER_BYTES)
  answer.set(query.subarray(0, 2))
  writeHeader(answer, flags, rcode)
  return answer
}

/** Flags of an answer, and counts of zero. */
function writeHeader(answer: Uint8Array, asked: number, rcode: number): void {
  const kept = asked & (FLAG.opcode | FLAG.recursionDesired | FLAG.checkingDisabled)
  const flags = FLAG.response | RECURSION_AVAILABLE | kept | rcode
  answer[2] = flags >> 8
  answer[3] = flags & 0xff
  answer.fill(0, 4, HEADER_BYTES)
}
