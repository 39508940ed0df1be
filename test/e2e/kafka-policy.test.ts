// A policy about Kafka, from the manifest to real clients' words: pods produce and consume
// what rules allow, are told in the protocol what they do not, and the broker's own pod
// may allow less. The broker is a stand-in (test/proxy/kafka-broker-program.ts).

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import readline from 'node:readline'
import { type TestContext, test } from 'node:test'
import { Namespace, withNamespace } from '../../src/net/index.ts'
import type { ClientOutcome, ClientTask } from '../proxy/kafka-client-program.ts'
import type { BrokerRequest } from '../proxy/kafka-proxy.ts'
import { podManifest } from '../sandbox/support.ts'
import { outputOf } from './command-line.ts'
import { FlowLog } from './flows.ts'
import { NEEDS_ROOT, startCluster, type TestCluster, until } from './support.ts'

const NAME = 'e2e-kafka-policy'
const CLIENT = 'shop/client'
const BROKER = 'shop/broker'
const PROGRAMS = path.join(import.meta.dirname, '../proxy')
/** A broker says one address of itself to its clients, so there is one of each family. */
const PORTS = { 4: 9092, 6: 9093 } as const
const DENIED = /not authorized|authorization failed/i

const portsOf = (kafka: readonly object[]) => [
  { ports: Object.values(PORTS).map(port => ({ port: String(port), protocol: 'TCP' })), rules: { kafka } },
]
const policyOf = (name: string, spec: object) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { namespace: 'shop', name },
  spec,
})
const toBroker = (...kafka: readonly object[]) =>
  policyOf('to-broker', {
    endpointSelector: { matchLabels: { role: 'client' } },
    egress: [{ toEndpoints: [{ matchLabels: { app: 'broker' } }], toPorts: portsOf(kafka) }],
  })
const ofBroker = (...kafka: readonly object[]) =>
  policyOf('of-broker', {
    endpointSelector: { matchLabels: { app: 'broker' } },
    ingress: [{ fromEndpoints: [{ matchLabels: { role: 'client' } }], toPorts: portsOf(kafka) }],
  })

/** A program beside the proxy's tests, in the network of a pod. */
async function startIn(
  t: TestContext,
  { client }: TestCluster,
  pod: string,
  program: string,
  ...args: readonly string[]
): Promise<{ readonly child: ChildProcess; readonly lines: readline.Interface }> {
  const [namespace = '', name = ''] = pod.split('/')
  using inside = Namespace.ofProcess((await client.pod(namespace, name)).pid)
  // spawn() forks before it returns, so the child is born in the namespace.
  const child = withNamespace(inside, () =>
    spawn(process.execPath, [path.join(PROGRAMS, program), ...args], { stdio: ['pipe', 'pipe', 'inherit'] }),
  )
  t.after(() => child.kill('SIGKILL'))
  assert.ok(child.stdout)
  return { child, lines: readline.createInterface({ input: child.stdout }) }
}

test('policies about requests of Kafka', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, NAME)
  await cluster.enforce(
    'pods',
    podManifest(CLIENT, { labels: { role: 'client' } }),
    podManifest(BROKER, { labels: { app: 'broker' } }),
  )
  await cluster.untilReady(CLIENT, BROKER)
  const addresses = (await cluster.pod(BROKER))?.addresses ?? []
  const addressOf = (family: 4 | 6): string => addresses.find(each => each.includes(':') === (family === 6)) ?? ''
  const requests: BrokerRequest[] = []
  for (const family of [4, 6] as const) {
    const args = ['--host', addressOf(family), '--port', String(PORTS[family])]
    const { lines } = await startIn(t, cluster, BROKER, 'kafka-broker-program.ts', ...args)
    await once(lines, 'line')
    lines.on('line', line => requests.push(JSON.parse(line) as BrokerRequest))
  }
  const { child, lines } = await startIn(t, cluster, CLIENT, 'kafka-client-program.ts')
  const outcomes = lines[Symbol.asyncIterator]()
  const does = async (change: Partial<ClientTask>, family: 4 | 6 = 4): Promise<ClientOutcome> => {
    const task: ClientTask = {
      client: 'kafkajs',
      action: 'produce',
      clientId: 'shop',
      topic: 'orders',
      text: 'an order',
      address: addressOf(family),
      port: PORTS[family],
      ...change,
    }
    child.stdin?.write(`${JSON.stringify(task)}\n`)
    return JSON.parse((await outcomes.next()).value as string) as ClientOutcome
  }
  const untilDenied = (what: string, change: Partial<ClientTask>) =>
    until(`${what} to be denied`, async () => DENIED.test((await does(change)).error ?? ''))

  await t.test('roles, topics and client ids are enforced, over each family, for each client', async () => {
    await cluster.enforce(
      'egress',
      toBroker({ role: 'produce', topic: 'orders', clientID: 'shop' }, { role: 'consume', topic: 'orders' }),
    )
    await untilDenied('another topic', { topic: 'secret' })
    requests.length = 0
    for (const family of [4, 6] as const)
      for (const client of ['kafkajs', 'platformatic'] as const) {
        const over = `${client} over IPv${family}`
        assert.deepEqual(await does({ client }, family), { text: '' }, over)
        assert.deepEqual(await does({ client, action: 'consume', clientId: 'any' }, family), { text: 'an order' }, over)
        assert.match((await does({ client, topic: 'secret' }, family)).error ?? '', DENIED, over)
        assert.match((await does({ client, topic: 'secret', action: 'consume' }, family)).error ?? '', DENIED, over)
        assert.match((await does({ client, clientId: 'stranger' }, family)).error ?? '', DENIED, over)
      }
    assert.deepEqual([...new Set(requests.flatMap(({ topics }) => topics ?? []))], ['orders'])
  })

  await t.test('each request is told, those that are denied with the nearest rule', async () => {
    const log = await FlowLog.follow(t, cluster)
    const sinceMs = Date.now()
    const told = (apiKey: string, topic: string, verdict: string) =>
      log.next(
        `${verdict} ${apiKey} of ${topic}`,
        ({ l7, verdict: is }) => l7?.kafka?.apiKey === apiKey && l7.kafka.topic === topic && is === verdict,
        sinceMs,
      )
    assert.deepEqual(await does({}), { text: '' })
    const allowed = await told('produce', 'orders', 'FORWARDED')
    assert.deepEqual(
      [allowed.source.pod?.name, allowed.destination.pod?.name, allowed.egressRule?.field, allowed.l7?.type],
      ['client', 'broker', 'rules.kafka[0]', 'REQUEST'],
    )
    assert.equal(allowed.l7?.kafka?.clientId, 'shop')
    assert.match((await does({ topic: 'secret' })).error ?? '', DENIED)
    const denied = await told('metadata', 'secret', 'DROPPED')
    assert.deepEqual([denied.direction, denied.l7?.nearestRule?.because.at(-1)?.has], ['egress', 'secret'])
    const lines = await outputOf('observe', '--protocol', 'kafka', '--verdict', 'DROPPED', '--sandbox', NAME)
    assert.match(lines, /kafka-request DROPPED \(metadata v\d+ topic secret/)
  })

  await t.test('the next request of an open connection is judged by new rules', async () => {
    const kept = { keep: true } as const
    assert.deepEqual(await does(kept), { text: '' })
    await cluster.enforce('egress', toBroker({ role: 'consume', topic: 'orders' }))
    await untilDenied('producing', kept)
    await cluster.enforce('egress', toBroker({ role: 'produce' }))
    await until('producing to be allowed', async () => (await does(kept)).text === '')
  })

  await t.test('what the broker’s pod does not allow in is denied too', async () => {
    await cluster.enforce('ingress', ofBroker({ role: 'consume' }))
    await untilDenied('producing', {})
    await cluster.enforce('ingress', ofBroker({ role: 'produce', topic: 'orders' }))
    await until('producing to be allowed', async () => (await does({})).text === '')
    assert.match((await does({ topic: 'secret' })).error ?? '', DENIED)
  })
})
