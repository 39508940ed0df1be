// Services while their pods and their agent come and go: nobody who is connected, and nobody who connects, notices.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { NODE_ADDRESSES } from './outside.ts'
import {
  type Asker,
  admittedService,
  ask,
  assertNoneFailed,
  clusterAddress,
  HTTP_PORT,
  hostPort,
  serverPod,
  serviceManifest,
  startAsking,
  UDP_PORT,
  untilAnswered,
  untilRefused,
} from './services.ts'
import { NEEDS_ROOT, startCluster, type TestCluster, until } from './support.ts'

const PORTS = [
  { name: 'http', port: 80, targetPort: HTTP_PORT },
  { name: 'names', port: 81, targetPort: UDP_PORT, protocol: 'UDP' },
]
const CLIENT = 'shop/client'
/** Within this a flow has found another pod; a backend that is gone is forgotten a moment later only. */
const MOVE_MS = 3_000

/** A pod that goes on serving for a moment, as Kubernetes advises: new connections may be on their way to it. */
const polite = (key: string, app: string) =>
  serverPod(key, {
    labels: { app },
    container: { lifecycle: { preStop: { sleep: { seconds: 1 } } } },
    spec: { terminationGracePeriodSeconds: 10 },
  })

/** A pod that serves on while it is being deleted, for longer than a test looks. */
const lingering = (key: string, app: string) =>
  serverPod(key, { labels: { app }, args: ['--delay-shutdown', '20'], spec: { terminationGracePeriodSeconds: 30 } })

async function nodePort(cluster: TestCluster, key: string, port: number): Promise<string> {
  const { spec } = await admittedService(cluster, key)
  return hostPort(NODE_ADDRESSES[0], spec.ports?.find(declared => declared.port === port)?.nodePort)
}

test('services whose pods come and go', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-endings')
  const names = ['a', 'b', 'c']
  const version = (number: number) => names.map(name => `${name}${number}`)
  await cluster.enforce('client', serverPod(CLIENT), serviceManifest('shop/web', { type: 'NodePort', ports: PORTS }))
  for (const name of version(1)) await cluster.enforce(name, polite(`shop/${name}`, 'web'))
  await cluster.untilReady(CLIENT, ...version(1).map(name => `shop/${name}`))
  const inside = await clusterAddress(cluster, 'shop/web')
  const outside = await nodePort(cluster, 'shop/web', 80)
  const ways: readonly (readonly [Asker, string])[] = [
    [CLIENT, inside],
    ['node', inside],
    ['outside', outside],
  ]
  for (const [from, target] of ways) await untilAnswered(cluster, from, target, version(1))

  await t.test('all pods are replaced under load, and no request fails', async () => {
    const loads = await Promise.all(ways.map(async ([from, target]) => await startAsking(cluster, from, target)))
    for (const name of names) {
      await cluster.enforce(`${name}2`, polite(`shop/${name}2`, 'web'))
      await cluster.untilReady(`shop/${name}2`)
      cluster.remove(`${name}1`)
    }
    for (const name of version(1)) await cluster.untilGone(`shop/${name}`)
    for (const [from, target] of ways) await untilAnswered(cluster, from, target, version(2))
    for (const load of loads) {
      const report = await load.finish()
      assertNoneFailed(report)
      for (const name of [...version(1), ...version(2)]) assert.ok(report.answers[name], JSON.stringify(report))
    }
  })

  await t.test('the agent is killed and comes back under load: no request fails, no connection is cut', async () => {
    const flags = ['--keep-alive']
    const loads = await Promise.all([
      ...ways.map(async ([from, target]) => await startAsking(cluster, from, target)),
      ...ways.map(async ([from, target]) => await startAsking(cluster, from, target, { flags })),
    ])
    const { pid } = await cluster.agent.status()
    await sleep(300)
    process.kill(pid, 'SIGKILL')
    await until('another agent to be ready', async () => {
      const { nodes } = await cluster.client.status()
      const agent = nodes[0]?.agent
      return agent?.state === 'ready' && agent.pid !== pid
    })
    await cluster.agent.settled()
    for (const load of loads) assertNoneFailed(await load.finish())
    for (const [from, target] of ways) await untilAnswered(cluster, from, target, version(2))
  })

  for (const policy of ['Cluster', 'Local'] as const)
    await t.test(`pods that are ending serve when there are no others, ${policy}`, async () => {
      const name = `last-${policy.toLowerCase()}`
      const policies = { internalTrafficPolicy: policy, externalTrafficPolicy: policy }
      await cluster.enforce(
        `${name}-service`,
        serviceManifest(`shop/${name}`, { type: 'NodePort', ports: PORTS, ...policies }),
      )
      await cluster.enforce(name, lingering(`shop/${name}`, name))
      await cluster.untilReady(`shop/${name}`)
      const [byCluster, byNode] = [
        await clusterAddress(cluster, `shop/${name}`),
        await nodePort(cluster, `shop/${name}`, 80),
      ]
      await untilAnswered(cluster, CLIENT, byCluster, [name])
      cluster.remove(name)
      await cluster.until(`shop/${name}`, pod => pod.deletionTimestamp !== undefined)
      const asked = [
        [CLIENT, byCluster],
        ['node', byCluster],
        ['outside', byNode],
      ] as const
      for (const [from, target] of asked) await untilAnswered(cluster, from, target, [name])

      await cluster.enforce(`${name}-new`, polite(`shop/${name}-new`, name))
      await cluster.untilReady(`shop/${name}-new`)
      for (const [from, target] of asked) await untilAnswered(cluster, from, target, [`${name}-new`])
      cluster.remove(`${name}-new`)
      cluster.remove(`${name}-service`)
    })

  await t.test('a connection stays with its pod while that is ending', async () => {
    await cluster.enforce('kept', serviceManifest('shop/kept', { ports: PORTS }), lingering('shop/k1', 'kept'))
    await cluster.untilReady('shop/k1')
    const target = await clusterAddress(cluster, 'shop/kept')
    await untilAnswered(cluster, CLIENT, target, ['k1'])
    const load = await startAsking(cluster, CLIENT, target, { flags: ['--keep-alive'] })
    await cluster.enforce('k2', polite('shop/k2', 'kept'))
    await cluster.untilReady('shop/k2')
    await cluster.enforce('kept', serviceManifest('shop/kept', { ports: PORTS }))
    await untilAnswered(cluster, CLIENT, target, ['k2'])
    const report = await load.finish()
    assertNoneFailed(report)
    cluster.remove('kept')
    cluster.remove('k2')
  })

  await t.test('a UDP flow goes on with another pod when its own is gone', async () => {
    await cluster.enforce('names', serviceManifest('shop/names', { type: 'NodePort', ports: PORTS }))
    await cluster.enforce('u1', polite('shop/u1', 'names'))
    await cluster.untilReady('shop/u1')
    const [byCluster, byNode] = [
      await clusterAddress(cluster, 'shop/names', 81),
      await nodePort(cluster, 'shop/names', 81),
    ]
    const asked: readonly (readonly [Asker, string])[] = [
      [CLIENT, byCluster],
      ['node', byCluster],
      ['outside', byNode],
    ]
    const udp = {
      protocol: 'udp',
      flags: ['--source-port', '12345', '--interval', '20ms', '--timeout', '200ms'],
    } as const
    for (const [from, target] of asked) await untilAnswered(cluster, from, target, ['u1'], udp)
    const loads = await Promise.all(asked.map(async ([from, target]) => await startAsking(cluster, from, target, udp)))
    await sleep(300)
    await cluster.enforce('u2', polite('shop/u2', 'names'))
    await cluster.untilReady('shop/u2')
    cluster.remove('u1')
    await cluster.untilGone('shop/u1')
    await sleep(MOVE_MS)
    for (const load of loads) {
      const report = await load.finish()
      assert.ok(report.answers['u1'] && report.answers['u2'], JSON.stringify(report))
    }
    for (const [from, target] of asked) await untilAnswered(cluster, from, target, ['u2'], udp)
    cluster.remove('u2')
    await cluster.untilGone('shop/u2')
    await untilRefused(cluster, CLIENT, byCluster, { protocol: 'udp' })
    cluster.remove('names')
  })

  await t.test('a deleted service is gone for everybody, the others stay', async () => {
    await cluster.enforce(
      'doomed',
      serviceManifest('shop/doomed', { selector: { app: 'web' }, type: 'NodePort', ports: PORTS }),
    )
    const [byCluster, byNode] = [
      await clusterAddress(cluster, 'shop/doomed'),
      await nodePort(cluster, 'shop/doomed', 80),
    ]
    await untilAnswered(cluster, CLIENT, byCluster, version(2))
    await untilAnswered(cluster, 'outside', byNode, version(2))
    cluster.remove('doomed')
    const isGone = async (from: Asker, target: string) =>
      (await ask(cluster, from, target, { flags: ['--timeout', '300ms'] })).failed === 1
    await until(
      'the service to be gone',
      async () => (await isGone(CLIENT, byCluster)) && (await isGone('outside', byNode)),
    )
    for (const [from, target] of ways) await untilAnswered(cluster, from, target, version(2))
  })
})
