// The agent may end at any time: connections that are open stay open, new ones are
// judged as before, and nothing that is denied gets through in between.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { podManifest } from '../sandbox/support.ts'
import { Conversation } from './conversation.ts'
import { FlowLog } from './flows.ts'
import { type Attempts, holdConnections, startLoad } from './load.ts'
import { denyAll } from './policies.ts'
import { SocketHost } from './sockets.ts'
import { NEEDS_ROOT, startCluster, type TestCluster, until } from './support.ts'

const PORT = 8080
const ENDINGS = ['SIGKILL', 'SIGTERM', 'SIGKILL', 'SIGKILL', 'SIGTERM'] as const
const OPEN_CONNECTIONS = 20
const ATTEMPT_MS = 5_000
const DENIED_MS = 300

const onlyFromClient = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'only-client', namespace: 'default' },
  spec: {
    podSelector: { matchLabels: { app: 'server' } },
    ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }], ports: [{ port: PORT }] }],
  },
}

test('agents that are killed under load lose no connection and let nothing by', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'restart')
  await cluster.enforce(
    'pods',
    podManifest('default/client', { labels: { app: 'client' } }),
    podManifest('default/stranger', { labels: { app: 'stranger' } }),
    podManifest('default/server', { labels: { app: 'server' }, ports: [{ containerPort: PORT }] }),
    onlyFromClient,
  )
  await cluster.untilReady('default/client', 'default/stranger', 'default/server')
  await cluster.agent.settled()
  const [server = ''] = (await cluster.pod('default/server'))?.addresses ?? []
  const open = await holdConnections(t, cluster, 'default/client', [server, PORT], OPEN_CONNECTIONS)
  const load = await startLoad(t, cluster, 'default/client', ['attempt', server, String(PORT), String(ATTEMPT_MS)])
  const attack = await startLoad(t, cluster, 'default/stranger', ['attempt', server, String(PORT), String(DENIED_MS)])

  for (const signal of ENDINGS) {
    const pid = await end(cluster, signal)
    await untilAnother(cluster, pid)
    assert.equal(await open.ask(`after ${signal} of ${pid}`), 'echoed')
  }
  await sleep(200)
  const loaded = JSON.parse(await load.finish()) as Attempts
  const attacked = JSON.parse(await attack.finish()) as Attempts
  assert.deepEqual(loaded.failures, [], `of ${loaded.failures.length + loaded.connected} allowed connections`)
  assert.ok(loaded.connected > 100, `only ${loaded.connected} connections were made: that proves little`)
  assert.equal(attacked.connected, 0, 'a denied connection was made')
  assert.ok(attacked.failures.length > 3, `only ${attacked.failures.length} denied connections were tried`)
})

test('what changes while no agent runs is in force when one does', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'restart')
  const [client, server, leaving, coming] = ['default/client', 'default/server', 'default/leaving', 'default/coming']
  await cluster.enforce('pods', podManifest(client), podManifest(server), podManifest(leaving))
  await cluster.untilReady(client, server, leaving)
  const hosts = {
    client: await SocketHost.inPod(t, cluster, client),
    server: await SocketHost.inPod(t, cluster, server),
  }
  const addresses = (await cluster.pod(server))?.addresses ?? []
  const before = await FlowLog.follow(t, cluster)
  const conversations = await Promise.all(
    addresses.map((address, i) => Conversation.open(hosts, before, 'TCP', address, PORT + i)),
  )

  const first = await end(cluster, 'SIGKILL')
  cluster.apply('policy', denyAll('default'))
  cluster.apply('pods', podManifest(client), podManifest(server), podManifest(coming))
  await untilAnother(cluster, first)
  const after = await FlowLog.follow(t, cluster)
  for (const conversation of conversations) {
    conversation.flows = after
    await conversation.isCut('client')
    await conversation.isCut('server')
  }
  await cluster.untilReady(coming)
  await cluster.untilGone(leaving)
  const endpoints = (await cluster.agent.table('endpoints')).rows.map(([, pod = '']) => pod)
  assert.deepEqual(endpoints.sort(), [client, coming, server].sort())

  const second = await end(cluster, 'SIGKILL')
  cluster.remove('policy')
  await untilAnother(cluster, second)
  for (const conversation of conversations) {
    await conversation.arrives('client')
    await conversation.arrives('server')
  }
})

/** @returns the process that was ended */
async function end(cluster: TestCluster, signal: NodeJS.Signals): Promise<number> {
  const { pid } = await cluster.agent.status()
  process.kill(pid, signal)
  return pid
}

async function untilAnother(cluster: TestCluster, pid: number): Promise<void> {
  await until(`another agent than ${pid}`, async () => {
    const status = await cluster.agent.status().catch(() => undefined)
    return status !== undefined && status.pid !== pid && status.ready
  })
}
