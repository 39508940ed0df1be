// Rules about requests in a policy that is only tried out: requests that they would deny
// pass and are recorded, and once it is enforced they are refused.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { podManifest } from '../sandbox/support.ts'
import { outputOf } from './command-line.ts'
import { FlowLog } from './flows.ts'
import { httpPolicy, L7Client, readyProxy } from './l7.ts'
import { serverPod } from './services.ts'
import { NEEDS_ROOT, namespaceManifest, startCluster, until } from './support.ts'

const NAME = 'e2e-l7-audit'
const AUDIT = { annotations: { 'policy.axoneme.io/audit': 'true' } }

test('rules about requests that are tried out', { skip: NEEDS_ROOT, timeout: 200_000 }, async t => {
  const cluster = await startCluster(t, NAME)
  await cluster.enforce(
    'shop',
    serverPod('shop/web', { labels: { app: 'web' } }),
    podManifest('shop/client', { labels: { app: 'client' } }),
    podManifest('shop/stranger', { labels: { app: 'stranger' } }),
  )
  const namespace = (metadata = {}) => {
    const manifest = namespaceManifest('shop')
    return cluster.enforce('namespace', { ...manifest, metadata: { ...manifest.metadata, ...metadata } })
  }
  const policy = (metadata = {}) => {
    const manifest = httpPolicy('shop/web', 'web', 'client', { method: 'GET', path: '/hostname' })
    return cluster.enforce('policy', { ...manifest, metadata: { ...manifest.metadata, ...metadata } })
  }
  await namespace()
  await cluster.untilReady('shop/web', 'shop/client', 'shop/stranger')
  await readyProxy(cluster)
  const address = (await cluster.pod('shop/web'))?.addresses.find(each => !each.includes(':')) ?? ''
  const url = `http://${address}:8080/hostname`
  const client = await L7Client.start(t, cluster, 'shop/client')
  const stranger = await L7Client.start(t, cluster, 'shop/stranger')
  const log = await FlowLog.follow(t, cluster)
  const status = () => outputOf('policy', 'get', 'shop/web', '--sandbox', NAME)

  /** What it would deny passes, and records tell of it. */
  const isTriedOut = async () => {
    const sinceMs = Date.now()
    assert.equal(await client.status(url, { method: 'DELETE' }), 200)
    assert.equal(await stranger.status(url), 200)
    const isStranger = ({ source, verdict }: (typeof log.flows)[number]) =>
      source.pod?.name === 'stranger' && verdict === 'AUDIT'
    await log.next('a connection that is audited', isStranger, sinceMs)
    const isRequest = (flow: (typeof log.flows)[number]) => flow.type === 'L7' && flow.l7?.http?.method === 'DELETE'
    const { verdict, direction, l7 } = await log.next('a request that is audited', isRequest, sinceMs)
    assert.deepEqual(
      [verdict, direction, l7?.http?.code, l7?.nearestRule?.field],
      ['AUDIT', 'ingress', 200, 'rules.http[0]'],
    )
    assert.equal(await client.status(url), 200)
    const isAllowed = (flow: (typeof log.flows)[number]) => flow.type === 'L7' && flow.l7?.http?.method === 'GET'
    assert.equal((await log.next('a request that is allowed', isAllowed, sinceMs)).verdict, 'FORWARDED')
    assert.doesNotMatch(await status(), /not tried out/)
  }

  await t.test('of a policy', async () => {
    await policy({ namespace: 'shop', name: 'web', ...AUDIT })
    await isTriedOut()
  })

  await t.test('of the policies of a namespace', async () => {
    await namespace(AUDIT)
    await policy()
    await isTriedOut()
  })

  await t.test('enforced, they judge', async () => {
    await namespace()
    await until('the request to be refused', async () => (await client.status(url, { method: 'DELETE' })) === 403)
    assert.equal(await client.status(url), 200)
    assert.equal(typeof (await stranger.status(url)), 'string')
  })
})
