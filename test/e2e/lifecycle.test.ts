// Pods that come and go: many at once, under load, and with an address that another pod
// had before. No packet is judged by what was true of somebody else.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allLinks, Namespace, NetlinkSocket } from '../../src/net/index.ts'
import { podManifest } from '../sandbox/support.ts'
import { Conversation } from './conversation.ts'
import { FlowLog, isDropped } from './flows.ts'
import { type Attempts, startLoad } from './load.ts'
import { networkPolicy } from './policies.ts'
import { SocketHost } from './sockets.ts'
import { NEEDS_ROOT, podAt, startCluster, type TestCluster, until } from './support.ts'

const PORT = 7000
const OWN_PORT = 33_333
const CROWD = 30
const ATTEMPT_MS = 5_000
/** Programs of pods that only have to be there. */
const SLEEP = { command: ['sleep', '1000000'] }

const serverPods = { matchLabels: { app: 'server' } }
const onlyFriends = networkPolicy('default/only-friends', {
  podSelector: serverPods,
  ingress: [{ from: [{ podSelector: { matchLabels: { role: 'friend' } } }] }],
})
const server = podManifest('default/server', { labels: { app: 'server' }, ports: [{ containerPort: 8080 }] })

test('pods that come and go', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-life')
  await cluster.enforce('server', server, onlyFriends)
  await cluster.untilReady('default/server')
  const serverAddresses = (await cluster.pod('default/server'))?.addresses ?? []
  const flows = await FlowLog.follow(t, cluster)
  const inServer = await SocketHost.inPod(t, cluster, 'default/server')

  await t.test('two pods with the same labels, on both sides of a block', async () => {
    const labels = { role: 'twin' }
    const block = [{ ipBlock: { cidr: '10.244.9.0/30' } }, { ipBlock: { cidr: 'fd00:10:244::900/126' } }]
    await cluster.enforce(
      'twins',
      podAt('default/in', ['10.244.9.2', 'fd00:10:244::902'], { labels }),
      podAt('default/out', ['10.244.9.5', 'fd00:10:244::905'], { labels }),
      networkPolicy('default/block-in', { podSelector: serverPods, ingress: [{ from: block }] }),
      networkPolicy('default/block-out', { podSelector: { matchLabels: { app: 'server' } }, egress: [{ to: block }] }),
    )
    await cluster.untilReady('default/in', 'default/out')
    for (const family of [4, 6] as const) {
      const cells = await cluster.probe('8080/TCP', family)
      const verdict = (from: string, to: string) =>
        cells.find(cell => cell.from === `default/${from}` && cell.to === `default/${to}`)?.verdict
      assert.deepEqual(
        [verdict('in', 'server'), verdict('out', 'server'), verdict('server', 'in'), verdict('server', 'out')],
        ['allowed', 'denied', 'allowed', 'denied'],
        `family ${family}`,
      )
    }
    await remove(cluster, 'twins', 'default/in', 'default/out')
  })

  await t.test('another pod with the address, and the port, of one that is gone', async t => {
    const addresses = ['10.244.7.7', 'fd00:10:244::77']
    for (const [round, role] of ['friend', 'stranger', 'friend', 'stranger'].entries()) {
      const name = `default/visitor-${round}`
      await cluster.enforce('visitor', podAt(name, addresses, { labels: { role }, ...SLEEP }))
      await cluster.untilReady(name)
      assert.deepEqual((await cluster.pod(name))?.addresses, addresses)
      const visitor = await SocketHost.inPod(t, cluster, name)
      for (const [i, address] of serverAddresses.entries()) {
        const listener = await inServer.listen('UDP', PORT + i)
        const sinceMs = Date.now()
        const socket = await visitor.connect('UDP', address, PORT + i, { fromPort: OWN_PORT })
        socket.send(name)
        if (role === 'friend') await until(`${name} to be heard`, () => listener.heard === name)
        else {
          const isOurs = (flow: { source: { port?: number } }) => flow.source.port === OWN_PORT
          const drop = await flows.next(`${name} to be dropped`, flow => isDropped(flow) && isOurs(flow), sinceMs)
          assert.equal(`${drop.source.pod?.namespace}/${drop.source.pod?.name}`, name)
          assert.equal(listener.heard, '')
        }
        listener.close()
        socket.close()
      }
    }
    await remove(cluster, 'visitor', 'default/visitor-3')
  })

  await t.test(`${CROWD} pods at once, and gone at once under load`, async t => {
    const names = Array.from({ length: CROWD }, (_, i) => `default/crowd-${i}`)
    const role = (i: number) => (i % 2 === 0 ? 'friend' : 'stranger')
    await cluster.enforce('client', podManifest('default/client', { labels: { role: 'friend' } }))
    await cluster.untilReady('default/client')
    const load = await startLoad(t, cluster, 'default/client', [
      'attempt',
      serverAddresses[0] ?? '',
      '8080',
      String(ATTEMPT_MS),
    ])
    const inClient = await SocketHost.inPod(t, cluster, 'default/client')
    const open = await Conversation.open(
      { client: inClient, server: inServer },
      flows,
      'TCP',
      serverAddresses[1] ?? '',
      PORT + 2,
    )

    await cluster.enforce(
      'crowd',
      ...names.map((name, i) => podManifest(name, { labels: { role: role(i) }, ...SLEEP })),
    )
    await cluster.untilReady(...names)
    for (const family of [4, 6] as const) {
      const cells = (await cluster.probe('8080/TCP', family)).filter(({ to }) => to === 'default/server')
      for (const [i, name] of names.entries())
        assert.equal(
          cells.find(({ from }) => from === name)?.verdict,
          role(i) === 'friend' ? 'allowed' : 'denied',
          `${name}, ${role(i)}, family ${family}`,
        )
    }

    await remove(cluster, 'crowd', ...names)
    await open.arrives('client')
    await open.arrives('server')
    const { connected, failures } = JSON.parse(await load.finish()) as Attempts
    assert.deepEqual(failures, [], `of ${failures.length + connected} connections`)
    assert.ok(connected > 100, `only ${connected} connections were made: that proves little`)
  })

  await t.test('nothing is left of them', async () => {
    const wanted = ['default/client', 'default/server']
    const endpoints = (await cluster.agent.table('endpoints')).rows
    assert.deepEqual(endpoints.map(row => row[1] ?? '').sort(), wanted)
    assert.equal((await cluster.agent.table('endpoint-entries')).rows.length, 2 * wanted.length)
    const maps = new Map((await cluster.agent.maps()).map(map => [map.name, map.entries]))
    assert.equal(maps.get('endpoints'), 2 * wanted.length)
    using node = Namespace.ofProcess((await cluster.agent.status()).pid)
    using netlink = NetlinkSocket.open({ namespace: node })
    assert.equal(netlink.list(allLinks()).filter(link => link.name.startsWith('axo')).length, wanted.length)
  })
})

/** Removes a file and waits until its pods, and their endpoints, are gone. */
async function remove(cluster: TestCluster, file: string, ...pods: readonly string[]): Promise<void> {
  cluster.remove(file)
  for (const pod of pods) await cluster.untilGone(pod)
  await until('their endpoints to be gone', async () => {
    const { rows } = await cluster.agent.table('endpoints')
    return rows.every(([, pod = '']) => !pods.includes(pod))
  })
  await cluster.agent.settled()
}
