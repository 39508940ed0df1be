// Listening sockets that take connections and datagrams for any address, once the
// datapath assigns packets to them (bpf_sk_assign): bound to loopback at a port that the
// kernel chooses, so nobody reaches them but through the datapath. They are descriptors,
// made to be handed to other processes.

import { type Family, ip } from '../ip/index.ts'
import { check } from '../sys/errors.ts'
import { addressOf, close, keepAlive, SYSCALL, stableBuffer, syscall } from '../sys/native.ts'
import { AF_INET, AF_INET6 } from './addresses.ts'
import { bindTo, makeTransparent } from './foreign-sockets.ts'
import { readSocketAddress, SOCKET_ADDRESS_BYTES } from './socket-address.ts'

const AF: Readonly<Record<Family, number>> = { 4: AF_INET, 6: AF_INET6 }
const LOOPBACK: Readonly<Record<Family, string>> = { 4: '127.0.0.1', 6: '::1' }
const SOCK = { TCP: 1, UDP: 2 } as const
const CLOEXEC_NONBLOCK = 0o2000000 | 0o4000
const SOL_IPV6 = 41
const IPV6_V6ONLY = 26
const SOL_SOCKET = 1
const SO_RCVBUF = 8
const SO_MARK = 36
/** Connections that wait while a server is started again; the kernel caps it at net.core.somaxconn. */
const BACKLOG = 65_535
/** Questions that wait meanwhile; the kernel caps it at net.core.rmem_max. */
const RECEIVE_BUFFER_BYTES = 4 << 20

export type TransparentSocket = Disposable & {
  readonly fd: number
  readonly family: Family
  readonly protocol: 'TCP' | 'UDP'
  /** On loopback. */
  readonly port: number
}

/**
 * Opens one in the calling thread's network namespace, not blocking; a TCP socket listens.
 * @param mark of the packets of all connections that it will accept
 * @throws SystemError (EPERM without CAP_NET_ADMIN)
 */
export function openTransparentSocket(family: Family, protocol: 'TCP' | 'UDP', mark?: number): TransparentSocket {
  const what = `a transparent ${protocol} socket for IPv${family}`
  const fd = check(`open ${what}`, syscall(SYSCALL.socket, AF[family], SOCK[protocol] | CLOEXEC_NONBLOCK, 0))
  try {
    if (family === 6) setOption(fd, SOL_IPV6, IPV6_V6ONLY, 1, what)
    check(`make ${what} transparent`, makeTransparent(fd, AF[family]))
    if (mark !== undefined) setOption(fd, SOL_SOCKET, SO_MARK, mark, what)
    if (protocol === 'UDP') setOption(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES, what)
    check(`bind ${what} to loopback`, bindTo(fd, { address: ip(LOOPBACK[family]).bytes, port: 0 }))
    if (protocol === 'TCP') check(`listen on ${what}`, syscall(SYSCALL.listen, fd, BACKLOG))
    const port = boundPort(fd, what)
    return { fd, family, protocol, port, [Symbol.dispose]: () => void close(fd) }
  } catch (error) {
    close(fd)
    throw error
  }
}

function setOption(fd: number, level: number, option: number, value: number, what: string): void {
  const content = stableBuffer(4)
  content.writeInt32LE(value)
  const result = syscall(SYSCALL.setsockopt, fd, level, option, addressOf(content), 4)
  keepAlive(content)
  check(`set option ${level}/${option} of ${what}`, result)
}

function boundPort(fd: number, what: string): number {
  const address = stableBuffer(SOCKET_ADDRESS_BYTES)
  const length = stableBuffer(4)
  length.writeUInt32LE(address.length)
  const result = syscall(SYSCALL.getsockname, fd, addressOf(address), addressOf(length))
  keepAlive([address, length])
  check(`ask for the port of ${what}`, result)
  return readSocketAddress(address, 0)?.port ?? 0
}
