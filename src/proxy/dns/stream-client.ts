// One client's connection for DNS over TCP: questions may follow each other without
// waiting, answers may come in any order. Bounded in how much may be on its way.

import type net from 'node:net'
import type { Connection } from '../known-flows.ts'
import { type Exchange, Exchanges, serverFailure } from './exchanges.ts'
import { framed, MessageFrames } from './frames.ts'
import { StreamUpstream } from './stream-upstream.ts'

const MAX_ON_THEIR_WAY = 64
/** Of answers that the client does not read, and of questions that are not answered. */
const MAX_WAITING_BYTES = 256 << 10
/** Zone transfers: their answers are many messages (RFC 5936). */
const MANY_MESSAGES: readonly number[] = [251, 252]
const MAX_MISMATCHES = 8

type Asked = { readonly exchange: Exchange; readonly query: Uint8Array; untilMs: number; isAnswered: boolean }

export class StreamClient {
  readonly #socket: net.Socket
  readonly #connection: Connection
  readonly #exchanges: Exchanges
  readonly #patienceMs: number
  readonly #upstream: StreamUpstream
  /** By the id that the server knows. */
  readonly #asked = new Map<number, Asked>()
  #askedBytes = 0
  /** Questions of one read of the socket that have to wait. */
  #read: Buffer[] = []
  #held = 0
  /** The client asks nothing more. */
  #isEnding = false
  #mismatches = 0

  /** @param patienceMs for an answer */
  constructor(socket: net.Socket, connection: Connection, exchanges: Exchanges, patienceMs: number) {
    this.#socket = socket
    this.#connection = connection
    this.#exchanges = exchanges
    this.#patienceMs = patienceMs
    this.#upstream = new StreamUpstream({
      connection,
      onMessage: message => this.#receive(message),
      onEnd: () => this.#lose('the server closed the connection'),
    })
    const frames = new MessageFrames()
    socket.on('data', (chunk: Buffer) => {
      this.#read.push(...frames.push(chunk))
      this.#steady()
    })
    socket.on('drain', () => this.#steady())
    socket.on('end', () => {
      this.#isEnding = true
      this.#steady()
    })
    socket.on('close', () => this.#upstream.end())
  }

  /** Nothing is on its way. */
  get isIdle(): boolean {
    return this.#asked.size === 0 && this.#held === 0 && this.#read.length === 0
  }

  /** Gives up what has waited for too long. */
  sweep(nowMs: number): void {
    for (const [id, asked] of this.#asked)
      if (asked.untilMs <= nowMs) {
        this.#forget(id, asked)
        if (!asked.isAnswered) this.#fail(asked, 'the server did not answer')
      }
    this.#steady()
  }

  #ask(query: Buffer): void {
    const opened = this.#exchanges.open(this.#connection, query, id => !this.#asked.has(id))
    if (!opened) {
      this.#socket.destroy()
      return
    }
    if ('answer' in opened) {
      this.#send(opened.answer)
      return
    }
    const { exchange } = opened
    const untilMs = performance.now() + this.#patienceMs
    const kept = Uint8Array.from(query)
    this.#asked.set(exchange.id, { exchange, query: kept, untilMs, isAnswered: false })
    this.#askedBytes += kept.length
    const message = Uint8Array.from(query)
    Exchanges.writeId(message, exchange.id)
    this.#upstream.ask(message)
  }

  #receive(message: Buffer): void {
    const asked = message.length >= 2 ? this.#asked.get(message.readUInt16BE(0)) : undefined
    const { exchange } = asked ?? {}
    const isMore = asked?.isAnswered === true
    if (!asked || !exchange || !(isMore || this.#exchanges.isAnswer(exchange, message))) {
      this.#exchanges.counts.mismatched++
      if (++this.#mismatches >= MAX_MISMATCHES) this.#socket.destroy()
      return
    }
    if (isMore) {
      asked.untilMs = performance.now() + this.#patienceMs
      Exchanges.writeId(message, exchange.question.id)
      this.#send(message)
      return
    }
    if (MANY_MESSAGES.includes(exchange.question.type)) asked.isAnswered = true
    else this.#forget(exchange.id, asked)
    this.#held++
    this.#exchanges.answered(exchange, message, () => {
      this.#held--
      this.#send(message)
      this.#steady()
    })
  }

  /** The server is gone: a client that waits is told so, one that does not may go on. */
  #lose(reason: string): void {
    const lost = [...this.#asked.values()]
    this.#asked.clear()
    this.#askedBytes = 0
    for (const asked of lost) if (!asked.isAnswered) this.#fail(asked, reason)
    this.#steady()
  }

  #fail({ exchange, query }: Asked, reason: string): void {
    this.#exchanges.failed(exchange, reason)
    this.#send(serverFailure(exchange, query))
  }

  #send(message: Uint8Array): void {
    if (!this.#socket.destroyed) this.#socket.write(framed(message))
  }

  #forget(id: number, { query }: Asked): void {
    this.#asked.delete(id)
    this.#askedBytes -= query.length
  }

  /** Takes no more of either side than the other can take, and ends when there is nothing more to say. */
  #steady(): void {
    let asked = 0
    while (asked < this.#read.length && this.#hasRoom) this.#ask(this.#read[asked++] as Buffer)
    this.#read = this.#read.slice(asked)
    if (this.#hasRoom) this.#socket.resume()
    else this.#socket.pause()
    if (this.#isUnread) this.#upstream.pause()
    else this.#upstream.resume()
    if (this.#isEnding && this.isIdle) this.#socket.end()
  }

  /** The client does not take its answers. */
  get #isUnread(): boolean {
    return this.#socket.writableLength > MAX_WAITING_BYTES
  }

  get #hasRoom(): boolean {
    const isWaiting = this.#asked.size + this.#held >= MAX_ON_THEIR_WAY || this.#askedBytes > MAX_WAITING_BYTES
    return !this.#socket.destroyed && !isWaiting && !this.#isUnread && !this.#upstream.isFull
  }
}
