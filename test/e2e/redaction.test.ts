// What the agent is told to take out of requests is in none of its answers.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultConfiguration } from '../../src/sandbox/index.ts'
import { podManifest } from '../sandbox/support.ts'
import { outputOf } from './command-line.ts'
import { FlowLog } from './flows.ts'
import { httpPolicy, L7Client, readyProxy } from './l7.ts'
import { serverPod } from './services.ts'
import { NEEDS_ROOT, startCluster, until } from './support.ts'

const NAME = 'e2e-redaction'

test('--redact takes queries out', { skip: NEEDS_ROOT, timeout: 200_000 }, async t => {
  const { agentCommand } = defaultConfiguration(NAME)
  const cluster = await startCluster(t, NAME, { agentCommand: [...agentCommand, '--redact', 'http.url.query'] })
  await cluster.enforce(
    'shop',
    serverPod('shop/web', { labels: { app: 'web' } }),
    podManifest('shop/client', { labels: { app: 'client' } }),
    httpPolicy('shop/web', 'web', 'client', { method: 'GET', path: '/hostname.*' }),
  )
  await cluster.untilReady('shop/web', 'shop/client')
  await readyProxy(cluster)
  await cluster.agent.settled()
  const address = (await cluster.pod('shop/web'))?.addresses.find(each => !each.includes(':')) ?? ''
  const url = `http://${address}:8080/hostname`
  const client = await L7Client.start(t, cluster, 'shop/client')
  const log = await FlowLog.follow(t, cluster)
  await until('the request to be allowed', async () => (await client.status(`${url}?token=hidden`)) === 200)
  assert.equal(await client.status(`${url}?token=hidden`, { method: 'DELETE' }), 403)
  const denied = await log.next('the denied request', ({ l7 }) => l7?.http?.method === 'DELETE', 0)
  assert.deepEqual([denied.verdict, denied.l7?.http?.url], ['DROPPED', url])
  const told = await outputOf('observe', '--type', 'l7', '-o', 'json', '--sandbox', NAME)
  assert.match(told, /"method":"GET"/)
  assert.doesNotMatch(told + JSON.stringify(log.flows), /hidden/)
})
