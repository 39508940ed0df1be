// The agent may end at any time: connections that are open stay open, new ones are
// judged as before, and nothing that is denied gets through in between.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { podManifest } from '../sandbox/support.ts'
import { holdConnections, startLoad } from './load.ts'
import { NEEDS_ROOT, startCluster, until } from './support.ts'

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
    const { pid } = await cluster.agent.status()
    process.kill(pid, signal)
    await until(`another agent after ${signal}`, async () => {
      const status = await cluster.agent.status().catch(() => undefined)
      return status !== undefined && status.pid !== pid && status.ready
    })
    assert.equal(await open.ask(`after ${signal} of ${pid}`), 'echoed')
  }
  await sleep(200)
  const loaded = JSON.parse(await load.finish()) as { connected: number; failed: number }
  const attacked = JSON.parse(await attack.finish()) as { connected: number; failed: number }
  assert.equal(loaded.failed, 0, `${loaded.failed} of ${loaded.failed + loaded.connected} allowed connections failed`)
  assert.ok(loaded.connected > 100, `only ${loaded.connected} connections were made: that proves little`)
  assert.equal(attacked.connected, 0, 'a denied connection was made')
  assert.ok(attacked.failed > 3, `only ${attacked.failed} denied connections were tried`)
})
