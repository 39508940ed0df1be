// Sockets that speak as somebody else (IP_TRANSPARENT, IPV6_TRANSPARENT; CAP_NET_ADMIN):
// a proxy asks a server with the address of its client. The kernel chooses the port, at
// random for datagrams. What comes back must be led to this node by whoever steers.

import { SystemError } from '../sys/errors.ts'
import { addressOf, close, pollWritable, SYSCALL, stableBuffer, syscall } from '../sys/native.ts'
import { AF_INET } from './addresses.ts'
import { familyOf, SOCKET_ADDRESS_BYTES, type SocketEnd, writeSocketAddress } from './socket-address.ts'

const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const NONBLOCK_CLOEXEC = 0o2004000
const SOL_SOCKET = 1
const SO_ERROR = 4
const SOL_IP = 0
const SOL_IPV6 = 41
const IP_TRANSPARENT = 19
const IP_BIND_ADDRESS_NO_PORT = 24
const IPV6_TRANSPARENT = 75
const EINPROGRESS = 115

const socketAddress = stableBuffer(SOCKET_ADDRESS_BYTES)
const socketAddressAt = addressOf(socketAddress)
const one = stableBuffer(4)
one.writeUInt32LE(1)

/** Allows the socket to have addresses that are not this node's. @returns 0, or a negated errno */
export function makeTransparent(fd: number, family: number): number {
  const isFour = family === AF_INET
  return syscall(
    SYSCALL.setsockopt,
    fd,
    isFour ? SOL_IP : SOL_IPV6,
    isFour ? IP_TRANSPARENT : IPV6_TRANSPARENT,
    addressOf(one),
    4,
  )
}

export function bindTo(fd: number, end: SocketEnd): number {
  const length = writeSocketAddress(socketAddress, 0, end)
  return syscall(SYSCALL.bind, fd, socketAddressAt, length)
}

function connectTo(fd: number, end: SocketEnd): number {
  const length = writeSocketAddress(socketAddress, 0, end)
  return syscall(SYSCALL.connect, fd, socketAddressAt, length)
}

/**
 * A UDP socket that exchanges datagrams with `to` alone. Does not block.
 * @param from 16 bytes, of the same family as `to`
 * @returns its descriptor, which the caller closes, or a negated errno
 */
export function openForeignDatagrams(from: Uint8Array, to: SocketEnd): number {
  const family = familyOf(to.address)
  const fd = syscall(SYSCALL.socket, family, SOCK_DGRAM | NONBLOCK_CLOEXEC, 0)
  if (fd < 0) return fd
  let result = makeTransparent(fd, family)
  if (result >= 0) result = bindTo(fd, { address: from, port: 0 })
  if (result >= 0) result = connectTo(fd, to)
  if (result >= 0) return fd
  close(fd)
  return result
}

/**
 * A TCP connection to `to`. Resolves when it stands, with its descriptor, which the caller closes. Does not block.
 * @throws SystemError when there is none, also when the signal is aborted (ECANCELED)
 */
export async function connectForeign(from: Uint8Array, to: SocketEnd, signal: AbortSignal): Promise<number> {
  const family = familyOf(to.address)
  const fd = syscall(SYSCALL.socket, family, SOCK_STREAM | NONBLOCK_CLOEXEC, 0)
  let result = fd
  if (result >= 0) result = makeTransparent(fd, family)
  // The port is chosen when it is known whom it is for, so that one may serve many connections.
  if (result >= 0) result = syscall(SYSCALL.setsockopt, fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, addressOf(one), 4)
  if (result >= 0) result = bindTo(fd, { address: from, port: 0 })
  if (result >= 0) result = connectTo(fd, to)
  if (result === -EINPROGRESS) result = await connected(fd, signal)
  if (result >= 0) return fd
  if (fd >= 0) close(fd)
  throw new SystemError('connect with the address of a client', -result)
}

const ECANCELED = 125

function connected(fd: number, signal: AbortSignal): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  const finish = (result: number): void => {
    handle.close()
    signal.removeEventListener('abort', cancel)
    resolve(result)
  }
  const cancel = (): void => finish(-ECANCELED)
  const handle = pollWritable(fd, () => finish(-socketError(fd)))
  signal.addEventListener('abort', cancel)
  if (signal.aborted) cancel()
  return promise
}

const option = stableBuffer(8)
const optionAt = addressOf(option)

function socketError(fd: number): number {
  option.writeUInt32LE(4, 4)
  const result = syscall(SYSCALL.getsockopt, fd, SOL_SOCKET, SO_ERROR, optionAt, optionAt + 4n)
  return result < 0 ? -result : option.readInt32LE(0)
}
