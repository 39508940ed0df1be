// Real sockets in any network namespace of a test: a pod, the node, a network outside.
// Each namespace gets one process that opens and uses them as it is told; what they hear
// is kept here.

import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import type { TestContext } from 'node:test'
import { Namespace, withNamespace } from '../../src/net/index.ts'
import { type TestCluster, until } from './support.ts'

const PROGRAM = path.join(import.meta.dirname, 'sockets-program.ts')

export type Transport = 'TCP' | 'UDP'

/** Of the socket itself; the kernel's choice unless given. */
type Own = { readonly from?: string; readonly fromPort?: number }

/** What the process is told. */
export type Command = { readonly id: number } & (
  | { readonly order: 'listen'; readonly protocol: Transport; readonly port: number }
  | ({
      readonly order: 'connect'
      readonly protocol: Transport
      readonly address: string
      readonly port: number
    } & Own)
  | { readonly order: 'send'; readonly text: string }
  | { readonly order: 'close' }
)

/** What it tells. */
export type SocketEvent = { readonly id: number } & (
  | { readonly kind: 'open'; readonly port: number }
  | { readonly kind: 'data'; readonly text: string }
  | { readonly kind: 'error'; readonly code: string }
  | { readonly kind: 'closed' }
)

/** One socket, or one that listens together with those that it accepted. */
export class TestSocket {
  /** Its own port; 0 until it is open. */
  port = 0
  /** All that was heard so far. */
  heard = ''
  /** Codes of errors so far, such as `ECONNREFUSED`. */
  readonly errors: string[] = []
  isClosed = false
  readonly #tell: (command: Command) => void
  readonly #id: number

  constructor(id: number, tell: (command: Command) => void) {
    this.#id = id
    this.#tell = tell
  }

  /** For a socket that listens: to whoever spoke to it last. */
  send(text: string): void {
    this.#tell({ id: this.#id, order: 'send', text })
  }

  close(): void {
    this.#tell({ id: this.#id, order: 'close' })
  }

  take(event: SocketEvent): void {
    if (event.kind === 'open') this.port = event.port
    else if (event.kind === 'data') this.heard += event.text
    else if (event.kind === 'error') this.errors.push(event.code)
    else this.isClosed = true
  }
}

export class SocketHost {
  readonly #sockets: TestSocket[] = []
  readonly #tell: (command: Command) => void

  private constructor(t: TestContext, namespace: Namespace) {
    const home = String(fs.statSync('/proc/self/ns/net').ino)
    // spawn() forks before it returns, so the child is born in the namespace.
    const child = withNamespace(namespace, () =>
      spawn(process.execPath, [PROGRAM, home], { stdio: ['pipe', 'pipe', 'inherit'] }),
    )
    t.after(() => child.kill('SIGKILL'))
    child.stdin.on('error', () => undefined)
    this.#tell = command => child.stdin.write(`${JSON.stringify(command)}\n`)
    readline.createInterface({ input: child.stdout }).on('line', line => {
      const event = JSON.parse(line) as SocketEvent
      this.#sockets[event.id]?.take(event)
    })
  }

  static in(t: TestContext, namespace: Namespace): SocketHost {
    return new SocketHost(t, namespace)
  }

  static async inPod(t: TestContext, { client }: TestCluster, pod: string): Promise<SocketHost> {
    const [namespace = '', name = ''] = pod.split('/')
    using inside = Namespace.ofProcess((await client.pod(namespace, name)).pid)
    return new SocketHost(t, inside)
  }

  /** A process of the node itself. */
  static async inNode(t: TestContext, { agent }: TestCluster): Promise<SocketHost> {
    using inside = Namespace.ofProcess((await agent.status()).pid)
    return new SocketHost(t, inside)
  }

  async listen(protocol: Transport, port: number): Promise<TestSocket> {
    const socket = this.#open(id => ({ id, order: 'listen', protocol, port }))
    await this.#untilOpen(socket, `port ${port}/${protocol} to listen`)
    return socket
  }

  /** Resolves when it is connected, or refused. A connection that is denied does neither: see `begin`. */
  async connect(protocol: Transport, address: string, port: number, own: Own = {}): Promise<TestSocket> {
    const socket = this.begin(protocol, address, port, own)
    await this.#untilOpen(socket, `a connection to ${address} port ${port}/${protocol}`)
    return socket
  }

  /** Starts to connect. */
  begin(protocol: Transport, address: string, port: number, own: Own = {}): TestSocket {
    return this.#open(id => ({ id, order: 'connect', protocol, address, port, ...own }))
  }

  #open(command: (id: number) => Command): TestSocket {
    const id = this.#sockets.length
    const socket = new TestSocket(id, this.#tell)
    this.#sockets.push(socket)
    this.#tell(command(id))
    return socket
  }

  async #untilOpen(socket: TestSocket, what: string): Promise<void> {
    await until(what, () => socket.port !== 0 || socket.errors.length > 0)
  }
}
