// A client, a node and a server, each in a network namespace of its own. The node takes
// all that comes in for itself (by rules of routing, in place of the datapath), so a
// proxy there sits in the way of every connection, with original addresses on both legs.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ip } from '../../src/ip/index.ts'
import { AF_INET, AF_INET6 } from '../../src/net/addresses.ts'
import { bindTo, makeTransparent } from '../../src/net/foreign-sockets.ts'
import {
  addAddress,
  addRoute,
  addRule,
  createLink,
  createNamespace,
  type Namespace,
  NetlinkSocket,
  setLink,
  withNamespace,
  writeSysctls,
} from '../../src/net/index.ts'
import { check } from '../../src/sys/errors.ts'
import { addressOf, close, keepAlive, SYSCALL, stableBuffer, syscall } from '../../src/sys/native.ts'

export const CLIENT = { 4: '10.9.1.1', 6: 'fd09:1::1' } as const
export const SERVER = { 4: '10.9.2.2', 6: 'fd09:2::2' } as const
/** Where the server speaks HTTP/1.1, HTTP/2, and where nobody listens. */
export const PORT = { http1: 80, http2: 81, nobody: 82, tls: 443 } as const

const LOCAL_TABLE = 2004
const ENDS = [
  { name: 'client', index: 11, addresses: CLIENT, gateways: { 4: '10.9.1.254', 6: 'fd09:1::fe' } },
  { name: 'server', index: 12, addresses: SERVER, gateways: { 4: '10.9.2.254', 6: 'fd09:2::fe' } },
] as const

export class HttpNetwork implements Disposable {
  readonly client = createNamespace()
  readonly node = createNamespace()
  readonly server = createNamespace()

  constructor() {
    const node = NetlinkSocket.open({ namespace: this.node })
    node.run(setLink({ index: 1 }, { up: true }))
    writeSysctls(this.node, {
      'net/ipv4/ip_forward': 1,
      'net/ipv6/conf/all/forwarding': 1,
      'net/ipv4/conf/all/rp_filter': 0,
      'net/ipv4/conf/default/rp_filter': 0,
    })
    for (const end of ENDS) this.#connect(node, end)
    for (const destination of ['0.0.0.0/0', '::/0'])
      node.run(
        addRoute({
          destination,
          type: 'local',
          table: LOCAL_TABLE,
          index: 1,
          ...(destination === '0.0.0.0/0' && { scope: 'host' }),
        }),
      )
    node.close()
  }

  #connect(node: NetlinkSocket, { name, index, addresses, gateways }: (typeof ENDS)[number]): void {
    const namespace = this[name]
    const end = NetlinkSocket.open({ namespace })
    node.run(createLink({ kind: 'veth', name, index, up: true, peer: { name: 'eth0', index: 2, namespace } }))
    end.run(setLink({ index: 1 }, { up: true }), setLink({ index: 2 }, { up: true }))
    for (const family of [4, 6] as const) {
      const prefixLength = family === 4 ? 24 : 64
      node.run(addAddress({ index, address: gateways[family], prefixLength, ...(family === 6 && { noDad: true }) }))
      end.run(
        addAddress({ index: 2, address: addresses[family], prefixLength, ...(family === 6 && { noDad: true }) }),
        addRoute({ destination: family === 4 ? '0.0.0.0/0' : '::/0', gateway: gateways[family], index: 2 }),
      )
      node.run(addRule({ family, priority: index, inputLink: name, table: LOCAL_TABLE }))
    }
    end.close()
  }

  [Symbol.dispose](): void {
    for (const namespace of [this.client, this.node, this.server]) namespace.close()
  }
}

const AF = { 4: AF_INET, 6: AF_INET6 } as const
const ANY = { 4: ip('0.0.0.0').bytes, 6: ip('::').bytes } as const
const SOCK_STREAM_CLOEXEC = 0o2000001
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_REUSEPORT = 15
const IPPROTO_IPV6 = 41
const IPV6_V6ONLY = 26

/** A socket that listens at a port of all addresses. The caller closes it. */
export function listenEverywhere(namespace: Namespace, family: 4 | 6, port: number): number {
  const fd = withNamespace(namespace, () =>
    check('socket', syscall(SYSCALL.socket, AF[family], SOCK_STREAM_CLOEXEC, 0)),
  )
  setOption(fd, SOL_SOCKET, SO_REUSEADDR)
  setOption(fd, SOL_SOCKET, SO_REUSEPORT)
  if (family === 6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY)
  check('make transparent', makeTransparent(fd, AF[family]))
  check('bind', bindTo(fd, { address: ANY[family], port }))
  check('listen', syscall(SYSCALL.listen, fd, 4096))
  return fd
}

function setOption(fd: number, level: number, option: number): void {
  const one = stableBuffer(4)
  one.writeInt32LE(1, 0)
  check('setsockopt', syscall(SYSCALL.setsockopt, fd, level, option, addressOf(one), 4))
  keepAlive(one)
}

export const closeDescriptor = (fd: number): void => void close(fd)

/** A program of TypeScript beside this file, inside the namespace. */
export function startInside(namespace: Namespace, program: string, args: readonly string[]) {
  const file = fileURLToPath(new URL(program, import.meta.url))
  return withNamespace(namespace, () =>
    spawn(process.execPath, [file, ...args], { stdio: ['pipe', 'pipe', 'inherit'] }),
  )
}
