// A Kafka connection between two pairs of streams, and what is said on it, for tests.

import { duplexPair } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { ip } from '../../../ip/index.ts'
import type { KafkaRule } from '../../../policy/index.ts'
import type { L7Event } from '../../../tables/index.ts'
import type { KnownFlow } from '../../known-flows.ts'
import { carryConnection } from '../connection.ts'
import { lengthPrefix } from '../frames.ts'
import { HeldBytes } from '../held-bytes.ts'
import { KafkaRuleSets } from '../judge.ts'

const RULES: Partial<KafkaRule>[] = [{ topic: 'orders' }]
export const flowOf = (egress: number, ingress: number): KnownFlow => ({
  identities: [300, 400],
  sets: [egress, ingress],
  rules: [5, 6],
  service: 0,
})

export class Bench {
  readonly events: L7Event[] = []
  readonly client
  readonly broker
  flow: KnownFlow | undefined = flowOf(7, 0)
  #toClient = Buffer.alloc(0)
  #toBroker = Buffer.alloc(0)
  readonly sets = new KafkaRuleSets()
  readonly held: HeldBytes

  /** @param held of all connections of one server */
  constructor(address = '10.0.0.1', held = new HeldBytes()) {
    this.held = held
    const set = (number: number, given: readonly Partial<KafkaRule>[]) => ({
      number,
      rules: { parser: 'kafka' as const, rules: given.map(rule => ({ rule: 'r', field: 'f', ...rule })) },
    })
    const tried = { number: 19, rules: { ...set(19, RULES).rules, audit: true as const } }
    this.sets.apply({ whole: true, add: [set(7, RULES), set(8, [{}]), tried], remove: [] })
    const [client, clientLeg] = duplexPair()
    const [broker, brokerLeg] = duplexPair()
    this.client = client
    this.broker = broker
    for (const end of [client, broker]) end.on('error', () => undefined)
    client.on('data', (chunk: Buffer) => (this.#toClient = Buffer.concat([this.#toClient, chunk])))
    broker.on('data', (chunk: Buffer) => (this.#toBroker = Buffer.concat([this.#toBroker, chunk])))
    carryConnection({
      ends: {
        transport: 'TCP',
        client: { address: ip(address).bytes, port: 40_000 },
        server: { address: ip('10.0.0.2').bytes, port: 9092 },
      },
      client: clientLeg,
      broker: brokerLeg,
      sets: this.sets,
      held: this.held,
      findFlow: () => this.flow,
      emit: event => this.events.push(event),
    })
  }

  async send(end: 'client' | 'broker', ...parts: Uint8Array[]): Promise<void> {
    for (const part of parts) this[end].write(part)
    for (let i = 0; i < 20; i++) await setImmediate()
  }

  takeToClient(): Buffer {
    const taken = this.#toClient
    this.#toClient = Buffer.alloc(0)
    return taken
  }

  takeToBroker(): Buffer {
    const taken = this.#toBroker
    this.#toBroker = Buffer.alloc(0)
    return taken
  }

  get isClosed(): boolean {
    return this.client.readableEnded || this.client.destroyed || this.broker.readableEnded || this.broker.destroyed
  }
}

export const frame = (...parts: (number[] | string | Uint8Array)[]): Buffer => {
  const body = Buffer.concat(parts.map(part => Buffer.from(part as number[])))
  return Buffer.concat([lengthPrefix(body.length), body])
}
export const head = (key: number, version: number, id: number): number[] => [
  0,
  key,
  0,
  version,
  0,
  0,
  0,
  id,
  0,
  1,
  0x63,
]
export const text = (value: string): Buffer => Buffer.concat([Buffer.from([0, value.length]), Buffer.from(value)])
export const metadata = (id: number, topic: string): Buffer => frame(head(3, 1, id), [0, 0, 0, 1], text(topic))
export const produceHead = (id: number, topic: string, acks: number, size: number): Buffer =>
  Buffer.concat([
    Buffer.from([...head(0, 2, id), 0, acks, 0, 0, 0, 1, 0, 0, 0, 1]),
    text(topic),
    Buffer.from([0, 0, 0, 1, 0, 0, 0, 0]),
    lengthPrefix(size),
  ])
export const produce = (id: number, topic: string, acks = 1): Buffer =>
  frame(produceHead(id, topic, acks, 5), [1, 2, 3, 4, 5])
export const answer = (id: number, text = 'answer'): Buffer => frame([0, 0, 0, id], Buffer.from(text))
export const idOf = (bytes: Buffer, at = 0): number => bytes.readInt32BE(at + 4)
