// One datagram at a time from one network namespace to another, synchronously:
// the question "does a packet get through right now?".

import { check } from '../../src/sys/errors.ts'
import { addressOf, close, keepAlive, SYSCALL, stableBuffer, syscall } from '../../src/sys/native.ts'
import type { Namespace } from './support.ts'

export type UdpPath = Disposable & {
  /** Sends a datagram and waits up to 200 ms for it. */
  delivers(): boolean
}

const AF_INET = 2
const SOCK_DGRAM = 2
const SOL_SOCKET = 1
const SO_RCVTIMEO = 20
const PORT = 7777
const WAIT_US = 200_000n

/** @param route.address IPv4 address of `to` */
export function udpPath(route: {
  readonly from: Namespace
  readonly to: Namespace
  readonly address: string
}): UdpPath {
  const destination = socketAddress(route.address)
  const receiver = route.to.inside(() => check('socket', syscall(SYSCALL.socket, AF_INET, SOCK_DGRAM, 0)))
  const sender = route.from.inside(() => check('socket', syscall(SYSCALL.socket, AF_INET, SOCK_DGRAM, 0)))
  check('bind', syscall(SYSCALL.bind, receiver, addressOf(destination), destination.length))
  const timeout = stableBuffer(16)
  timeout.writeBigInt64LE(WAIT_US, 8)
  check('setsockopt', syscall(SYSCALL.setsockopt, receiver, SOL_SOCKET, SO_RCVTIMEO, addressOf(timeout), 16))
  keepAlive(timeout)

  const sent = stableBuffer(4)
  const received = stableBuffer(64)
  let sequence = 0
  return {
    delivers() {
      sent.writeUInt32LE(++sequence)
      syscall(SYSCALL.sendto, sender, addressOf(sent), sent.length, 0, addressOf(destination), destination.length)
      for (;;) {
        const length = syscall(SYSCALL.recvfrom, receiver, addressOf(received), received.length, 0, 0, 0)
        keepAlive([sent, received, destination])
        if (length < 0) return false
        if (received.readUInt32LE(0) === sequence) return true
      }
    },
    [Symbol.dispose]() {
      close(sender)
      close(receiver)
    },
  }
}

/** `struct sockaddr_in` */
function socketAddress(address: string): Buffer {
  const bytes = stableBuffer(16)
  bytes.writeUInt16LE(AF_INET, 0)
  bytes.writeUInt16BE(PORT, 2)
  bytes.set(address.split('.').map(Number), 4)
  return bytes
}
