// Listening sockets that take connections and datagrams for any address, once the
// datapath assigns packets to them (bpf_sk_assign): bound to loopback at a port that the
// kernel chooses, so nobody reaches them but through the datapath. They are descriptors,
// made to be handed to other processes.

import { type Family, ip } from '../ip/index.ts'
import { check } from '../sys/errors.ts'
import { addressOf, close, keepAlive, SYSCALL, stableBuffer, syscall } from '../sys/native.ts'

const AF: Readonly<Record<Family, number>> = { 4: 2, 6: 10 }
const LOOPBACK: Readonly<Record<Family, string>> = { 4: '127.0.0.1', 6: '::1' }
const SOCK = { TCP: 1, UDP: 2 } as const
const CLOEXEC_NONBLOCK = 0o2000000 | 0o4000
const SOL_IP = 0
const IP_TRANSPARENT = 19
const SOL_IPV6 = 41
const IPV6_V6ONLY = 26
const IPV6_TRANSPARENT = 75
const SOL_SOCKET = 1
const SO_RCVBUF = 8
/** struct sockaddr_in and sockaddr_in6: family, port, (flow label,) address. */
const ADDRESS: Readonly<Record<Family, { readonly bytes: number; readonly at: number }>> = {
  4: { bytes: 16, at: 4 },
  6: { bytes: 28, at: 8 },
}
const PORT_AT = 2
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
 * @throws SystemError (EPERM without CAP_NET_ADMIN)
 */
export function openTransparentSocket(family: Family, protocol: 'TCP' | 'UDP'): TransparentSocket {
  const what = `a transparent ${protocol} socket for IPv${family}`
  const fd = check(`open ${what}`, syscall(SYSCALL.socket, AF[family], SOCK[protocol] | CLOEXEC_NONBLOCK, 0))
  try {
    if (family === 6) setOption(fd, SOL_IPV6, IPV6_V6ONLY, 1, what)
    if (family === 4) setOption(fd, SOL_IP, IP_TRANSPARENT, 1, what)
    else setOption(fd, SOL_IPV6, IPV6_TRANSPARENT, 1, what)
    if (protocol === 'UDP') setOption(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES, what)
    bindToLoopback(fd, family, what)
    if (protocol === 'TCP') check(`listen on ${what}`, syscall(SYSCALL.listen, fd, BACKLOG))
    const port = boundPort(fd, family, what)
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

function bindToLoopback(fd: number, family: Family, what: string): void {
  const { bytes, at } = ADDRESS[family]
  const address = stableBuffer(bytes)
  address.writeUInt16LE(AF[family], 0)
  const loopback = ip(LOOPBACK[family]).bytes
  address.set(family === 4 ? loopback.subarray(12) : loopback, at)
  const result = syscall(SYSCALL.bind, fd, addressOf(address), bytes)
  keepAlive(address)
  check(`bind ${what} to ${LOOPBACK[family]}`, result)
}

function boundPort(fd: number, family: Family, what: string): number {
  const address = stableBuffer(ADDRESS[family].bytes)
  const length = stableBuffer(4)
  length.writeUInt32LE(address.length)
  const result = syscall(SYSCALL.getsockname, fd, addressOf(address), addressOf(length))
  keepAlive([address, length])
  check(`ask for the port of ${what}`, result)
  return address.readUInt16BE(PORT_AT)
}
