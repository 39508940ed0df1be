// Real clients, inside the client's namespace: each line of standard input is something
// to do, each line of standard output how it ended.

import net from 'node:net'
import { createInterface } from 'node:readline'
import { Consumer, ProduceAcks, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'
import { Kafka, type Producer as KafkaJsProducer, logLevel } from 'kafkajs'

export type ClientTask = {
  readonly client: 'kafkajs' | 'platformatic'
  readonly action: 'produce' | 'consume'
  readonly address: string
  readonly port: number
  readonly clientId: string
  readonly topic: string
  readonly text: string
  /** The producer stays, and later tasks use its connections. */
  readonly keep?: boolean
  /** Of a Produce; absent: of all replicas. */
  readonly acks?: 0
}

/** `text` is what was consumed; `error` the client's own words. */
export type ClientOutcome = { readonly text?: string; readonly error?: string }

const RETRY = { retries: 0 }
let kept: KafkaJsProducer | undefined
const GIVE_UP_MS = 10_000

const DOERS: Readonly<
  Record<ClientTask['client'], Readonly<Record<ClientTask['action'], (task: ClientTask) => Promise<string>>>>
> = {
  kafkajs: {
    async produce(task) {
      const producer = (task.keep && kept) || kafkajs(task).producer({ retry: RETRY })
      await producer.connect()
      if (task.keep) kept = producer
      try {
        await producer.send({ topic: task.topic, messages: [{ value: task.text }], acks: task.acks ?? -1 })
      } finally {
        if (!task.keep) await producer.disconnect()
      }
      return ''
    },
    async consume(task) {
      const consumer = kafkajs(task).consumer({ groupId: `group-${task.topic}`, maxWaitTimeInMs: 100, retry: RETRY })
      const got = Promise.withResolvers<string>()
      consumer.on('consumer.crash', ({ payload }) => got.reject(payload.error))
      await consumer.connect()
      try {
        await consumer.subscribe({ topic: task.topic, fromBeginning: true })
        await consumer.run({
          eachMessage: async ({ message }) => got.resolve(message.value?.toString() ?? ''),
        })
        return await got.promise
      } finally {
        await consumer.disconnect()
      }
    },
  },
  platformatic: {
    async produce(task) {
      const producer = new Producer({ ...platformatic(task), serializers: stringSerializers })
      try {
        await producer.send({
          messages: [{ topic: task.topic, value: task.text }],
          acks: task.acks === 0 ? ProduceAcks.NO_RESPONSE : ProduceAcks.ALL,
        })
      } finally {
        await producer.close()
      }
      return ''
    },
    async consume(task) {
      const consumer = new Consumer({
        ...platformatic(task),
        groupId: `group-${task.topic}`,
        deserializers: stringDeserializers,
        maxWaitTime: 100,
      })
      try {
        const stream = await consumer.consume({ topics: [task.topic], mode: 'earliest' })
        for await (const message of stream) {
          stream.destroy()
          return message.value
        }
        throw new Error('the stream ended')
      } finally {
        await consumer.close(true)
      }
    },
  },
}

/** kafkajs takes no IPv6 address for a broker to begin with. */
const kafkajs = ({ address, port, clientId }: ClientTask): Kafka =>
  new Kafka({
    brokers: [`first:${port}`],
    clientId,
    logLevel: logLevel.NOTHING,
    retry: RETRY,
    socketFactory: ({ host, onConnect }) =>
      net.connect({ host: host === 'first' ? address : host, port }, onConnect).setNoDelay(true),
  })

const platformatic = ({ address, port, clientId }: ClientTask) => ({
  bootstrapBrokers: [{ host: address, port }],
  clientId,
  retries: 0,
})

function wordsOf(error: unknown): string {
  const causes = error instanceof AggregateError ? (error.errors as unknown[]).map(wordsOf) : []
  const cause = error instanceof Error && error.cause ? [wordsOf(error.cause)] : []
  return [error instanceof Error ? error.message : String(error), ...causes, ...cause].join(': ')
}

async function outcomeOf(task: ClientTask): Promise<ClientOutcome> {
  const late = Promise.withResolvers<string>()
  const timer = setTimeout(() => late.reject(new Error('it took too long')), GIVE_UP_MS)
  try {
    return { text: await Promise.race([DOERS[task.client][task.action](task), late.promise]) }
  } catch (error) {
    return { error: wordsOf(error) }
  } finally {
    clearTimeout(timer)
  }
}

// A client's own timers go on after a failure; what matters has been told.
process.on('uncaughtException', error => process.stderr.write(`${error.message}\n`))
process.on('unhandledRejection', error => process.stderr.write(`${String(error)}\n`))
for await (const line of createInterface({ input: process.stdin }))
  process.stdout.write(`${JSON.stringify(await outcomeOf(JSON.parse(line) as ClientTask))}\n`)
process.exit(0)
