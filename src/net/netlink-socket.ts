// A netlink socket, of routing unless another protocol is given. The kernel handles requests inside sendto, and answers lie
// ready when it returns: so everything here is synchronous and nothing waits. Many
// requests go in one send; every one is tried, and each has its own outcome. The kernel
// explains refusals. What requests mean is left to the files of the objects.

import { check, SystemError } from '../sys/errors.ts'
import { addressOf, close, keepAlive, SYSCALL, stableBuffer, syscall } from '../sys/native.ts'
import { NetlinkError } from './errors.ts'
import {
  CONTROL,
  decodeAcknowledgement,
  decodeMessages,
  encodeMessage,
  FLAG,
  ListReader,
  type Message,
} from './message.ts'
import { withNamespace } from './namespace.ts'

/** One change. `operation` names verb and object for errors. */
export type Request = {
  readonly operation: string
  readonly type: number
  readonly flags: number
  readonly body: Buffer
}

/** A question. `decode` answers undefined for a message that is not asked for. */
export type Query<T> = Request & { readonly decode: (message: Message) => T | undefined }

type Outcome = { replies: Message[]; error?: NetlinkError }

const AF_NETLINK = 16
const SOCK_RAW_CLOEXEC_NONBLOCK = 3 | 0o2000000 | 0o4000
const SOL_SOCKET = 1
const SO_RCVBUFFORCE = 33
const SOL_NETLINK = 270
const OPTION = { addMembership: 1, capAcknowledgement: 10, extendedAcknowledgement: 11, strictCheck: 12 } as const
const SOCKET_ADDRESS_BYTES = 12
const MSG_DONTWAIT = 0x40
const MSG_TRUNC = 0x20
const EINTR = 4
const EAGAIN = 11
const EMSGSIZE = 90
const ENOBUFS = 105
const NOT_FOUND: readonly string[] = ['ENODEV', 'ENOENT', 'ESRCH', 'EADDRNOTAVAIL', 'ENXIO']

/** Bounds of one send: its bytes stay under the default send buffer, the answers to it under the receive buffer. */
const MAX_REQUESTS_PER_SEND = 128
const MAX_BYTES_PER_SEND = 64 * 1024
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
/** The kernel fills dumps up to 32 KiB a datagram. */
const DATAGRAM_BYTES = 128 * 1024
const MAX_DUMP_ATTEMPTS = 10

export class NetlinkSocket implements Disposable {
  readonly fd: number
  readonly #datagram = stableBuffer(DATAGRAM_BYTES)
  /** struct sockaddr_nl and its length, filled by recvfrom. */
  readonly #sender = stableBuffer(SOCKET_ADDRESS_BYTES)
  readonly #senderLength = stableBuffer(4)
  #sequence = 1
  #open = true

  private constructor(fd: number) {
    this.fd = fd
  }

  /**
   * Opens a socket in the given namespace, else in the thread's own; it stays there.
   * @param options.groups multicast groups (RTNLGRP_*) to hear, for `receive`
   * @throws SystemError
   */
  static open(
    options: {
      readonly namespace?: { readonly fd: number }
      readonly groups?: readonly number[]
      /** NETLINK_*; routing unless given. */
      readonly protocol?: number
    } = {},
  ): NetlinkSocket {
    const open = (): number => syscall(SYSCALL.socket, AF_NETLINK, SOCK_RAW_CLOEXEC_NONBLOCK, options.protocol ?? 0)
    const fd = options.namespace ? withNamespace(options.namespace, open) : open()
    if (fd < 0) throw new SystemError('open netlink socket', -fd)
    setOption(fd, SOL_NETLINK, OPTION.extendedAcknowledgement, 1)
    setOption(fd, SOL_NETLINK, OPTION.capAcknowledgement, 1)
    setOption(fd, SOL_NETLINK, OPTION.strictCheck, 1)
    // Needs CAP_NET_ADMIN; without it the default is enough for MAX_REQUESTS_PER_SEND acknowledgements.
    setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    try {
      bindSocket(fd)
      for (const group of options.groups ?? [])
        check(`join netlink group ${group}`, setOption(fd, SOL_NETLINK, OPTION.addMembership, group))
    } catch (error) {
      close(fd)
      throw error
    }
    return new NetlinkSocket(fd)
  }

  /** Carries out every request, in order, also those after one that fails. @throws NetlinkError the first failure */
  run(...requests: readonly Request[]): void {
    for (const error of this.attempt(requests)) if (error) throw error
  }

  /** As `run`, and tells each request's failure, if any, at its index. */
  attempt(requests: readonly Request[]): (NetlinkError | undefined)[] {
    return this.#exchange(requests).map(outcome => outcome.error)
  }

  /** The one object asked for, or undefined when there is none. @throws NetlinkError */
  get<T>(query: Query<T>): T | undefined {
    const [outcome] = this.#exchange([query])
    if (outcome?.error && !NOT_FOUND.includes(outcome.error.code)) throw outcome.error
    const [reply] = outcome?.error ? [] : (outcome?.replies ?? [])
    return reply && query.decode(reply)
  }

  /** All objects asked for, as they were at one moment. @throws NetlinkError */
  list<T>(query: Query<T>): T[] {
    for (let attempt = 0; attempt < MAX_DUMP_ATTEMPTS; attempt++) {
      const messages = this.#dump(query)
      if (messages) return messages.map(query.decode).filter(object => object !== undefined)
    }
    throw new NetlinkError(query.operation, EINTR, `the list changed during each of ${MAX_DUMP_ATTEMPTS} attempts`)
  }

  /**
   * Messages that have arrived, for a socket with groups; 'overrun' when the kernel had to drop some, 'empty' when all
   * have been read.
   */
  receive(): readonly Message[] | 'empty' | 'overrun' {
    const received = this.#receiveDatagram('receive netlink events')
    if (typeof received !== 'number') return received
    if (received === -EAGAIN) return 'empty'
    if (received === -ENOBUFS) return 'overrun'
    throw new NetlinkError('receive netlink events', -received)
  }

  close(): void {
    if (this.#open) close(this.fd)
    this.#open = false
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #exchange(requests: readonly Request[]): Outcome[] {
    const outcomes: Outcome[] = []
    for (const chunk of sendable(requests)) outcomes.push(...this.#exchangeChunk(chunk))
    return outcomes
  }

  /** Only the last request of a send asks for an acknowledgement: failures are told anyway, and it stands for all the others. */
  #exchangeChunk(requests: readonly Request[]): Outcome[] {
    const first = this.#sequence
    const last = first + requests.length - 1
    this.#sequence = nextSequence(last)
    this.#send(requests, (request, i) => request.flags | (first + i === last ? FLAG.acknowledge : 0), first)
    const outcomes: Outcome[] = requests.map(() => ({ replies: [] }))
    for (;;) {
      const messages = this.#receiveDatagram(requests[0]?.operation ?? '')
      if (typeof messages === 'number') return this.#lost(requests, outcomes, -messages)
      for (const message of messages) {
        const outcome = outcomes[message.sequence - first]
        const request = requests[message.sequence - first]
        // Anything else is the late answer to an exchange that was given up.
        if (!outcome || !request) continue
        if (message.type !== CONTROL.error) outcome.replies.push(message)
        else {
          const { errno, kernelMessage } = decodeAcknowledgement(message)
          if (errno !== 0) outcome.error = new NetlinkError(request.operation, errno, kernelMessage)
          if (message.sequence === last) return outcomes
        }
      }
    }
  }

  /** Answers are missing: every request that is not known to have failed gets the error that says so. */
  #lost(requests: readonly Request[], outcomes: Outcome[], errno: number): Outcome[] {
    this.#drain()
    return outcomes.map((outcome, i) =>
      outcome.error
        ? outcome
        : { replies: [], error: new NetlinkError(requests[i]?.operation ?? '', errno, "the kernel's answer was lost") },
    )
  }

  /** One attempt. @returns undefined when the list is not of one moment */
  #dump(query: Query<unknown>): readonly Message[] | undefined {
    const sequence = this.#sequence
    this.#sequence = nextSequence(sequence)
    this.#send([query], request => request.flags | FLAG.dump, sequence)
    const reader = new ListReader(sequence)
    for (;;) {
      const datagram = this.#receiveDatagram(query.operation)
      if (typeof datagram === 'number') {
        this.#drain()
        if (datagram === -ENOBUFS) return undefined
        throw new NetlinkError(query.operation, -datagram, 'while reading the list')
      }
      const progress = reader.take(datagram)
      if (progress.kind === 'refused') throw new NetlinkError(query.operation, progress.errno, progress.kernelMessage)
      if (progress.kind === 'interrupted') return undefined
      if (progress.kind === 'complete') return progress.messages
    }
  }

  #send(requests: readonly Request[], flagsOf: (request: Request, index: number) => number, sequence: number): void {
    const encoded = Buffer.concat(
      requests.map((request, i) =>
        encodeMessage({
          type: request.type,
          flags: flagsOf(request, i) | FLAG.request,
          sequence: sequence + i,
          body: request.body,
        }),
      ),
    )
    const stable = stableBuffer(encoded.length)
    encoded.copy(stable)
    let sent: number
    do sent = syscall(SYSCALL.sendto, this.fd, addressOf(stable), stable.length)
    while (sent === -EINTR)
    keepAlive(stable)
    if (sent < 0) throw new NetlinkError(requests[0]?.operation ?? '', -sent, 'sending to netlink')
  }

  /** @returns messages of one datagram from the kernel, in memory of their own; or a negated errno */
  #receiveDatagram(operation: string): Message[] | number {
    for (;;) {
      this.#senderLength.writeUInt32LE(SOCKET_ADDRESS_BYTES)
      const length = syscall(
        SYSCALL.recvfrom,
        this.fd,
        addressOf(this.#datagram),
        this.#datagram.length,
        MSG_DONTWAIT | MSG_TRUNC,
        addressOf(this.#sender),
        addressOf(this.#senderLength),
      )
      if (length === -EINTR) continue
      if (length < 0) return length
      if (length > this.#datagram.length) throw new NetlinkError(operation, EMSGSIZE, `an answer of ${length} bytes`)
      // Port 0 is the kernel; another process may send to this socket too.
      if (this.#sender.readUInt32LE(4) === 0) return decodeMessages(Buffer.from(this.#datagram.subarray(0, length)))
    }
  }

  #drain(): void {
    for (;;) {
      const received = this.#receiveDatagram('drain')
      if (typeof received === 'number' && received !== -ENOBUFS) return
    }
  }
}

const nextSequence = (last: number): number => (last >= 0x7fff0000 ? 1 : last + 1)

function* sendable(requests: readonly Request[]): Generator<Request[]> {
  let chunk: Request[] = []
  let bytes = 0
  for (const request of requests) {
    const length = request.body.length + 32
    if (chunk.length > 0 && (chunk.length === MAX_REQUESTS_PER_SEND || bytes + length > MAX_BYTES_PER_SEND)) {
      yield chunk
      chunk = []
      bytes = 0
    }
    chunk.push(request)
    bytes += length
  }
  if (chunk.length > 0) yield chunk
}

/** Lets the kernel choose the port. A socket without one hears no multicast: port 0 counts as the sender of most events. */
function bindSocket(fd: number): void {
  const anyPort = stableBuffer(SOCKET_ADDRESS_BYTES)
  anyPort.writeUInt16LE(AF_NETLINK)
  check('bind netlink socket', syscall(SYSCALL.bind, fd, addressOf(anyPort), anyPort.length))
  keepAlive(anyPort)
}

function setOption(fd: number, level: number, option: number, value: number): number {
  const bytes = stableBuffer(4)
  bytes.writeInt32LE(value)
  const result = syscall(SYSCALL.setsockopt, fd, level, option, addressOf(bytes), 4)
  keepAlive(bytes)
  return result
}
