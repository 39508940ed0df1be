// Requests of Kafka that are judged by topics, against the same to a broker asked directly. For information: no target.

import { interleave } from '../harness/interleave.ts'
import { comparedLine, type Line, plainLine, type Section } from '../harness/result.ts'
import { KAFKA_PORT, type KafkaSample, produce, startBroker } from '../testbed/kafka-load.ts'
import type { L7Node } from '../testbed/l7-node.ts'
import { kafkaPolicy, topicName } from '../testbed/l7-objects.ts'
import { ProcessorTime } from '../testbed/processor-time.ts'
import type { Context } from './measurement.ts'

const SECONDS = 0.5
const RULES = 100
const MANY = 64
const STAND_IN = 'the broker is a stand-in in C that keeps nothing: a real one leaves less of the difference'

export async function measureL7Kafka(node: L7Node, context: Context): Promise<Section> {
  await using owned = new AsyncDisposableStack()
  const { testbed, servers } = node
  for (const { namespace } of Object.values(servers)) owned.use(await startBroker(namespace, context.signal))
  testbed.apply('kafka', kafkaPolicy(RULES, KAFKA_PORT))
  owned.defer(() => testbed.remove('kafka'))
  await testbed.untilSettled(context.signal)
  return {
    name: 'l7-kafka',
    title: `Requests of Kafka judged by rules about ${RULES} topics`,
    lines: [...(await measureOne(node, context)), ...(await measureMany(node, context))],
  }
}

const inTurns = (
  { routes }: L7Node,
  connections: number,
  { effort, signal }: Context,
): Promise<Record<'direct' | 'ruled', KafkaSample[]>> => {
  const load = { connections, seconds: SECONDS, topic: topicName(RULES / 2), signal }
  return interleave(
    (['direct', 'ruled'] as const).map(name => ({ name, sample: () => produce(routes[name], load) })),
    { count: effort.l7Rounds, signal },
  )
}

async function measureOne(node: L7Node, context: Context): Promise<Line[]> {
  const text = 'Produce of 1 KiB, 1 connection, p50'
  context.say(text)
  const { direct, ruled } = await inTurns(node, 1, context)
  const [measured, yardstick] = [ruled, direct].map(samples => samples.map(({ p50Micros }) => p50Micros)) as Pair
  return [comparedLine({ id: 'l7/kafka/1', text, unit: 'µs', note: STAND_IN }, 'direct', { measured, yardstick })]
}

async function measureMany(node: L7Node, context: Context): Promise<Line[]> {
  const text = `Produce of 1 KiB, ${MANY} connections`
  context.say(text)
  const spent = new ProcessorTime({ kafka: await node.testbed.proxyServer('kafka') })
  const { direct, ruled } = await inTurns(node, MANY, context)
  const { kafka } = spent.seconds()
  const [measured, yardstick] = [ruled, direct].map(samples => samples.map(({ perSecond }) => perSecond)) as Pair
  // The round that warms up counts for the processor too.
  const all = (measured.reduce((sum, perSecond) => sum + perSecond * SECONDS, 0) * (ruled.length + 1)) / ruled.length
  return [
    comparedLine({ id: 'l7/kafka/64', text, unit: '/s' }, 'direct', { measured, yardstick }),
    plainLine(
      { id: 'l7/kafka/core', text: 'requests for each second of processor time of the Kafka server', unit: '/s' },
      all / kafka,
    ),
  ]
}

type Pair = [measured: number[], yardstick: number[]]
