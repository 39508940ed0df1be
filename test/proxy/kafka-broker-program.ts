// A stand-in for a Kafka broker: no real one can be had from the registries that set-up
// may use. It keeps records in memory, one partition a topic, every topic is there, a
// group has one member. It reads requests with our own reader (which other tests check
// against the clients' encoders); the clients themselves check its answers. It says that
// it speaks the versions of a broker of today, also those that name topics by number,
// which it does not understand: a client must not use them through the proxy.
// A line of JSON to standard output for each request, and one `{"ready":true}` before.

import net from 'node:net'
import { parseArgs } from 'node:util'
import { writeAnswer } from '../../src/kafka/answer.ts'
import { KAFKA_APIS } from '../../src/kafka/catalogue.ts'
import { type KafkaRequest, parseRequest } from '../../src/kafka/request.ts'

const { values } = parseArgs({ options: { host: { type: 'string' }, port: { type: 'string' } } })
const host = values.host ?? '127.0.0.1'
const port = Number(values.port ?? '9092')

type Named = { readonly name: string; readonly partitions: readonly Values[] }
type Span = { readonly offset: number; readonly length: number }
type Values = Record<string, unknown>
/** What is known of a request: its fields, and its bytes from the header on. */
type Asked = { readonly body: Record<string, unknown>; readonly bytes: Buffer; readonly version: number }

const logs = new Map<string, { readonly base: bigint; readonly bytes: Buffer }[]>()
const ends = new Map<string, bigint>()
const commits = new Map<string, bigint>()
/** As brokers of version 4 have them. */
const SPOKEN: Readonly<Record<number, readonly [number, number]>> = {
  0: [0, 13],
  1: [0, 17],
  2: [0, 10],
  3: [0, 13],
  20: [0, 6],
  68: [0, 1],
  71: [0, 0],
  75: [0, 0],
}

const perPartition = (topics: unknown, answer: (topic: string, partition: Values) => Values): Values[] =>
  (topics as Named[]).map(({ name, partitions }) => ({
    name,
    partitions: partitions.map(partition => ({ index: partition['index'], ...answer(name, partition) })),
  }))

const HANDLERS: Readonly<Record<number, (asked: Asked) => Values | Promise<Values>>> = {
  0: ({ body, bytes }) => ({
    topics: perPartition(body['topics'], (topic, { records }) => ({
      baseOffset: append(topic, bytes, records as Span),
    })),
  }),
  1: async ({ body }) => {
    const wanted = body['topics'] as Named[]
    const isThere = (): boolean =>
      wanted.some(({ name, partitions }) => partitions.some(each => (each['fetchOffset'] as bigint) < endOf(name)))
    const until = Date.now() + Math.min(Number(body['maxWaitMs']), 200)
    while (!isThere() && Date.now() < until) await new Promise(resolve => setTimeout(resolve, 10))
    return {
      topics: perPartition(wanted, (name, partition) => ({
        highWatermark: endOf(name),
        lastStableOffset: endOf(name),
        logStartOffset: 0n,
        abortedTransactions: [],
        records: since(name, partition['fetchOffset'] as bigint),
      })),
    }
  },
  2: ({ body }) => ({
    topics: perPartition(body['topics'], (name, partition) => ({
      offset: partition['timestamp'] === -2n ? 0n : endOf(name),
      oldOffsets: [endOf(name)],
    })),
  }),
  3: ({ body }) => ({
    brokers: [{ id: 1, host, port }],
    clusterId: 'stand-in',
    controllerId: 1,
    topics: ((body['topics'] ?? []) as Named[]).map(({ name }) => ({
      name,
      id: Buffer.from(name.padEnd(16, '.')).subarray(0, 16),
      partitions: [{ index: 0, leaderId: 1, leaderEpoch: 0, replicas: [1], inSync: [1] }],
    })),
  }),
  8: ({ body }) => ({
    topics: perPartition(body['topics'], (name, partition) => {
      commits.set(`${String(body['groupId'])} ${name}`, partition['offset'] as bigint)
      return {}
    }),
  }),
  9: ({ body }) => {
    const committed = (group: unknown, topics: unknown): Values[] =>
      ((topics ?? []) as { name: string; indexes: number[] }[]).map(({ name, indexes }) => ({
        name,
        partitions: indexes.map(index => ({ index, offset: commits.get(`${String(group)} ${name}`) ?? -1n })),
      }))
    const groups = body['groups'] as { groupId: string; topics: unknown }[]
    return {
      topics: committed(body['groupId'], body['topics']),
      groups: groups.map(({ groupId, topics }) => ({ groupId, topics: committed(groupId, topics) })),
    }
  },
  10: ({ body }) => ({
    nodeId: 1,
    host,
    port,
    coordinators: (body['keys'] as string[]).map(key => ({ key, nodeId: 1, host, port })),
  }),
  11: ({ body, bytes }) => {
    const [first] = body['protocols'] as { name: string; metadata: Span }[]
    const memberId = 'member'
    return {
      generation: 1,
      protocolType: body['protocolType'],
      protocolName: first?.name,
      leader: memberId,
      memberId,
      members: [{ memberId, metadata: slice(bytes, first?.metadata) }],
    }
  },
  12: () => ({}),
  13: () => ({}),
  14: ({ body, bytes }) => ({
    protocolType: body['protocolType'],
    protocolName: body['protocolName'],
    assignment: slice(bytes, (body['assignments'] as { assignment: Span }[])[0]?.assignment),
  }),
  18: () => ({
    keys: [...KAFKA_APIS.values(), { key: 68 }, { key: 71 }, { key: 75 }].map(api => {
      const [from, to] = SPOKEN[api.key] ?? ('versions' in api ? api.versions : [0, 0])
      return { key: api.key, from, to }
    }),
  }),
  22: () => ({ producerId: 1n, producerEpoch: 0 }),
}

const endOf = (topic: string): bigint => ends.get(topic) ?? 0n
const slice = (bytes: Buffer, span: Span | undefined): Buffer =>
  span ? bytes.subarray(span.offset, span.offset + span.length) : Buffer.alloc(0)

/** A batch of record format 2: its base offset is the broker's to say. @returns that */
function append(topic: string, bytes: Buffer, records: Span): bigint {
  const base = endOf(topic)
  const batch = Buffer.from(slice(bytes, records))
  batch.writeBigInt64BE(base, 0)
  const log = logs.get(topic) ?? []
  logs.set(topic, [...log, { base, bytes: batch }])
  ends.set(topic, base + BigInt(batch.readInt32BE(23)) + 1n)
  return base
}

const since = (topic: string, offset: bigint): Buffer =>
  Buffer.concat((logs.get(topic) ?? []).filter(({ base }) => base >= offset).map(({ bytes }) => bytes))

async function answer(bytes: Buffer): Promise<Uint8Array | undefined> {
  const request = parseRequest(bytes)
  if (!('api' in request)) throw new Error(request.reason)
  tell(request)
  const { api, header, body } = request
  const handler = HANDLERS[api.key]
  if (!handler) throw new Error(`${api.name} is not served`)
  const given = await handler({ body, bytes, version: header.apiVersion })
  return api.answered?.(body) === false ? undefined : writeAnswer(api, header, given)
}

function tell({ api, header, topics, body }: KafkaRequest): void {
  const session = body['sessionEpoch']
  process.stdout.write(`${JSON.stringify({ api: api.name, version: header.apiVersion, topics, session })}\n`)
}

async function serve(socket: net.Socket): Promise<void> {
  let waiting = Buffer.alloc(0)
  for await (const chunk of socket) {
    waiting = Buffer.concat([waiting, chunk as Buffer])
    while (waiting.length >= 4 && waiting.length >= 4 + waiting.readInt32BE(0)) {
      const end = 4 + waiting.readInt32BE(0)
      const given = await answer(waiting.subarray(4, end))
      waiting = waiting.subarray(end)
      if (given) socket.write(given)
    }
  }
}

const server = net.createServer(socket => {
  socket.on('error', () => undefined)
  serve(socket).catch((error: unknown) => {
    process.stdout.write(`${JSON.stringify({ error: String(error) })}\n`)
    socket.destroy()
  })
})
server.listen(port, '::', () => process.stdout.write('{"ready":true}\n'))
