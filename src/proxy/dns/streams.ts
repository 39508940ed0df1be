// DNS over TCP: takes connections that were steered here, as many as one pod and all may
// have, and ends those that say nothing.

import { once } from 'node:events'
import net from 'node:net'
import { parseIp } from '../../ip/index.ts'
import type { SocketEnd } from '../../net/index.ts'
import type { Admission } from '../admission.ts'
import type { Connection } from '../known-flows.ts'
import type { Exchanges } from './exchanges.ts'
import { StreamClient } from './stream-client.ts'

export type StreamOptions = {
  readonly exchanges: Exchanges
  /** Of connections. */
  readonly admission: Admission
  /** For an answer. */
  readonly patienceMs: number
  /** For a question, once all are answered. */
  readonly idleMs: number
}

const SWEEP_MS = 500

export class StreamServer {
  readonly #options: StreamOptions
  readonly #servers: readonly { readonly fd: number; readonly server: net.Server }[]
  readonly #clients = new Map<net.Socket, StreamClient>()
  readonly #sweeper: NodeJS.Timeout

  /** @param listeners descriptors of sockets that listen, or are bound */
  constructor(listeners: readonly number[], options: StreamOptions) {
    this.#options = options
    // A client may say that it will ask nothing more, and still wait for answers.
    this.#servers = listeners.map(fd => ({ fd, server: net.createServer({ noDelay: true, allowHalfOpen: true }) }))
    for (const { server } of this.#servers) server.on('connection', socket => this.#accept(socket))
    this.#sweeper = setInterval(() => {
      const now = performance.now()
      for (const client of this.#clients.values()) client.sweep(now)
    }, SWEEP_MS)
  }

  /** Takes connections from now on; those that came before waited. @throws Error when a socket cannot be listened on */
  async start(): Promise<void> {
    for (const { fd, server } of this.#servers) {
      server.listen({ fd })
      await once(server, 'listening')
      // A connection that cannot be accepted is lost; those that come later are not.
      server.on('error', () => this.#options.exchanges.counts.failed++)
    }
  }

  #accept(socket: net.Socket): void {
    const { exchanges, admission, patienceMs, idleMs } = this.#options
    socket.on('error', () => undefined) // followed by 'close'
    const connection = connectionOf(socket)
    const client = socket.remoteAddress ?? ''
    if (!connection || !admission.enter(client)) {
      exchanges.counts.overLimit++
      socket.destroy()
      return
    }
    const its = new StreamClient(socket, connection, exchanges, patienceMs)
    this.#clients.set(socket, its)
    socket.setTimeout(idleMs, () => {
      if (its.isIdle) socket.destroy()
    })
    socket.on('close', () => {
      this.#clients.delete(socket)
      admission.leave(client)
    })
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    for (const socket of this.#clients.keys()) socket.destroy()
    await Promise.all(
      this.#servers.map(({ server }) => {
        const { promise, resolve } = Promise.withResolvers<void>()
        server.close(() => resolve())
        return promise
      }),
    )
  }
}

/** The address that a transparent socket has is the one that the client asked for. */
function connectionOf(socket: net.Socket): Connection | undefined {
  const client = endOf(socket.remoteAddress, socket.remotePort)
  const server = endOf(socket.localAddress, socket.localPort)
  return client && server && { transport: 'TCP', client, server }
}

function endOf(address: string | undefined, port: number | undefined): SocketEnd | undefined {
  const parsed = address === undefined ? undefined : parseIp(address)
  return parsed && port !== undefined ? { address: parsed.bytes, port } : undefined
}
