// A node with a pod and a DNS server on two wires, and the DNS server of the proxy as the
// child that it is in life. What the datapath would do, routing does here: all that comes
// in by the wires is delivered to this node's own sockets, and flows are written by hand.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import readline from 'node:readline'
import { type MessageRecord, message, TYPE } from '../../src/dns/testing/messages.ts'
import { ip } from '../../src/ip/index.ts'
import { type Datapath, loadDatapath } from '../../src/maps/index.ts'
import { createLink, createNamespace, type Namespace, NetlinkSocket, withNamespace } from '../../src/net/index.ts'
import type { L7RuleSet } from '../../src/policy/index.ts'
import type { ChildStart, FromChild, ToChild } from '../../src/proxy/child.ts'
import { linesOf } from '../../src/proxy/lines.ts'
import { flowEntry } from '../../src/proxy/testing/flow-entry.ts'
import { check } from '../../src/sys/errors.ts'
import { addressOf, close, keepAlive, SYSCALL, stableBuffer, syscall } from '../../src/sys/native.ts'
import type { L7Event, L7EventLine } from '../../src/tables/index.ts'
import { temporaryBpffs } from '../bpf/support.ts'
import { outputInside } from '../net/fixture.ts'
import type { ClientAnswer, ClientCall } from './dns-client-program.ts'

export const POD = { 4: '10.244.0.7', 6: 'fd00:10::7' } as const
export const OTHER_POD = '10.244.0.8'
export const SERVER = { 4: '10.96.0.2', 6: 'fd00:96::2' } as const
export const PORT = 53

const OBJECT = readFileSync(new URL('../../build/pod.o', import.meta.url))
const CHILD = path.join(import.meta.dirname, '../../src/proxy/dns/main.ts')
const NONBLOCK_CLOEXEC = 0o2004000
const SOCK_STREAM = 1
const SOCK_DGRAM = 2

/** Devices, addresses and routes, as `ip` takes them. */
const NETWORK = {
  node: [
    'link set lo up',
    'link set topod up',
    'link set toserver up',
    'addr add 10.244.0.1/24 dev topod',
    'addr add fd00:10::1/64 dev topod nodad',
    'addr add 10.96.0.1/24 dev toserver',
    'addr add fd00:96::1/64 dev toserver nodad',
    ...['-4', '-6'].flatMap(family => [
      `${family} rule add iif topod lookup 100`,
      `${family} rule add iif toserver lookup 100`,
      `${family} route add local default dev lo table 100`,
    ]),
  ],
  pod: [
    'link set lo up',
    'link set eth0 up',
    `addr add ${POD[4]}/24 dev eth0`,
    `addr add ${OTHER_POD}/24 dev eth0`,
    `addr add ${POD[6]}/64 dev eth0 nodad`,
    'route add default via 10.244.0.1',
    '-6 route add default via fd00:10::1',
  ],
  server: [
    'link set lo up',
    'link set eth0 up',
    `addr add ${SERVER[4]}/24 dev eth0`,
    `addr add ${SERVER[6]}/64 dev eth0 nodad`,
    'route add default via 10.96.0.1',
    '-6 route add default via fd00:96::1',
  ],
} as const

export type Heard = {
  readonly transport: string
  readonly address: string
  readonly port: number
  readonly id: number
  readonly name: string
  /** Of EDNS. */
  readonly payloadBytes?: number
}

export class DnsNode implements Disposable {
  readonly #open = new DisposableStack()
  readonly #namespaces: Readonly<Record<keyof typeof NETWORK, Namespace>>
  readonly #datapath: Datapath
  readonly #bpf: string
  readonly #listeners: number[]
  /** What the server was asked. */
  readonly heard: Heard[] = []
  readonly events: L7Event[] = []
  #client: ChildProcess | undefined
  #answers: AsyncIterator<string> | undefined
  #child: ChildProcess | undefined
  #messages: AsyncIterator<string> | undefined
  #revision = 0
  #port = 20_000

  private constructor() {
    this.#namespaces = { node: createNamespace(), pod: createNamespace(), server: createNamespace() }
    for (const namespace of Object.values(this.#namespaces)) this.#open.use(namespace)
    const bpffs = this.#open.use(temporaryBpffs())
    this.#bpf = bpffs.path
    this.#datapath = this.#open.use(
      loadDatapath({
        object: OBJECT,
        hostMac: new Uint8Array(6),
        pins: bpffs.path,
        sizes: { flows: 16_384 },
      }),
    )
    this.#listeners = []
  }

  /** @param isQuiet what the server hears is not told */
  static async start(options: Partial<ChildStart> = {}, isQuiet = false): Promise<DnsNode> {
    const node = new DnsNode()
    await node.#connect()
    const sockets = [SOCK_STREAM, SOCK_DGRAM].flatMap(type => [4, 6].map(family => node.#listen(family as 4 | 6, type)))
    node.#listeners.push(...sockets)
    await node.#serve(isQuiet)
    await node.startChild(options)
    return node
  }

  async #connect(): Promise<void> {
    const { node, pod, server } = this.#namespaces
    using netlink = NetlinkSocket.open({ namespace: node })
    for (const [name, namespace] of [
      ['topod', pod],
      ['toserver', server],
    ] as const)
      netlink.run(createLink({ kind: 'veth', name, peer: { name: 'eth0', namespace } }))
    for (const [name, commands] of Object.entries(NETWORK)) {
      // Else addresses cannot be used for a second or two.
      const prompt = 'for every in /proc/sys/net/ipv6/conf/*/accept_dad; do echo 0 > $every; done'
      const script = [prompt, ...commands.map(command => `ip ${command}`)].join(' && ')
      await outputInside(this.#namespaces[name as keyof typeof NETWORK], 'sh', ['-c', script])
    }
  }

  /** A socket as the supervisor makes them. */
  #listen(family: 4 | 6, type: number): number {
    const set = (fd: number, level: number, name: number): void => {
      const one = stableBuffer(4)
      one.writeUInt32LE(1)
      check('setsockopt', syscall(SYSCALL.setsockopt, fd, level, name, addressOf(one), 4))
      keepAlive(one)
    }
    const fd = withNamespace(this.#namespaces.node, () =>
      check('socket', syscall(SYSCALL.socket, family === 4 ? 2 : 10, type | NONBLOCK_CLOEXEC, 0)),
    )
    this.#open.defer(() => void close(fd))
    if (family === 6) set(fd, 41, 26)
    set(fd, family === 4 ? 0 : 41, family === 4 ? 19 : 75)
    const address = stableBuffer(28)
    address.writeUInt16LE(family === 4 ? 2 : 10, 0)
    address.writeUInt16BE(PORT, 2)
    check('bind', syscall(SYSCALL.bind, fd, addressOf(address), family === 4 ? 16 : 28))
    keepAlive(address)
    if (type === SOCK_STREAM) check('listen', syscall(SYSCALL.listen, fd, 128))
    return fd
  }

  #spawn(
    where: keyof typeof NETWORK,
    args: readonly string[],
    stdio: Parameters<typeof spawn>[2]['stdio'],
  ): ChildProcess {
    const child = withNamespace(this.#namespaces[where], () => spawn(process.execPath, args, { stdio }))
    this.#open.defer(() => void child.kill('SIGKILL'))
    return child
  }

  async #serve(isQuiet: boolean): Promise<void> {
    const program = path.join(import.meta.dirname, 'dns-server-program.ts')
    const server = this.#spawn(
      'server',
      [program, ...Object.values(SERVER), ...(isQuiet ? ['quiet'] : [])],
      ['ignore', 'pipe', 'inherit'],
    )
    const lines = outputOf(server)
    await once(lines, 'line')
    lines.on('line', line => this.heard.push(JSON.parse(line) as Heard))
    this.#client = this.#spawn(
      'pod',
      [path.join(import.meta.dirname, 'dns-client-program.ts')],
      ['pipe', 'pipe', 'inherit'],
    )
    this.#answers = outputOf(this.#client)[Symbol.asyncIterator]()
  }

  /** Also another one, after the first has ended. It serves from the first `apply` on. */
  async startChild(options: Partial<ChildStart> = {}): Promise<void> {
    this.#child = this.#spawn('node', [CHILD], ['ignore', 'inherit', 'inherit', 'pipe', 'pipe', ...this.#listeners])
    const [, , , control, events] = this.#child.stdio
    this.#messages = linesOf(control as net.Socket)
    void this.#follow(linesOf(events as net.Socket))
    this.#send({ type: 'start', start: { bpf: this.#bpf, state: '/nowhere', ...options } })
    await this.#until('ready')
  }

  async #follow(lines: AsyncIterable<string>): Promise<void> {
    for await (const line of lines) {
      const told = JSON.parse(line) as L7EventLine
      if ('content' in told) this.events.push(told)
    }
  }

  #send(told: ToChild): void {
    const control = this.#child?.stdio[3] as net.Socket
    control.write(`${JSON.stringify(told)}\n`)
  }

  async #until(type: FromChild['type']): Promise<FromChild> {
    for (;;) {
      const { value, done } = (await this.#messages?.next()) ?? { done: true, value: '' }
      if (done) throw new Error('the child has ended')
      const told = JSON.parse(value) as FromChild
      if (told.type === type) return told
    }
  }

  /** About what was asked from a port. */
  async eventOf(port: number): Promise<L7Event> {
    for (let tries = 0; tries < 500; tries++) {
      const found = this.events.find(({ opener }) => opener.port === port)
      if (found) return found
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    throw new Error(`no event tells of port ${port}`)
  }

  /** The counters, once one of them has come so far. */
  async countsWhen(name: string, atLeast: number): Promise<Readonly<Record<string, number>>> {
    for (;;) {
      const told = await this.#until('counts')
      if (told.type === 'counts' && (told.counts[name] ?? 0) >= atLeast) return told.counts
    }
  }

  async apply(add: readonly L7RuleSet[], remove: readonly number[] = []): Promise<FromChild> {
    this.#send({ type: 'rule-sets', revision: ++this.#revision, change: { whole: false, add, remove } })
    return this.#until('applied')
  }

  async killChild(): Promise<void> {
    const ended = once(this.#child as ChildProcess, 'exit')
    this.#child?.kill('SIGKILL')
    await ended
  }

  /** As the datapath writes them: the connection is judged by a rule set of the pod's egress. */
  flow(connection: { from: string; port: number; to: string; transport: 'TCP' | 'UDP' }, set: number): void {
    const { schema, maps } = this.#datapath
    const { from, port, to, transport } = connection
    const ends = {
      transport,
      client: { address: ip(from).bytes, port },
      server: { address: ip(to).bytes, port: PORT },
    }
    const rules = { egress_rule: 11, ingress_rule: 0, l7: [set, 0] as const }
    maps.flows.set(...flowEntry(schema, 'DNS', ends, { endpoint: [1, 0], ...rules }))
  }

  /** Another program in the pod, with its output. */
  inPod(args: readonly string[]): ChildProcess {
    return this.#spawn('pod', args, ['ignore', 'pipe', 'inherit'])
  }

  /** From now on pod and server speak without a proxy between them. */
  async lead(): Promise<void> {
    const script =
      'ip rule del iif topod lookup 100; ip rule del iif toserver lookup 100; echo 1 > /proc/sys/net/ipv4/ip_forward'
    await outputInside(this.#namespaces.node, 'sh', ['-c', script])
  }

  get datapath(): Datapath {
    return this.#datapath
  }

  get isAlive(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null
  }

  get childPid(): number {
    return this.#child?.pid ?? 0
  }

  [Symbol.dispose](): void {
    this.#open.dispose()
  }

  /** One who asks, from a port of his own. */
  async ask(asked: Asked): Promise<ClientAnswer> {
    const { transport = 'UDP', family = 4, set = 0, names = [], wanted = names.length, timeoutMs = 2_000 } = asked
    const from = { address: asked.from ?? POD[family], port: asked.port ?? this.#port++ }
    const to = { address: SERVER[family], port: PORT }
    if (set !== 'unknown') this.flow({ from: from.address, port: from.port, to: to.address, transport }, set)
    const messages = [...(asked.messages ?? []), ...names.map((name, id) => question(name, id, asked.additional))]
    const call: ClientCall = {
      transport,
      from,
      to,
      messages: messages.map(bytes => Buffer.from(bytes).toString('base64')),
      wanted,
      timeoutMs,
      isLast: asked.isLast ?? false,
    }
    this.#client?.stdin?.write(`${JSON.stringify(call)}\n`)
    const { value } = (await this.#answers?.next()) ?? {}
    return JSON.parse(value as string) as ClientAnswer
  }
}

export type Asked = {
  readonly transport?: 'TCP' | 'UDP'
  readonly family?: 4 | 6
  readonly from?: string
  readonly port?: number
  /** Number of the rule set; `unknown`: the datapath knows no such connection. */
  readonly set?: number | 'unknown'
  readonly names?: readonly string[]
  /** Sent before the names. */
  readonly messages?: readonly Uint8Array[]
  readonly additional?: readonly MessageRecord[]
  readonly wanted?: number
  readonly timeoutMs?: number
  /** Over TCP: the client says that it will ask nothing more. */
  readonly isLast?: boolean
}

/** Its id is the place of the name; a name may be followed by ` AAAA`. */
export function question(name: string, id: number, additional: readonly MessageRecord[] = []): Uint8Array {
  const [bare = '', type] = name.split(' ')
  return message({ id, questions: [{ name: bare, type: type === 'AAAA' ? TYPE.AAAA : TYPE.A }], additional })
}

function outputOf({ stdout }: ChildProcess): readline.Interface {
  if (!stdout) throw new Error('a process without output')
  return readline.createInterface({ input: stdout })
}
