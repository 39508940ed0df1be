// The connection to a server on behalf of one client's connection: made when there is
// something to ask, made again when the server has closed it in between.

import net from 'node:net'
import { connectForeign } from '../../net/index.ts'
import type { Connection } from '../known-flows.ts'
import { framed, MessageFrames } from './frames.ts'

const MAX_WAITING_BYTES = 256 << 10

export type UpstreamOwner = {
  readonly connection: Connection
  /** Overwritten by nobody: it is the owner's. */
  onMessage(message: Buffer): void
  /** It ended, or could not be made. What was asked and not answered will not be. */
  onEnd(): void
}

export class StreamUpstream {
  readonly #owner: UpstreamOwner
  readonly #gone = new AbortController()
  #socket: net.Socket | undefined
  #waiting: Buffer[] = []
  #isConnecting = false

  constructor(owner: UpstreamOwner) {
    this.#owner = owner
  }

  ask(message: Uint8Array): void {
    const frame = framed(message)
    if (this.#socket) this.#socket.write(frame)
    else {
      this.#waiting.push(frame)
      if (!this.#isConnecting) void this.#connect()
    }
  }

  /** Whether the owner should send no more for now. */
  get isFull(): boolean {
    return (this.#socket?.writableLength ?? 0) > MAX_WAITING_BYTES
  }

  pause(): void {
    this.#socket?.pause()
  }

  resume(): void {
    this.#socket?.resume()
  }

  end(): void {
    this.#gone.abort()
    this.#socket?.destroy()
  }

  async #connect(): Promise<void> {
    this.#isConnecting = true
    const { client, server } = this.#owner.connection
    let fd: number
    try {
      fd = await connectForeign(client.address, server, this.#gone.signal)
    } catch {
      if (!this.#gone.signal.aborted) this.#ended()
      return
    } finally {
      this.#isConnecting = false
    }
    const socket = new net.Socket({ fd, readable: true, writable: true })
    const frames = new MessageFrames()
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      for (const message of frames.push(chunk)) this.#owner.onMessage(message)
    })
    socket.on('error', () => undefined) // followed by 'close'
    socket.on('close', () => this.#ended())
    for (const frame of this.#waiting) socket.write(frame)
    this.#waiting = []
    socket.resume()
  }

  #ended(): void {
    this.#socket = undefined
    this.#waiting = []
    if (!this.#gone.signal.aborted) this.#owner.onEnd()
  }
}
