// Receives UDP datagrams many at a time, each with where it was sent to before it was
// steered here (recvmmsg; IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR). One batch serves any
// number of sockets, one after the other.

import { check } from '../sys/errors.ts'
import { addressOf, SYSCALL, stableBuffer, syscall } from '../sys/native.ts'
import { CONTROL_HEADER_BYTES, MESSAGE_HEADER } from './message-header.ts'
import { readSocketAddress, SOCKET_ADDRESS_BYTES, type SocketEnd } from './socket-address.ts'

const MSG_DONTWAIT = 0x40
const MSG_TRUNC = 0x20
const SOL_IP = 0
const SOL_IPV6 = 41
const IP_RECVORIGDSTADDR = 20
const IPV6_RECVORIGDSTADDR = 74
const NAME_BYTES = 32
const CONTROL_BYTES = 64
/** struct mmsghdr: struct msghdr, then how many bytes came. */
const MESSAGE = { ...MESSAGE_HEADER, length: MESSAGE_HEADER.bytes, bytes: 64 } as const

/** Asks the kernel to tell where datagrams were sent to. @throws SystemError */
export function tellOriginalDestination(fd: number, family: 4 | 6): void {
  const one = stableBuffer(4)
  one.writeUInt32LE(1)
  const [level, name] = family === 4 ? [SOL_IP, IP_RECVORIGDSTADDR] : [SOL_IPV6, IPV6_RECVORIGDSTADDR]
  check('ask for original destinations', syscall(SYSCALL.setsockopt, fd, level, name, addressOf(one), 4))
}

export class DatagramBatch {
  readonly #capacity: number
  readonly #maxBytes: number
  readonly #messages: Buffer
  readonly #names: Buffer
  readonly #controls: Buffer
  readonly #payloads: Buffer
  readonly #messagesAt: bigint
  readonly #vectors: Buffer

  /** @param maxBytes a longer datagram is told as `isCut` */
  constructor(capacity: number, maxBytes: number) {
    this.#capacity = capacity
    this.#maxBytes = maxBytes
    this.#messages = stableBuffer(capacity * MESSAGE.bytes)
    this.#names = stableBuffer(capacity * NAME_BYTES)
    this.#controls = stableBuffer(capacity * CONTROL_BYTES)
    this.#payloads = stableBuffer(capacity * maxBytes)
    this.#vectors = stableBuffer(capacity * 16)
    this.#messagesAt = addressOf(this.#messages)
    for (let index = 0; index < capacity; index++) {
      const at = index * MESSAGE.bytes
      this.#vectors.writeBigUInt64LE(addressOf(this.#payloads) + BigInt(index * maxBytes), index * 16)
      this.#vectors.writeBigUInt64LE(BigInt(maxBytes), index * 16 + 8)
      this.#messages.writeBigUInt64LE(addressOf(this.#names) + BigInt(index * NAME_BYTES), at + MESSAGE.name)
      this.#messages.writeBigUInt64LE(addressOf(this.#vectors) + BigInt(index * 16), at + MESSAGE.vector)
      this.#messages.writeBigUInt64LE(1n, at + MESSAGE.vectorLength)
      this.#messages.writeBigUInt64LE(addressOf(this.#controls) + BigInt(index * CONTROL_BYTES), at + MESSAGE.control)
    }
  }

  get capacity(): number {
    return this.#capacity
  }

  /** Overwrites what was received before. @returns how many came, or a negated errno (EAGAIN when there are none) */
  receive(fd: number): number {
    for (let at = 0; at < this.#messages.length; at += MESSAGE.bytes) {
      this.#messages.writeUInt32LE(SOCKET_ADDRESS_BYTES, at + MESSAGE.nameLength)
      this.#messages.writeUInt32LE(CONTROL_BYTES, at + MESSAGE.controlLength)
      this.#messages.writeInt32LE(0, at + MESSAGE.flags)
    }
    return syscall(SYSCALL.recvmmsg, fd, this.#messagesAt, this.#capacity, MSG_DONTWAIT, 0)
  }

  /** The datagram's own bytes; valid until the next `receive`. */
  payload(index: number): Uint8Array {
    const length = this.#messages.readUInt32LE(index * MESSAGE.bytes + MESSAGE.length)
    return this.#payloads.subarray(index * this.#maxBytes, index * this.#maxBytes + length)
  }

  isCut(index: number): boolean {
    return (this.#messages.readInt32LE(index * MESSAGE.bytes + MESSAGE.flags) & MSG_TRUNC) !== 0
  }

  source(index: number): SocketEnd | undefined {
    return readSocketAddress(this.#names, index * NAME_BYTES)
  }

  /** Where it was sent to; undefined where the socket was not asked to tell. */
  destination(index: number): SocketEnd | undefined {
    if (this.#messages.readUInt32LE(index * MESSAGE.bytes + MESSAGE.controlLength) < CONTROL_HEADER_BYTES)
      return undefined
    const at = index * CONTROL_BYTES
    const level = this.#controls.readInt32LE(at + 8)
    const type = this.#controls.readInt32LE(at + 12)
    const tells =
      (level === SOL_IP && type === IP_RECVORIGDSTADDR) || (level === SOL_IPV6 && type === IPV6_RECVORIGDSTADDR)
    return tells ? readSocketAddress(this.#controls, at + CONTROL_HEADER_BYTES) : undefined
  }
}
