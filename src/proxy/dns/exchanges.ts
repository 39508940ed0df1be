// One question and its answer, however they travel: judges the question, says what is to
// be sent where, knows an answer for the one that is waited for, teaches its addresses,
// and tells one event at the end. Sends nothing itself.

import { randomFillSync } from 'node:crypto'
import {
  FLAG,
  followChain,
  HEADER_BYTES,
  type Question,
  RCODE,
  readAnswer,
  readQuery,
  readResponse,
  refuse,
  refuseUnreadable,
  typeName,
} from '../../dns/index.ts'
import { formatIp } from '../../ip/index.ts'
import type { L7Event } from '../../tables/index.ts'
import type { EmitEvent } from '../child.ts'
import type { Connection } from '../known-flows.ts'
import type { DnsCounts } from './counts.ts'
import type { Judge, Judgement } from './judge.ts'
import type { DnsOptions } from './options.ts'
import type { Teacher } from './teacher.ts'

/** A question on its way. */
export type Exchange = {
  readonly connection: Connection
  readonly client: string
  readonly question: Question
  readonly judgement: Judgement
  readonly startedMs: number
  /** That it is asked with: known to the server alone. */
  readonly id: number
}

/** What is to be done about a question: ask it, answer it at once, or nothing. */
export type Opened = { readonly exchange: Exchange } | { readonly answer: Uint8Array } | undefined

export type ExchangesOptions = {
  readonly judge: Judge
  readonly teacher: Teacher
  readonly emit: EmitEvent
  readonly counts: DnsCounts
  readonly rejectWith: DnsOptions['rejectWith']
}

type Content = Extract<L7Event['content'], { parser: 'dns' }>
const nowMicros = (): number => Math.round((performance.timeOrigin + performance.now()) * 1000)

export class Exchanges {
  readonly #options: ExchangesOptions

  constructor(options: ExchangesOptions) {
    this.#options = options
  }

  get counts(): DnsCounts {
    return this.#options.counts
  }

  /** @param isFree whether an id may be asked with: those of one connection must differ */
  open(connection: Connection, query: Uint8Array, isFree: (id: number) => boolean = () => true): Opened {
    const { counts, judge, rejectWith } = this.#options
    counts.questions++
    const question = readQuery(query)
    if ('problem' in question) {
      counts.unreadable++
      const answer = refuseUnreadable(query)
      return answer && { answer }
    }
    // Rules speak of what is looked up; other operations carry a name that means something else.
    const isLookup = (question.flags & FLAG.opcode) === 0
    const judgement = judge.judge(connection, isLookup ? question.name : undefined)
    const client = formatIp(connection.client.address)
    let id = randomId()
    while (!isFree(id)) id = randomId()
    const exchange = { connection, client, question, judgement, startedMs: performance.now(), id }
    if (judgement.isAllowed) return { exchange }
    counts.refused++
    const rcode = RCODE[rejectWith]
    this.#tell(exchange, 'DROPPED', { rcode })
    return { answer: refuse(query, question, rcode) }
  }

  /** Writes the question as the server is to see it. */
  static writeId(message: Uint8Array, id: number): void {
    message[0] = id >> 8
    message[1] = id & 0xff
  }

  /** Whether it is the answer to this question: of equal id, name, type and class. Some refusals repeat no question. */
  isAnswer({ id, question }: Exchange, message: Uint8Array): boolean {
    if (message.length < HEADER_BYTES || ((message[0] as number) << 8) + (message[1] as number) !== id) return false
    const repeated = readResponse(message)
    if ('problem' in repeated) return repeated.problem === 'QUESTION_COUNT' && isBareRefusal(message)
    const { name, type, flags } = repeated
    const isSame = name === question.name && type === question.type && repeated.class === question.class
    return isSame && ((flags ^ question.flags) & FLAG.opcode) === 0
  }

  /**
   * The answer has come. It is given the id of the one who asked.
   * @param pass called when it may be sent to him, perhaps before this returns
   */
  answered(exchange: Exchange, message: Uint8Array, pass: () => void): void {
    const { connection, client, question } = exchange
    Exchanges.writeId(message, question.id)
    const repeated = readResponse(message)
    const answer = 'problem' in repeated ? undefined : readAnswer(message, repeated)
    const rcode = answer?.rcode ?? (message[3] as number) & FLAG.rcode
    const { addresses, cnames } = followChain(question.name, answer?.records ?? [])
    const finish = (): void => {
      this.counts.answered++
      pass()
      this.#tell(exchange, exchange.judgement.deniedBy ? 'AUDIT' : 'FORWARDED', {
        rcode,
        ...(addresses.length > 0 && {
          addresses: addresses.map(({ address }) => address),
          ttlSeconds: addresses.reduce((least, { ttlSeconds }) => Math.min(least, ttlSeconds), 0x7fffffff),
        }),
        ...(cnames.length > 0 && { cnames }),
      })
    }
    if (rcode !== RCODE.noError || addresses.length === 0) return finish()
    const server = formatIp(connection.server.address)
    this.#options.teacher.teach({ name: question.name, addresses, client, server, timeMicros: nowMicros() }, finish)
  }

  /** No answer will come. */
  failed(exchange: Exchange, reason: string): void {
    this.counts.unanswered++
    this.#tell(exchange, 'ERROR', {}, reason)
  }

  #tell(exchange: Exchange, verdict: L7Event['verdict'], answer: Partial<Content>, reason?: string): void {
    const { connection, client, question, judgement, startedMs } = exchange
    const { egress, ingress, deniedBy, identities, service } = judgement
    const told = reason ?? judgement.reason
    this.#options.emit({
      timeMicros: nowMicros(),
      verdict,
      transport: connection.transport,
      opener: { address: client, port: connection.client.port, identity: identities[0] },
      responder: {
        address: formatIp(connection.server.address),
        port: connection.server.port,
        identity: identities[1],
      },
      ...(service !== 0 && { service }),
      egress,
      ingress,
      ...(deniedBy && { deniedBy }),
      ...(told !== undefined && { reason: told }),
      ...((verdict === 'FORWARDED' || verdict === 'AUDIT') && {
        latencyNs: Math.round((performance.now() - startedMs) * 1e6),
      }),
      content: { parser: 'dns', query: question.name, queryTypes: [typeName(question.type)], ...answer },
    })
  }
}

/** The answer for a question whose server cannot be asked. */
export function serverFailure({ question }: Exchange, query: Uint8Array): Uint8Array {
  return refuse(query, question, RCODE.serverFailure)
}

/** An answer without question and records that says that something is wrong. */
function isBareRefusal(message: Uint8Array): boolean {
  return message.subarray(4, 10).every(byte => byte === 0) && ((message[3] as number) & FLAG.rcode) !== RCODE.noError
}

const randomIds = new Uint16Array(2048)
let usedIds = randomIds.length

/** Not to be guessed by who has seen others. */
function randomId(): number {
  if (usedIds === randomIds.length) {
    randomFillSync(randomIds)
    usedIds = 0
  }
  return randomIds[usedIds++] as number
}
