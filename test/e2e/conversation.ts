// Connections of both transports and both families between two pods, kept open while a
// test changes the world around them. Answers one question: does a packet cross, in
// this direction, now?

import assert from 'node:assert/strict'
import type { Flow } from '../../src/observe/index.ts'
import { type FlowLog, isDropped } from './flows.ts'
import type { SocketHost, TestSocket, Transport } from './sockets.ts'
import { until } from './support.ts'

export type Side = 'client' | 'server'

export class Conversation {
  readonly name: string
  /** To be replaced when another agent has taken over. */
  flows: FlowLog
  readonly #sockets: Readonly<Record<Side, TestSocket>>
  readonly #protocol: Transport
  #words = 0

  private constructor(name: string, sockets: Readonly<Record<Side, TestSocket>>, flows: FlowLog, protocol: Transport) {
    this.name = name
    this.#sockets = sockets
    this.flows = flows
    this.#protocol = protocol
  }

  /** @param address of the server */
  static async open(
    hosts: Readonly<Record<Side, SocketHost>>,
    flows: FlowLog,
    protocol: Transport,
    address: string,
    port: number,
  ): Promise<Conversation> {
    const server = await hosts.server.listen(protocol, port)
    const client = await hosts.client.connect(protocol, address, port)
    assert.deepEqual(client.errors, [])
    const name = `${protocol} to ${address}`
    const conversation = new Conversation(name, { client, server }, flows, protocol)
    // The first word tells a UDP server who its client is.
    await conversation.arrives('client')
    await conversation.arrives('server')
    return conversation
  }

  /** Something is said, and heard on the other side. */
  async arrives(from: Side): Promise<void> {
    const word = this.say(from)
    await until(`${word} to arrive`, () => this.isHeard(word))
  }

  /** Something is said, the kernel drops it, and it is not heard. @returns the drop */
  async isCut(from: Side): Promise<Flow> {
    const sinceMs = Date.now()
    const word = this.say(from)
    const { client, server } = this.#sockets
    const [source, destination] = from === 'client' ? [client, server] : [server, client]
    const isIt = (flow: Flow): boolean =>
      isDropped(flow) &&
      flow.protocol === this.#protocol &&
      flow.source.port === source.port &&
      flow.destination.port === destination.port
    const drop = await this.flows.next(`${word} to be dropped`, isIt, sinceMs)
    assert.ok(!this.isHeard(word), `${word} arrived`)
    return drop
  }

  /** @returns a word that nobody has said before */
  say(from: Side): string {
    const word = `<${this.name} from ${from}: ${++this.#words}>`
    this.#sockets[from].send(word)
    return word
  }

  /** By either side: each word has one that says it. */
  isHeard(word: string): boolean {
    return Object.values(this.#sockets).some(({ heard }) => heard.includes(word))
  }
}
