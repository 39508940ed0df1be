// Sends UDP datagrams that come from any address and port, without a socket there: a
// bound one would be in the way of a server of this node that has, or wants, that port,
// and would take its datagrams. The kernel makes the IP header and fragments; the UDP
// header and its checksum (RFC 768, RFC 8200 section 8.1) are made here.

import { ip } from '../ip/index.ts'
import { check } from '../sys/errors.ts'
import { addressOf, close, SYSCALL, stableBuffer, syscall } from '../sys/native.ts'
import { AF_INET, AF_INET6 } from './addresses.ts'
import { bindTo, makeTransparent } from './foreign-sockets.ts'
import { CONTROL_HEADER_BYTES, MESSAGE_HEADER } from './message-header.ts'
import { SOCKET_ADDRESS_BYTES, type SocketEnd, writeSocketAddress } from './socket-address.ts'

const SOCK_RAW = 3
const NONBLOCK_CLOEXEC = 0o2004000
const IPPROTO_UDP = 17
const UDP_HEADER_BYTES = 8
const MAX_PAYLOAD_BYTES = 65_507
const EMSGSIZE = 90
/** A raw socket gets a copy of all datagrams to its address: these are nobody's (RFC 7600, RFC 6666). */
const NOBODY = { [AF_INET]: ip('192.0.0.8').bytes, [AF_INET6]: ip('100::1').bytes } as const
/** Level, type and content of the control message that names the source: struct in_pktinfo, in6_pktinfo. */
const SOURCE = {
  [AF_INET]: { level: 0, type: 8, bytes: 12, at: 4 },
  [AF_INET6]: { level: 41, type: 50, bytes: 20, at: 0 },
} as const

export class ForeignSender implements Disposable {
  readonly #fd: number
  readonly #family: typeof AF_INET | typeof AF_INET6
  readonly #datagram = stableBuffer(UDP_HEADER_BYTES + MAX_PAYLOAD_BYTES)
  readonly #message = stableBuffer(MESSAGE_HEADER.bytes)
  readonly #vector = stableBuffer(16)
  readonly #name = stableBuffer(SOCKET_ADDRESS_BYTES)
  readonly #control = stableBuffer(40)
  readonly #messageAt = addressOf(this.#message)

  /** @throws SystemError */
  constructor(family: 4 | 6) {
    this.#family = family === 4 ? AF_INET : AF_INET6
    this.#fd = check(
      'open a raw socket',
      syscall(SYSCALL.socket, this.#family, SOCK_RAW | NONBLOCK_CLOEXEC, IPPROTO_UDP),
    )
    try {
      check('make a raw socket transparent', makeTransparent(this.#fd, this.#family))
      check('bind a raw socket', bindTo(this.#fd, { address: NOBODY[this.#family], port: 0 }))
    } catch (error) {
      close(this.#fd)
      throw error
    }
    const { level, type, bytes } = SOURCE[this.#family]
    this.#control.writeBigUInt64LE(BigInt(CONTROL_HEADER_BYTES + bytes), 0)
    this.#control.writeInt32LE(level, 8)
    this.#control.writeInt32LE(type, 12)
    this.#vector.writeBigUInt64LE(addressOf(this.#datagram), 0)
    this.#message.writeBigUInt64LE(addressOf(this.#name), MESSAGE_HEADER.name)
    this.#message.writeBigUInt64LE(addressOf(this.#vector), MESSAGE_HEADER.vector)
    this.#message.writeBigUInt64LE(1n, MESSAGE_HEADER.vectorLength)
    this.#message.writeBigUInt64LE(addressOf(this.#control), MESSAGE_HEADER.control)
    this.#message.writeBigUInt64LE(BigInt(CONTROL_HEADER_BYTES + bytes + (-bytes & 7)), MESSAGE_HEADER.controlLength)
  }

  /** @returns 0, or a negated errno: EAGAIN where too much waits already, EMSGSIZE */
  send(from: SocketEnd, to: SocketEnd, payload: Uint8Array): number {
    if (payload.length > MAX_PAYLOAD_BYTES) return -EMSGSIZE
    const length = UDP_HEADER_BYTES + payload.length
    const datagram = this.#datagram
    datagram.writeUInt16BE(from.port, 0)
    datagram.writeUInt16BE(to.port, 2)
    datagram.writeUInt16BE(length, 4)
    datagram.writeUInt16BE(0, 6)
    datagram.set(payload, UDP_HEADER_BYTES)
    datagram.writeUInt16BE(checksum(from.address, to.address, datagram, length), 6)
    this.#vector.writeUInt32LE(length, 8)
    // A raw socket has no port to send to.
    this.#message.writeUInt32LE(
      writeSocketAddress(this.#name, 0, { address: to.address, port: 0 }),
      MESSAGE_HEADER.nameLength,
    )
    const isFour = this.#family === AF_INET
    this.#control.set(isFour ? from.address.subarray(12) : from.address, CONTROL_HEADER_BYTES + SOURCE[this.#family].at)
    const result = syscall(SYSCALL.sendmsg, this.#fd, this.#messageAt, 0)
    return result < 0 ? result : 0
  }

  [Symbol.dispose](): void {
    close(this.#fd)
  }
}

/** With the pseudo-header; mapped addresses are summed by the four bytes that IPv4 has of them. */
function checksum(source: Uint8Array, destination: Uint8Array, datagram: Buffer, length: number): number {
  let sum = IPPROTO_UDP + length + sumOf(source) + sumOf(destination)
  const even = length & ~1
  for (let at = 0; at < even; at += 2) sum += ((datagram[at] as number) << 8) | (datagram[at + 1] as number)
  if (even < length) sum += (datagram[even] as number) << 8
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  // 0 would say that there is no checksum.
  return ~sum & 0xffff || 0xffff
}

function sumOf(address: Uint8Array): number {
  let sum = 0
  // The mapped form's own 0xffff is zero in this arithmetic.
  for (let at = 0; at < 16; at += 2) sum += ((address[at] as number) << 8) | (address[at + 1] as number)
  return sum
}
