// Source translation in a namespace, as `nft add rule inet … masquerade` would make it:
// written as netlink messages, so that no program has to be installed. Constants are
// those of linux/netfilter/nfnetlink.h and nf_tables.h.

import { type Namespace, withNamespace } from '../../src/net/index.ts'
import { check, SystemError } from '../../src/sys/errors.ts'
import { addressOf, close, keepAlive, SYSCALL, stableBuffer, syscall } from '../../src/sys/native.ts'

const AF_NETLINK = 16
const SOCK_RAW_CLOEXEC_NONBLOCK = 3 | 0o2000000 | 0o4000
const NETLINK_NETFILTER = 12
const REQUEST_ACK_CREATE = 0x1 | 0x4 | 0x400
const REQUEST = 0x1
const MESSAGE = { error: 2, batchBegin: 0x10, batchEnd: 0x11, newTable: 0x0a00, newChain: 0x0a03, newRule: 0x0a06 }
const NFTABLES = 10
const FAMILY_INET = 1
const POSTROUTING = 4
const PRIORITY_SOURCE_NAT = 100
const NESTED = 0x8000
const HEADER_BYTES = 16

/** From now on, whatever is forwarded leaves with an address of the namespace's own. */
export function masquerade(namespace: Namespace): void {
  const table = text(1, 'test')
  send(namespace, [
    message(MESSAGE.batchBegin, REQUEST, 0, NFTABLES),
    message(MESSAGE.newTable, REQUEST_ACK_CREATE, FAMILY_INET, 0, table),
    message(
      MESSAGE.newChain,
      REQUEST_ACK_CREATE,
      FAMILY_INET,
      0,
      table,
      text(3, 'translate'),
      nested(4, number(1, POSTROUTING), number(2, PRIORITY_SOURCE_NAT)),
      text(7, 'nat'),
    ),
    message(
      MESSAGE.newRule,
      REQUEST_ACK_CREATE,
      FAMILY_INET,
      0,
      text(1, 'test'),
      text(2, 'translate'),
      nested(4, nested(1, text(1, 'masq'), nested(2))),
    ),
    message(MESSAGE.batchEnd, REQUEST, 0, NFTABLES),
  ])
}

const attribute = (type: number, content: Buffer): Buffer => {
  const bytes = Buffer.alloc((4 + content.length + 3) & ~3)
  bytes.writeUInt16LE(4 + content.length, 0)
  bytes.writeUInt16LE(type, 2)
  bytes.set(content, 4)
  return bytes
}
const text = (type: number, value: string): Buffer => attribute(type, Buffer.from(`${value}\0`))
const nested = (type: number, ...content: readonly Buffer[]): Buffer => attribute(type | NESTED, Buffer.concat(content))
const number = (type: number, value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return attribute(type, bytes)
}

function message(type: number, flags: number, family: number, resource: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat([Buffer.from([family, 0, resource >> 8, resource & 0xff]), ...content])
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32LE(HEADER_BYTES + body.length, 0)
  header.writeUInt16LE(type, 4)
  header.writeUInt16LE(flags, 6)
  return Buffer.concat([header, body])
}

/** A batch is carried out before the call returns, as a whole or not at all. */
function send(namespace: Namespace, messages: readonly Buffer[]): void {
  const fd = withNamespace(namespace, () =>
    check('open netlink socket', syscall(SYSCALL.socket, AF_NETLINK, SOCK_RAW_CLOEXEC_NONBLOCK, NETLINK_NETFILTER)),
  )
  try {
    const batch = Buffer.concat(messages)
    const bytes = stableBuffer(batch.length)
    bytes.set(batch)
    check('send to nf_tables', syscall(SYSCALL.sendto, fd, addressOf(bytes), bytes.length))
    keepAlive(bytes)
    const answer = stableBuffer(8192)
    for (;;) {
      const length = syscall(SYSCALL.recvfrom, fd, addressOf(answer), answer.length)
      if (length <= 0) break
      for (let at = 0; at < length; at += (answer.readUInt32LE(at) + 3) & ~3) {
        if (answer.readUInt16LE(at + 4) !== MESSAGE.error) continue
        const errno = -answer.readInt32LE(at + HEADER_BYTES)
        if (errno !== 0) throw new SystemError('translate sources by nf_tables', errno)
      }
    }
  } finally {
    close(fd)
  }
}
