// Rules about requests, end to end: which are answered, which are refused, and that it
// stays so whichever process dies.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { recordOf } from '../../src/sandbox/process-record.ts'
import { podManifest } from '../sandbox/support.ts'
import { FlowLog } from './flows.ts'
import { httpPolicy, L7Client, pidOf, readyProxy } from './l7.ts'
import { serverPod, serviceManifest } from './services.ts'
import { NEEDS_ROOT, startCluster, until } from './support.ts'

const NAME = { method: 'GET', path: '/hostname' }
/** Between two deaths. */
const LOAD_MS = 500
const ECHO = { method: 'GET', path: '/echo.*' }

/** A shop with a web pod that its client may ask for its name, and a stranger that may not come at all. */
async function startShop(t: Parameters<typeof startCluster>[0], name: string) {
  const cluster = await startCluster(t, name)
  await cluster.enforce(
    'shop',
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
    serverPod('shop/web', { labels: { app: 'web' } }),
    podManifest('shop/client', { labels: { app: 'client' } }),
    podManifest('shop/stranger', { labels: { app: 'stranger' } }),
    serviceManifest('shop/web', {
      selector: { app: 'web' },
      clusterIP: '10.96.7.7',
      ports: [{ port: 80, targetPort: 8080 }],
    }),
  )
  await cluster.enforce('policy', httpPolicy('shop/web', 'web', 'client', NAME))
  await cluster.untilReady('shop/web', 'shop/client', 'shop/stranger')
  await readyProxy(cluster)
  await cluster.agent.settled()
  const web = await cluster.pod('shop/web')
  const urls = (web?.addresses ?? []).map(address => `http://${address.includes(':') ? `[${address}]` : address}:8080`)
  return { cluster, urls, client: await L7Client.start(t, cluster, 'shop/client') }
}

test('requests are judged: by rules, at once, whatever dies', { skip: NEEDS_ROOT }, async t => {
  const { cluster, urls, client } = await startShop(t, 'l7-http')
  const [url = ''] = urls

  await t.test('what a rule allows is answered, everything else is refused with 403', async () => {
    for (const base of urls) {
      assert.deepEqual(await client.status(`${base}/hostname`), 200)
      assert.deepEqual(await client.status(`${base}/hostname`, { method: 'POST' }), 403)
      assert.deepEqual(await client.status(`${base}/echo?msg=x`), 403)
    }
  })

  await t.test('a service leads there too', async () => {
    const log = await FlowLog.follow(t, cluster)
    const viaService = 'http://10.96.7.7/hostname'
    assert.equal(await client.status(viaService), 200)
    const { destinationService } = await log.next('the request', ({ l7 }) => l7?.http?.url === viaService, 0)
    assert.deepEqual(destinationService, { namespace: 'shop', name: 'web', port: 80, portName: '' })
    assert.equal(await client.status('http://10.96.7.7/echo?msg=x'), 403)
  })

  await t.test('who may not come at all gets no answer, not even a refusal', async () => {
    const stranger = await L7Client.start(t, cluster, 'shop/stranger')
    assert.equal(typeof (await stranger.status(`${url}/hostname`)), 'string')
  })

  await t.test('probes of the node are not judged', async () => {
    const web = await cluster.pod('shop/web')
    assert.ok(web?.ready, 'the path of its probe is not among the rules')
  })

  await t.test('an open connection is judged by the policy of the moment', async () => {
    const before = await client.ask(`${url}/echo?msg=1`, { connection: 'open' })
    await cluster.enforce('policy', httpPolicy('shop/web', 'web', 'client', ECHO))
    const after = await client.ask(`${url}/echo?msg=1`, { connection: 'open' })
    const other = await client.ask(`${url}/hostname`, { connection: 'open' })
    assert.ok('status' in before && 'status' in after && 'status' in other)
    assert.deepEqual([before.status, after.status, other.status], [403, 200, 403])
    assert.deepEqual(new Set([before.port, after.port, other.port]).size, 1, 'it is one connection')
    await cluster.enforce('policy', httpPolicy('shop/web', 'web', 'client', NAME))
    assert.equal(await client.status(`${url}/hostname`, { connection: 'open' }), 200)
  })

  await t.test('without the agent it goes on', async () => {
    const [node] = (await cluster.client.status()).nodes
    assert.ok(node && 'pid' in node.agent)
    process.kill(node.agent.pid, 'SIGSTOP')
    try {
      assert.equal(await client.status(`${url}/hostname`), 200)
      assert.equal(await client.status(`${url}/echo?msg=x`), 403)
      process.kill(pidOf(await readyProxy(cluster), 'haproxy'), 'SIGKILL')
      assert.equal(await client.status(`${url}/hostname`), 200, 'the rules are those of the proxy')
      assert.equal(await client.status(`${url}/echo?msg=x`), 403)
    } finally {
      process.kill(node.agent.pid, 'SIGKILL')
    }
    await cluster.agent.settled().catch(() => undefined)
  })
})

test('processes of the proxy that die refuse no connection', { skip: NEEDS_ROOT }, async t => {
  const { cluster, urls, client } = await startShop(t, 'l7-deaths')
  const [url = ''] = urls

  await t.test('HAProxy is killed under load', async () => {
    await client.load(`${url}/hostname`, 8)
    for (let round = 0; round < 3; round++) {
      await sleep(LOAD_MS)
      const killed = pidOf(await readyProxy(cluster), 'haproxy')
      process.kill(killed, 'SIGKILL')
      await until('another HAProxy', async () => pidOf(await readyProxy(cluster), 'haproxy') !== killed)
    }
    await sleep(LOAD_MS)
    const { statuses, longestMs } = await client.stop()
    const { 200: answered = 0, ECONNRESET: cut = 0, ...others } = statuses
    assert.deepEqual(others, {}, 'only connections that were open when it died are cut')
    assert.ok(answered > 100, `${answered} answered`)
    assert.ok(cut <= 3 * 8, `${cut} cut`)
    assert.ok(longestMs < 1_000, `the longest took ${Math.round(longestMs)} ms`)
  })

  await t.test('the supervisor is killed: nothing of it stays, and the next one has the rules', async () => {
    const before = await readyProxy(cluster)
    process.kill(before.pid, 'SIGKILL')
    const after = await readyProxy(cluster, before.pid)
    assert.deepEqual(
      before.servers.filter(({ pid }) => pid && recordOf(pid)),
      [],
      'its servers ended with it',
    )
    assert.equal(after.ruleSets.sets, before.ruleSets.sets)
    assert.equal(await client.status(`${url}/hostname`), 200)
    assert.equal(await client.status(`${url}/echo?msg=x`), 403)
  })
})

test('a rule that is gone leaves no way around the proxy', { skip: NEEDS_ROOT }, async t => {
  const { cluster, urls, client } = await startShop(t, 'l7-change')
  const [url = ''] = urls
  await cluster.enforce('policy', httpPolicy('shop/web', 'web', 'client', { method: 'PUT' }))
  assert.equal(await client.status(`${url}/hostname`), 403)
  assert.equal(await client.status(`${url}/hostname`, { method: 'PUT' }), 200)
  for (let round = 0; round < 20; round++) {
    const path = `/echo?msg=${round}`
    await cluster.enforce(
      'policy',
      httpPolicy('shop/web', 'web', 'client', { method: 'GET', path: `/echo\\?msg=${round}` }),
    )
    assert.equal(await client.status(`${url}${path}`, { connection: 'kept' }), 200, path)
    assert.equal(await client.status(`${url}/echo?msg=${round + 1}`, { connection: 'kept' }), 403)
  }
})

test('changes under load refuse nothing that is allowed before and after', { skip: NEEDS_ROOT }, async t => {
  const { cluster, urls, client } = await startShop(t, 'l7-load')
  const [url = ''] = urls
  const other = await L7Client.start(t, cluster, 'shop/client')
  await client.load(`${url}/hostname`, 4)
  for (let round = 0; round < 50; round++) {
    const path = `/echo\\?msg=${round}`
    await cluster.enforce('policy', httpPolicy('shop/web', 'web', 'client', NAME, { method: 'GET', path }))
    assert.equal(await other.status(`${url}/echo?msg=${round}`, { connection: 'kept' }), 200, path)
  }
  const { statuses } = await client.stop()
  assert.deepEqual(Object.keys(statuses), ['200'], JSON.stringify(statuses))
})
