// Cookies of network namespaces: the numbers by which BPF programs know them. Unlike an
// inode number, the kernel never gives one again.

import { check } from '../sys/errors.ts'
import { addressOf, close, keepAlive, SYSCALL, stableBuffer, syscall } from '../sys/native.ts'
import { withNamespace } from './namespace.ts'

const AF_UNIX = 1
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000
const SOL_SOCKET = 1
const SO_NETNS_COOKIE = 71

/** What `bpf_get_netns_cookie` says of the namespace. @throws SystemError (ENOPROTOOPT before Linux 5.14) */
export function namespaceCookie(namespace: { readonly fd: number }): bigint {
  const socket = withNamespace(namespace, () => syscall(SYSCALL.socket, AF_UNIX, SOCK_DGRAM_CLOEXEC, 0))
  check('open a socket in a network namespace', socket)
  const cookie = stableBuffer(8)
  const length = stableBuffer(4)
  length.writeUInt32LE(cookie.length)
  try {
    const result = syscall(
      SYSCALL.getsockopt,
      socket,
      SOL_SOCKET,
      SO_NETNS_COOKIE,
      addressOf(cookie),
      addressOf(length),
    )
    keepAlive([cookie, length])
    check('read the cookie of a network namespace', result)
    return cookie.readBigUInt64LE()
  } finally {
    close(socket)
  }
}
