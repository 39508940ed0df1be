// A policy about names of servers in TLS, from the manifest to what its clients see: the
// right name passes unopened with its addresses, any other is reset, and flows tell both.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { type TestContext, test } from 'node:test'
import { Namespace, withNamespace } from '../../src/net/index.ts'
import { makeAuthority } from '../proxy/certificates.ts'
import type { TlsClientCommand, TlsClientResult } from '../proxy/tls-client-program.ts'
import { podManifest } from '../sandbox/support.ts'
import { FlowLog } from './flows.ts'
import { readyProxy } from './l7.ts'
import { NEEDS_ROOT, startCluster, type TestCluster } from './support.ts'

const CLIENT = 'shop/client'
const SERVER = 'shop/server'
const PROGRAMS = path.join(import.meta.dirname, '../proxy')
const PORT = 8443

const toServer = (serverNames: readonly string[]) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { namespace: 'shop', name: 'to-server' },
  spec: {
    endpointSelector: { matchLabels: { role: 'client' } },
    egress: [
      {
        toEndpoints: [{ matchLabels: { app: 'server' } }],
        toPorts: [{ ports: [{ port: String(PORT), protocol: 'TCP' }], serverNames }],
      },
    ],
  },
})

/** A program beside the proxy's tests, in the network of a pod. */
async function startIn(t: TestContext, { client }: TestCluster, pod: string, program: string, ...args: string[]) {
  const [namespace = '', name = ''] = pod.split('/')
  using inside = Namespace.ofProcess((await client.pod(namespace, name)).pid)
  // spawn() forks before it returns, so the child is born in the namespace.
  const child: ChildProcess = withNamespace(inside, () =>
    spawn(process.execPath, [path.join(PROGRAMS, program), ...args], { stdio: ['pipe', 'pipe', 'inherit'] }),
  )
  t.after(() => child.kill('SIGKILL'))
  assert.ok(child.stdout)
  return { child, lines: readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]() }
}

test('policies about names of servers', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-tls-policy')
  await cluster.enforce(
    'pods',
    podManifest(CLIENT, { labels: { role: 'client' } }),
    podManifest(SERVER, { labels: { app: 'server' } }),
  )
  await cluster.enforce('policy', toServer(['www.example.com', '**.api.example.com']))
  await cluster.untilReady(CLIENT, SERVER)
  await readyProxy(cluster)
  const addressesOf = async (pod: string) => (await cluster.pod(pod))?.addresses ?? []
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-e2e-tls-'))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  makeAuthority(path.join(folder, 'server'))
  const files = ['crt', 'key'].map(ending => path.join(folder, `server.${ending}`))
  const server = await startIn(t, cluster, SERVER, 'tls-server-program.ts', ...files, String(PORT), '1000000')
  await server.lines.next()
  const client = await startIn(t, cluster, CLIENT, 'tls-client-program.ts')
  const does = async (command: TlsClientCommand): Promise<TlsClientResult> => {
    client.child.stdin?.write(`${JSON.stringify(command)}\n`)
    return JSON.parse((await client.lines.next()).value as string) as TlsClientResult
  }
  const asks = (host: string, serverName?: string) =>
    does({ id: 0, op: 'tls', host, port: PORT, say: 'hello', ...(serverName && { serverName }) })
  const seen = async (): Promise<number> => {
    server.child.stdin?.write('\n')
    return Number((await server.lines.next()).value)
  }

  await t.test('the names of rules pass with their addresses, no others do', async () => {
    const own = await addressesOf(CLIENT)
    for (const host of await addressesOf(SERVER)) {
      const { ended, text } = await asks(host, 'www.example.com')
      const [name, from = '', said] = text.split(' ')
      assert.deepEqual([ended, name, said], ['answer', 'www.example.com', 'hello'], host)
      assert.ok(own.includes(from.replace('::ffff:', '')), `${from} is the client's`)
      assert.equal((await asks(host, 'v1.a.API.example.com')).ended, 'answer')
      await seen()
      assert.equal((await asks(host, 'other.example.com')).ended, 'reset')
      assert.equal((await asks(host)).ended, 'reset')
      const plain = Buffer.from('GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n').toString('base64')
      assert.equal((await does({ id: 0, op: 'bytes', host, port: PORT, writes: [plain] })).ended, 'reset')
      assert.equal(await seen(), 0, 'the server knows nothing of them')
    }
  })

  await t.test('flows tell of both, with the rule', async () => {
    const log = await FlowLog.follow(t, cluster)
    const sinceMs = Date.now()
    const [host = ''] = await addressesOf(SERVER)
    await asks(host, 'www.example.com')
    await asks(host, 'other.example.com')
    for (const [serverName, verdict] of Object.entries({
      'www.example.com': 'FORWARDED',
      'other.example.com': 'DROPPED',
    }))
      await log.next(
        `the flow of ${serverName}`,
        flow => flow.l7?.tls?.serverName === serverName && flow.verdict === verdict,
        sinceMs,
      )
  })

  await t.test('other names, for the next connection', async () => {
    const [host = ''] = await addressesOf(SERVER)
    await cluster.enforce('policy', toServer(['other.example.com']))
    assert.equal((await asks(host, 'other.example.com')).ended, 'answer')
    assert.equal((await asks(host, 'www.example.com')).ended, 'reset')
  })
})
