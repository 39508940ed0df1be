// A client, a node and a broker, each in a network namespace of its own, in a row. What
// the datapath would do, routing does here: all that comes in by the node's wires is
// delivered to its own sockets, so that a server there is in the way of every connection.

import { type ChildProcessByStdio, spawn } from 'node:child_process'
import path from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { ip } from '../../src/ip/index.ts'
import { AF_INET, AF_INET6 } from '../../src/net/addresses.ts'
import { bindTo, makeTransparent } from '../../src/net/foreign-sockets.ts'
import { createLink, createNamespace, type Namespace, NetlinkSocket, withNamespace } from '../../src/net/index.ts'
import { check } from '../../src/sys/errors.ts'
import { SYSCALL, syscall } from '../../src/sys/native.ts'
import { outputInside } from '../net/fixture.ts'

export const CLIENT = { 4: '10.9.1.1', 6: 'fd09:1::1' } as const
export const BROKER = { 4: '10.9.2.1', 6: 'fd09:2::1' } as const
/** The clients' ports are few, so that all their flows can be there before they connect. */
export const CLIENT_PORTS = { first: 40_000, last: 40_255 } as const

const end = (addresses: Readonly<Record<4 | 6, string>>, network: number): readonly string[] => [
  'ip link set lo up',
  'ip link set eth0 up',
  `ip addr add ${addresses[4]}/24 dev eth0`,
  `ip addr add ${addresses[6]}/64 dev eth0 nodad`,
  `ip route add default via 10.9.${network}.254`,
  `ip -6 route add default via fd09:${network}::fe`,
  `echo ${CLIENT_PORTS.first} ${CLIENT_PORTS.last} > /proc/sys/net/ipv4/ip_local_port_range`,
]

const wire = (name: string, network: number): readonly string[] => [
  `ip link set ${name} up`,
  `ip addr add 10.9.${network}.254/24 dev ${name}`,
  `ip addr add fd09:${network}::fe/64 dev ${name} nodad`,
  ...['-4', '-6'].map(family => `ip ${family} rule add iif ${name} lookup 100`),
]

const COMMANDS = {
  client: end(CLIENT, 1),
  broker: end(BROKER, 2),
  node: [
    'ip link set lo up',
    ...wire('client', 1),
    ...wire('broker', 2),
    ...['-4', '-6'].map(family => `ip ${family} route add local default dev lo table 100`),
  ],
} as const

export class KafkaNetwork implements Disposable {
  readonly #open = new DisposableStack()
  readonly client = this.#open.use(createNamespace())
  readonly broker = this.#open.use(createNamespace())
  readonly node = this.#open.use(createNamespace())

  async connect(): Promise<void> {
    using netlink = NetlinkSocket.open({ namespace: this.node })
    for (const name of ['client', 'broker'] as const)
      netlink.run(createLink({ kind: 'veth', name, peer: { name: 'eth0', namespace: this[name] } }))
    // Else addresses of IPv6 cannot be used for a second or two.
    const prompt = 'for each in /proc/sys/net/ipv6/conf/*/accept_dad; do echo 0 > $each; done'
    for (const name of ['client', 'broker', 'node'] as const)
      await outputInside(this[name], 'sh', ['-ec', [prompt, ...COMMANDS[name]].join('\n')])
  }

  [Symbol.dispose](): void {
    this.#open.dispose()
  }
}

/** A program of TypeScript beside this file, inside the namespace. */
export function startInside(
  namespace: Namespace,
  program: string,
  args: readonly string[],
): ChildProcessByStdio<Writable, Readable, null> {
  const file = path.join(import.meta.dirname, program)
  return withNamespace(namespace, () =>
    spawn(process.execPath, [file, ...args], { stdio: ['pipe', 'pipe', 'inherit'] }),
  )
}

/** A socket of the node that takes what is sent to the broker. The caller closes it. */
export function listenAsBroker(node: Namespace, family: 4 | 6, port: number): number {
  const type = family === 4 ? AF_INET : AF_INET6
  const fd = withNamespace(node, () => check('open', syscall(SYSCALL.socket, type, SOCK_STREAM_NONBLOCK, 0)))
  check('make transparent', makeTransparent(fd, type))
  check('bind', bindTo(fd, { address: ip(BROKER[family]).bytes, port }))
  check('listen', syscall(SYSCALL.listen, fd, 128))
  return fd
}

const SOCK_STREAM_NONBLOCK = 0o2004001
