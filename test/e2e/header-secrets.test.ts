// Headers that are to be as a Secret says, from the manifests to the answers, and that what
// is in the Secret is told nowhere.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { nodePaths } from '../../src/sandbox/index.ts'
import { podManifest } from '../sandbox/support.ts'
import { httpPolicy, L7Client, pidOf, readyProxy } from './l7.ts'
import { serverPod } from './services.ts'
import { NEEDS_ROOT, startCluster, until } from './support.ts'

const secret = (value: string) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { namespace: 'shop', name: 'token' },
  data: { token: Buffer.from(`${value}\n`).toString('base64') },
})
const FIRST = 'first-s3cret-value'
const SECOND = 'second-s3cret-value'

test('headers by a secret', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'header-secrets')
  const paths = nodePaths(cluster.paths, 'node1')
  await cluster.enforce(
    'shop',
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
    serverPod('shop/web', { labels: { app: 'web' } }),
    podManifest('shop/client', { labels: { app: 'client' } }),
    httpPolicy('shop/web', 'web', 'client', {
      headerMatches: [{ name: 'X-Token', secret: { name: 'token', namespace: 'shop' } }],
    }),
  )
  await cluster.untilReady('shop/web', 'shop/client')
  await readyProxy(cluster)
  const url = `http://${(await cluster.pod('shop/web'))?.addresses[0]}:8080/hostname`
  const client = await L7Client.start(t, cluster, 'shop/client')
  const status = (token: string) => client.status(url, { headers: { 'x-token': token } })
  const becomes = (token: string, wanted: number) =>
    until(`${token} to be answered with ${wanted}`, async () => (await status(token)) === wanted)
  const problems = async () => (await cluster.agent.table('problems')).rows.map(row => row.join(' '))

  await t.test('while it is not there, nothing matches, and a problem says so', async () => {
    assert.equal(await status(FIRST), 403)
    await until('the problem', async () =>
      (await problems()).some(text => /Secret shop\/token.*is not there/.test(text)),
    )
  })

  await t.test('its value is asked for, and only that', async () => {
    await cluster.enforce('secret', secret(FIRST))
    await becomes(FIRST, 200)
    assert.equal(await status(SECOND), 403)
    assert.equal(await status(''), 403)
    assert.deepEqual(
      (await problems()).filter(text => text.includes('Secret')),
      [],
    )
  })

  await t.test('another value is in force for connections that are open', async () => {
    await cluster.enforce('secret', secret(SECOND))
    await becomes(SECOND, 200)
    assert.equal(await status(FIRST), 403)
  })

  await t.test('it stays when HAProxy and the supervisor die', async () => {
    process.kill(pidOf(await readyProxy(cluster), 'haproxy'), 'SIGKILL')
    assert.equal(await status(SECOND), 200)
    const before = await readyProxy(cluster)
    process.kill(before.pid, 'SIGKILL')
    await readyProxy(cluster, before.pid)
    assert.equal(await status(SECOND), 200)
  })

  await t.test('no table, log or journal has it', async () => {
    const tables = await cluster.agent.tables()
    const shown = await Promise.all(tables.map(async ({ name }) => JSON.stringify(await cluster.agent.table(name))))
    const logs = fs
      .readdirSync(cluster.paths.logs)
      .map(name => fs.readFileSync(path.join(cluster.paths.logs, name), 'utf8'))
    const journal = fs.readFileSync(path.join(paths.folder, 'agent.journal'), 'latin1')
    for (const value of [FIRST, SECOND])
      for (const form of [value, Buffer.from(`${value}\n`).toString('base64'), Buffer.from(value).toString('hex')])
        for (const text of [...shown, ...logs, journal]) assert.ok(!text.includes(form))
  })

  await t.test('when it is gone, nothing matches any more', async () => {
    await cluster.enforce('secret')
    await becomes(SECOND, 403)
  })
})
