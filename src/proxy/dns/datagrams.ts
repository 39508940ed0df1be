// DNS over UDP: takes questions that were steered here, asks the servers that they were
// sent to in the name of those who ask, and brings the answers back from those servers.
// Each question has a socket and an id of its own, both at random, so that nobody who
// cannot see it can answer it. One loop over system calls, as long as there is work.

import { limitPayload } from '../../dns/index.ts'
import { isMapped } from '../../ip/index.ts'
import {
  DatagramBatch,
  ForeignSender,
  openForeignDatagrams,
  ReadableSet,
  type SocketEnd,
  tellOriginalDestination,
} from '../../net/index.ts'
import { addressOf, close, SYSCALL, stableBuffer, syscall } from '../../sys/native.ts'
import type { Admission } from '../admission.ts'
import { type Exchange, Exchanges, serverFailure } from './exchanges.ts'

/** Descriptors of listening sockets. */
export type DatagramListeners = { readonly ipv4?: number | undefined; readonly ipv6?: number | undefined }

export type DatagramOptions = {
  readonly exchanges: Exchanges
  readonly admission: Admission
  /** For an answer. */
  readonly patienceMs: number
}

type Open = {
  readonly exchange: Exchange
  /** As it was asked. */
  readonly query: Uint8Array
  readonly untilMs: number
  mismatches: number
}

const BATCH = 32
const MAX_QUESTION_BYTES = 4096
const MAX_ANSWER_BYTES = 65_535
const MSG_DONTWAIT = 0x40
const EAGAIN = 11
/** Whoever guesses at an answer may not guess for long: the client will ask again, from another port. */
const MAX_MISMATCHES = 8
/** Then others on the event loop have their turn. */
const MAX_ROUNDS = 16
const SWEEP_MS = 250

export class DatagramServer implements Disposable {
  readonly #options: DatagramOptions
  readonly #listeners: readonly number[]
  readonly #ready = new ReadableSet(64)
  readonly #questions = new DatagramBatch(BATCH, MAX_QUESTION_BYTES)
  readonly #answer = stableBuffer(MAX_ANSWER_BYTES)
  readonly #answerAt = addressOf(this.#answer)
  readonly #senders: { readonly ipv4: ForeignSender | undefined; readonly ipv6: ForeignSender | undefined }
  /** By the descriptor of its socket, the oldest first. */
  readonly #open = new Map<number, Open>()
  readonly #sweeper: NodeJS.Timeout

  /** @throws SystemError when a socket cannot be made what it must be */
  constructor({ ipv4, ipv6 }: DatagramListeners, options: DatagramOptions) {
    this.#options = options
    this.#listeners = [ipv4, ipv6].filter(fd => fd !== undefined)
    if (ipv4 !== undefined) tellOriginalDestination(ipv4, 4)
    if (ipv6 !== undefined) tellOriginalDestination(ipv6, 6)
    this.#senders = {
      ipv4: ipv4 === undefined ? undefined : new ForeignSender(4),
      ipv6: ipv6 === undefined ? undefined : new ForeignSender(6),
    }
    for (const fd of this.#listeners) this.#ready.add(fd)
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS)
  }

  /** Takes questions from now on; those that came before waited in the sockets. */
  start(): void {
    this.#ready.watch(() => this.#serve())
  }

  #serve(): void {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const count = this.#ready.ready()
      if (count <= 0) return
      for (let index = 0; index < count; index++) {
        const fd = this.#ready.at(index)
        const open = this.#open.get(fd)
        if (open) this.#receiveAnswer(fd, open)
        else if (this.#listeners.includes(fd)) this.#receiveQuestions(fd)
      }
    }
  }

  #receiveQuestions(listener: number): void {
    const batch = this.#questions
    const count = batch.receive(listener)
    for (let index = 0; index < count; index++) {
      const client = batch.source(index)
      const server = batch.destination(index)
      if (!client || !server || batch.isCut(index)) this.#options.exchanges.counts.unreadable++
      else this.#ask(client, server, batch.payload(index))
    }
  }

  #ask(client: SocketEnd, server: SocketEnd, query: Uint8Array): void {
    const { exchanges, admission } = this.#options
    const opened = exchanges.open({ transport: 'UDP', client, server }, query)
    if (!opened) return
    if ('answer' in opened) {
      this.#send(server, client, opened.answer)
      return
    }
    const { exchange } = opened
    if (!admission.enter(exchange.client)) {
      // As a server that has too much to do: silence, and the client asks again.
      exchanges.counts.overLimit++
      return
    }
    const fd = openForeignDatagrams(client.address, server)
    const sent = fd < 0 ? fd : this.#sendQuestion(fd, exchange, query)
    if (sent >= 0) return
    exchanges.counts.failed++
    if (fd >= 0) this.#close(fd)
    else admission.leave(exchange.client)
    this.#fail(exchange, query, 'the server cannot be reached')
  }

  #sendQuestion(fd: number, exchange: Exchange, query: Uint8Array): number {
    const kept = Uint8Array.from(query)
    const untilMs = performance.now() + this.#options.patienceMs
    this.#open.set(fd, { exchange, query: kept, untilMs, mismatches: 0 })
    const added = this.#ready.add(fd)
    if (added < 0) return added
    this.#answer.set(query)
    const asked = this.#answer.subarray(0, query.length)
    Exchanges.writeId(asked, exchange.id)
    limitPayload(asked, exchange.question)
    return syscall(SYSCALL.sendto, fd, this.#answerAt, query.length, MSG_DONTWAIT, 0, 0)
  }

  #receiveAnswer(fd: number, open: Open): void {
    const { exchanges, admission } = this.#options
    const { exchange, query } = open
    for (;;) {
      const length = syscall(SYSCALL.recvfrom, fd, this.#answerAt, MAX_ANSWER_BYTES, MSG_DONTWAIT, 0, 0)
      if (length === -EAGAIN) return
      const answer = this.#answer.subarray(0, Math.max(length, 0))
      if (length >= 0 && exchanges.isAnswer(exchange, answer)) {
        this.#forget(fd)
        this.#pass(exchange, answer)
        return
      }
      if (length >= 0) exchanges.counts.mismatched++
      if (length >= 0 && ++open.mismatches < MAX_MISMATCHES) continue
      this.#forget(fd)
      admission.leave(exchange.client)
      if (length < 0) this.#fail(exchange, query, 'the server cannot be reached')
      else exchanges.failed(exchange, 'others tried to answer for the server')
      return
    }
  }

  /** @param received overwritten by whatever is received next */
  #pass(exchange: Exchange, received: Uint8Array): void {
    const { exchanges, admission } = this.#options
    const { client, server } = exchange.connection
    let answer = received
    let isHeld = true
    exchanges.answered(exchange, received, () => {
      isHeld = false
      admission.leave(exchange.client)
      this.#send(server, client, answer)
    })
    if (isHeld) answer = Uint8Array.from(received)
  }

  #fail(exchange: Exchange, query: Uint8Array, reason: string): void {
    const { client, server } = exchange.connection
    this.#send(server, client, serverFailure(exchange, query))
    this.#options.exchanges.failed(exchange, reason)
  }

  #send(from: SocketEnd, to: SocketEnd, message: Uint8Array): void {
    const sender = isMapped(to.address) ? this.#senders.ipv4 : this.#senders.ipv6
    if (!sender || sender.send(from, to, message) < 0) this.#options.exchanges.counts.failed++
  }

  #sweep(): void {
    const now = performance.now()
    for (const [fd, { exchange, untilMs }] of this.#open) {
      if (untilMs > now) return
      this.#close(fd)
      this.#options.exchanges.failed(exchange, 'the server did not answer')
    }
  }

  #close(fd: number): void {
    const open = this.#open.get(fd)
    this.#forget(fd)
    if (open) this.#options.admission.leave(open.exchange.client)
  }

  /** Its place in the admission is still taken. */
  #forget(fd: number): void {
    this.#open.delete(fd)
    close(fd)
  }

  /** Listening sockets stay open: they are others'. */
  [Symbol.dispose](): void {
    clearInterval(this.#sweeper)
    for (const fd of this.#open.keys()) this.#forget(fd)
    this.#ready[Symbol.dispose]()
    this.#senders.ipv4?.[Symbol.dispose]()
    this.#senders.ipv6?.[Symbol.dispose]()
  }
}
