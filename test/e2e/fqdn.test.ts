// Rules about names, in a cluster with a DNS server and services outside: the first
// connection after an answer passes, what no answer named does not, connections outlive
// the time of their answer, and an agent that ends takes nothing away.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { podManifest } from '../sandbox/support.ts'
import { NameClient, serveNames } from './names.ts'
import { NODE_ADDRESSES, plugIn } from './outside.ts'
import { SocketHost } from './sockets.ts'
import { NEEDS_ROOT, startCluster, type TestCluster, until } from './support.ts'

const WEB = 'shop/web'
const DNS = 'kube-system/names'
/** Nobody may connect to it; it would answer. */
const OTHER = 'shop/other'
const PORT = 8080
const ADDRESSES = 120
/** Where services outside begin, in the networks of the node. */
const FIRST = ['172.30.0.100', 'fd00:172:30::100'] as const
/** Answered while no agent is there, for a short time. */
const AWAY = 'a119.t5.away.web.example'
const AWAY_ADDRESS = '172.30.0.219'
const OUTSIDE = Array.from({ length: ADDRESSES }, (_, i) => [`172.30.0.${100 + i}`, `fd00:172:30::1${hex(i)}`]).flat()

function hex(value: number): string {
  return value.toString(16).padStart(2, '0')
}

const policy = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'names', namespace: 'shop' },
  spec: {
    endpointSelector: { matchLabels: { app: 'web' } },
    egress: [
      {
        toEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'kube-system', app: 'dns' } }],
        toPorts: [{ ports: [{ port: '53', protocol: 'ANY' }], rules: { dns: [{ matchPattern: '*' }] } }],
      },
      {
        toFQDNs: [{ matchPattern: '**.web.example' }, { matchName: 'a100.api.example' }],
        toPorts: [{ ports: [{ port: String(PORT), protocol: 'TCP' }] }],
      },
    ],
  },
}

const stateOf = async ({ agent }: TestCluster, name: string): Promise<string | undefined> =>
  (await agent.names()).find(known => known.name === name)?.state

test('services outside by name', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'fqdn')
  const outside = await plugIn(t, cluster, 'named', OUTSIDE)
  const services = SocketHost.in(t, outside)
  const served = await services.listen('TCP', PORT)
  await cluster.enforce(
    'pods',
    podManifest(WEB, { labels: { app: 'web' } }),
    podManifest(DNS, { labels: { app: 'dns' } }),
    podManifest(OTHER, { ports: [{ containerPort: PORT }] }),
    policy,
  )
  await cluster.untilReady(WEB, DNS, OTHER)
  await serveNames(t, cluster, DNS, FIRST)
  const server = (await cluster.pod(DNS))?.addresses.find(address => !address.includes(':')) ?? ''
  const client = await NameClient.start(t, cluster, WEB, server)
  await client.until({ name: 'a0.first.web.example', port: PORT }, 'connected')

  await t.test('the first connection after each answer passes, thirty names a second', async () => {
    const attempts = []
    for (let i = 1; i < 100; i++) {
      attempts.push(client.attempt({ name: `a${i}.rotating.web.example`, family: i % 2 === 0 ? 4 : 6, port: PORT }))
      await sleep(33)
    }
    const outcomes = await Promise.all(attempts)
    t.diagnostic(`resolved within ${quantiles(outcomes.map(({ resolveMs }) => resolveMs))} ms (p50, p99)`)
    assert.deepEqual(
      outcomes.filter(({ outcome }) => outcome !== 'connected'),
      [],
    )
  })

  await t.test('an alias on the way, an exact name, names in other letters', async () => {
    for (const name of ['x.a101.web.example', 'a100.api.example', 'A102.Web.EXAMPLE'])
      assert.equal((await client.attempt({ name, port: PORT })).outcome, 'connected', name)
  })

  await t.test('nothing else: other names, other ports, addresses that nobody was told of', async () => {
    for (const [name, port] of [
      ['a103.web.example.org', PORT],
      ['a104.other.example', PORT],
      ['a105.web.example', PORT + 1],
    ] as const)
      assert.equal((await client.attempt({ name, port })).outcome, 'timeout', name)
    const untold = (await SocketHost.inPod(t, cluster, WEB)).begin('TCP', '172.30.0.210', PORT)
    await sleep(500)
    assert.equal(untold.port, 0)
  })

  await t.test('a name that leads to a pod, or to the node, opens neither', async () => {
    const pod = (await cluster.pod(OTHER))?.addresses.find(address => !address.includes(':')) ?? ''
    for (const address of [pod, NODE_ADDRESSES[0], '127.0.0.1']) {
      const name = `ip-${address.replaceAll('.', '-')}.web.example`
      const { outcome } = await client.attempt({ name, port: PORT })
      assert.equal(outcome, address === '127.0.0.1' ? 'ECONNREFUSED' : 'timeout', name)
    }
    const names = await cluster.agent.names()
    assert.ok(names.every(({ address }) => OUTSIDE.includes(address)))
  })

  await t.test('a connection outlives the time of its answer; without one the address is closed', async () => {
    const pod = await SocketHost.inPod(t, cluster, WEB)
    for (const name of ['a110.t1.web.example', 'a111.t1.web.example'])
      assert.equal((await client.attempt({ name, port: PORT })).outcome, 'connected')
    const live = await pod.connect('TCP', '172.30.0.210', PORT)
    live.send('<before>')
    await until('one name to go', async () => (await stateOf(cluster, 'a111.t1.web.example')) === undefined)
    assert.equal(await stateOf(cluster, 'a110.t1.web.example'), 'in-use')
    live.send('<after>')
    await until('the connection to go on', () => served.heard.includes('<after>'))
    const closed = pod.begin('TCP', '172.30.0.211', PORT)
    await sleep(500)
    assert.equal(closed.port, 0, 'the other address is closed')
    live.close()
  })

  await t.test('an agent that ends takes nothing away, and the next one knows the names', async () => {
    const { pid } = await cluster.agent.status()
    const before = (await cluster.agent.names()).map(({ name }) => name)
    process.kill(pid, 'SIGKILL')
    // What was answered before passes while no agent runs, and so does what is answered now.
    const names = ['a50.rotating.web.example', AWAY]
    const alone = await Promise.all(names.map(name => client.attempt({ name, port: PORT })))
    assert.deepEqual(
      alone.map(({ outcome }) => outcome),
      ['connected', 'connected'],
    )
    assert.equal(await cluster.agent.status().catch(() => undefined), undefined, 'no agent is there')
    await until('the next agent', async () => {
      const status = await cluster.agent.status().catch(() => undefined)
      return status !== undefined && status.pid !== pid && status.ready
    })
    const after = new Set((await cluster.agent.names()).map(({ name }) => name))
    assert.ok(after.has(AWAY), 'and those that were answered while there was none')
    assert.deepEqual(
      before.filter(name => !after.has(name) && !name.includes('.t1.')),
      [],
    )
    assert.equal((await client.attempt({ name: AWAY, port: PORT })).outcome, 'connected')
    await client.until({ name: 'a112.new.web.example', port: PORT }, 'connected')
    const attempts = Array.from({ length: 6 }, (_, i) =>
      client.attempt({ name: `a${113 + i}.later.web.example`, port: PORT }),
    )
    assert.deepEqual(
      (await Promise.all(attempts)).map(({ outcome }) => outcome),
      Array(6).fill('connected'),
    )
    await until('what was answered meanwhile to expire', async () => (await stateOf(cluster, AWAY)) === undefined)
    const pod = (await SocketHost.inPod(t, cluster, WEB)).begin('TCP', AWAY_ADDRESS, PORT)
    await sleep(500)
    assert.equal(pod.port, 0, 'its address is closed')
  })
})

function quantiles(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  return [0.5, 0.99].map(part => (sorted[Math.floor(sorted.length * part)] ?? 0).toFixed(1)).join(', ')
}
