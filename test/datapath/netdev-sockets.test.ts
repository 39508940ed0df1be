// Services for a client outside, over real devices and sockets: to a pod of the node, to
// a process of it, to a pod of another node by SNAT and by direct return, with and
// without kube-proxy's rules in the way.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import { withNamespace } from '../../src/net/index.ts'
import type { Transport } from '../e2e/sockets.ts'
import { until } from '../e2e/support.ts'
import { CLIENT, EdgeNetwork, hostIn } from './edge-network.ts'
import { needsRoot } from './node.ts'

const NODE_PORT = 30080

/** As kube-proxy has them for a node port whose pod is on the near node. */
function addKubeProxyRules({ near, far }: EdgeNetwork): void {
  withNamespace(far.namespace, () => {
    for (const program of ['iptables', 'ip6tables'])
      execFileSync(program, ['-w', ...'-A FORWARD -m conntrack --ctstate INVALID -j DROP'.split(' ')], {
        stdio: 'pipe',
      })
  })
  withNamespace(near.namespace, () => {
    for (const [program, address] of [
      ['iptables', `${near.pod[4]}:8080`],
      ['ip6tables', `[${near.pod[6]}]:8080`],
    ] as const) {
      const run = (rule: string) => execFileSync(program, ['-w', ...rule.split(' ')], { stdio: 'pipe' })
      run('-A FORWARD -m conntrack --ctstate INVALID -j DROP')
      run('-t nat -A POSTROUTING -m conntrack --ctstate DNAT -j MASQUERADE')
      for (const protocol of ['tcp', 'udp'])
        for (const chain of ['PREROUTING', 'OUTPUT'])
          run(
            `-t nat -A ${chain} -p ${protocol} --dport ${NODE_PORT} -m addrtype --dst-type LOCAL -j DNAT --to-destination ${address}`,
          )
    }
  })
}

async function hosts(t: TestContext, network: EdgeNetwork) {
  return {
    client: hostIn(t, network.client),
    near: hostIn(t, network.near.namespace),
    nearPod: hostIn(t, network.near.podNamespace),
    farPod: hostIn(t, network.far.podNamespace),
  }
}
type Hosts = Awaited<ReturnType<typeof hosts>>

/** A question there, an answer back. */
async function talk(
  client: Hosts['client'],
  server: { heard: string; send(text: string): void },
  to: { readonly protocol: Transport; readonly address: string; readonly port?: number },
): Promise<Awaited<ReturnType<Hosts['client']['connect']>>> {
  const socket = await client.connect(to.protocol, to.address, to.port ?? NODE_PORT)
  const question = `question ${socket.port}`
  socket.send(question)
  await until(`${to.protocol} to ${to.address}`, () => server.heard.endsWith(question))
  server.send('answer')
  await until(`the answer of ${to.protocol} from ${to.address}`, () => socket.heard.endsWith('answer'))
  return socket
}

const cases = (['TCP', 'UDP'] as const).flatMap(protocol => ([4, 6] as const).map(family => ({ protocol, family })))

async function everyPath(t: TestContext, network: EdgeNetwork): Promise<void> {
  const { near, far } = network
  const { client, near: nearHost, nearPod, farPod } = await hosts(t, network)
  for (const { protocol, family } of cases) {
    const address = near.address[family]
    const service = { address, port: NODE_PORT, protocol }
    await t.test(`to a pod of the node, ${protocol}, IPv${family}`, async () => {
      near.datapath.maps.flows.clear()
      near.setService({ ...service, backends: [{ address: near.pod[family], port: 8080 }] })
      const server = await nearPod.listen(protocol, 8080)
      await talk(client, server, { protocol, address })
      await talk(client, server, { protocol, address })
      assert.ok(near.knows(CLIENT[family]), 'the pod sees the client')
      server.close()
    })

    await t.test(`to a process of the node, ${protocol}, IPv${family}`, async () => {
      near.setService({ ...service, backends: [{ address, port: 8081 }] })
      const server = await nearHost.listen(protocol, 8081)
      await talk(client, server, { protocol, address })
      server.close()
    })

    await t.test(`to a pod of another node by SNAT, ${protocol}, IPv${family}`, async () => {
      far.datapath.maps.flows.clear()
      near.setService({ ...service, backends: [{ address: far.pod[family], port: 8080 }] })
      const server = await farPod.listen(protocol, 8080)
      await talk(client, server, { protocol, address })
      const kept = await talk(client, server, { protocol, address })
      assert.ok(far.knows(address) && !far.knows(CLIENT[family]), 'the pod sees the node')
      near.setService({ ...service, backends: [{ address: near.pod[family], port: 8080 }] })
      kept.send('more')
      await until('what an open connection sends after a change', () => server.heard.endsWith('more'))
      server.close()
    })

    await t.test(`to a pod of another node by direct return, ${protocol}, IPv${family}`, async () => {
      far.datapath.maps.flows.clear()
      far.setService({ ...service, address: '::', backends: [], flags: ['RESERVATION', 'DIRECT_RETURN'] })
      near.setService({
        ...service,
        backends: [{ address: far.pod[family], port: 8080 }],
        flags: ['DIRECT_RETURN'],
      })
      const server = await farPod.listen(protocol, 8080)
      await talk(client, server, { protocol, address })
      const socket = await talk(client, server, { protocol, address })
      socket.send(' more')
      await until('what follows', () => server.heard.endsWith(' more'))
      assert.ok(far.knows(CLIENT[family]), 'the pod sees the client')
      server.close()
    })

    await t.test(`nobody there, ${protocol}, IPv${family}`, async () => {
      near.setService({ ...service, backends: [] })
      const socket = client.begin(protocol, address, NODE_PORT)
      if (protocol === 'UDP') {
        await until('a socket', () => socket.port !== 0)
        socket.send('question')
      }
      await until('a refusal', () => socket.errors.includes('ECONNREFUSED'))
    })
  }
}

test('every path', { skip: needsRoot }, async t => everyPath(t, await EdgeNetwork.start(t)))

for (const mode of ['generic', 'native'] as const)
  test(`every path, with ${mode} XDP`, { skip: needsRoot }, async t => everyPath(t, await EdgeNetwork.start(t, mode)))

test('every path, with kube-proxy’s rules there', { skip: needsRoot }, async t => {
  const network = await EdgeNetwork.start(t)
  addKubeProxyRules(network)
  await everyPath(t, network)
})

test('a connection that kube-proxy translated goes on', { skip: needsRoot }, async t => {
  const network = await EdgeNetwork.start(t)
  addKubeProxyRules(network)
  const { near } = network
  const { client, nearPod } = await hosts(t, network)
  const server = await nearPod.listen('TCP', 8080)
  for (const family of [4, 6] as const) {
    const address = near.address[family]
    const socket = await talk(client, server, { protocol: 'TCP', address })
    near.setService({
      address,
      port: NODE_PORT,
      protocol: 'TCP',
      backends: [{ address: near.pod[family], port: 8080 }],
    })
    socket.send('more')
    await until('what it sends afterwards', () => server.heard.endsWith('more'))
    await talk(client, server, { protocol: 'TCP', address })
    socket.send('and more')
    await until('what it sends afterwards', () => server.heard.endsWith('and more'))
  }
})
