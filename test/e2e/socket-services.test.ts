// Services in the sockets of a real node: a process of the node and one of a pod, an
// agent that ends, a backend that goes.

import assert from 'node:assert/strict'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { Namespace } from '../../src/net/index.ts'
import * as cgroup from '../../src/sandbox/cgroup.ts'
import { SocketProcess } from '../datapath/socket-calls.ts'
import { podManifest } from '../sandbox/support.ts'
import { NEEDS_ROOT, startCluster, type TestCluster, until } from './support.ts'

const SERVERS = ['default/web-a', 'default/web-b'] as const
const PORT = 8100
const NODE_PORT = 30123
const SERVICE = { address: '10.96.77.1', port: 80 }
const SERVICE_IPV6 = { address: 'fd00:10:96::7701', port: 80 }
const TRANSLATION = { 'service.axoneme.io/translation': 'packet' }

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: 'default', name: 'web' },
  spec: {
    type: 'NodePort',
    selector: { app: 'web' },
    clusterIP: SERVICE.address,
    clusterIPs: [SERVICE.address, SERVICE_IPV6.address],
    ipFamilyPolicy: 'RequireDualStack',
    ipFamilies: ['IPv4', 'IPv6'],
    ports: (['TCP', 'UDP'] as const).map(protocol => ({
      name: protocol.toLowerCase(),
      protocol,
      port: SERVICE.port,
      targetPort: PORT,
      ...(protocol === 'TCP' && { nodePort: NODE_PORT }),
    })),
  },
}

test('services in the sockets of a node', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-sockets')
  const optedOut = podManifest('default/opted-out')
  await cluster.enforce(
    'pods',
    podManifest('default/client'),
    { ...optedOut, metadata: { ...optedOut.metadata, annotations: TRANSLATION } },
    service,
  )
  // Their files are of their own, to be taken away one by one.
  for (const key of SERVERS) cluster.apply(key.replace('/', '-'), podManifest(key, { labels: { app: 'web' } }))
  await cluster.untilReady('default/client', 'default/opted-out', ...SERVERS)
  for (const key of SERVERS) await serve(t, cluster, key)
  const inNode = await processOf(t, cluster)
  const inPod = await processOf(t, cluster, 'default/client')
  await until('both servers to stand for the service', async () => {
    const { columns, rows } = await cluster.agent.table('service-entries')
    return rows.some(row => row[columns.indexOf('NAME')] === 'web' && row[columns.indexOf('BACKENDS')] === '8')
  })
  await cluster.agent.settled()

  await t.test('connections of the node and of a pod reach a server, and are with the service', async () => {
    for (const process of [inNode, inPod])
      for (const name of [SERVICE, SERVICE_IPV6]) {
        const socket = await process.open('TCP', name.address.includes(':') ? 6 : 4)
        assert.equal(await socket.connect(name), 'ok')
        assert.equal(await socket.peer(), `${name.address} ${name.port}`)
        assert.ok(SERVERS.includes((await socket.ask()) as never))
      }
  })

  await t.test('datagrams of the node are answered by the service', async () => {
    const socket = await inNode.open('UDP')
    assert.match(await socket.ask(SERVICE), new RegExp(`^default/web-. from ${SERVICE.address} ${SERVICE.port}$`))
  })

  await t.test('what is not translated in sockets is by the packet, and looks the same', async () => {
    const optedOut = await processOf(t, cluster, 'default/opted-out')
    for (const [process, protocol] of [
      [inPod, 'UDP'],
      [optedOut, 'UDP'],
      [optedOut, 'TCP'],
    ] as const) {
      const socket = await process.open(protocol)
      assert.equal(await socket.connect(SERVICE), 'ok')
      assert.equal(await socket.peer(), `${SERVICE.address} ${SERVICE.port}`)
      assert.match(await socket.ask(), /^default\/web-./)
    }
  })

  await t.test('the programs and their maps are told with the others', async () => {
    const programs = await cluster.agent.programs()
    assert.equal(programs.find(({ name }) => name === 'connect4')?.attached, 1)
    const maps = await cluster.agent.maps()
    assert.ok((maps.find(({ name }) => name === 'datagram_frontends')?.entries ?? 0) > 0)
  })

  await t.test('the table says where the services of each pod are translated', async () => {
    const { columns, rows } = await cluster.agent.table('pod-namespaces')
    const said = rows.map(row => ['POD', 'TRANSLATION', 'BECAUSE'].map(title => row[columns.indexOf(title)]).join(' '))
    assert.ok(said.includes('default/client socket '), said.join('\n'))
    assert.ok(said.includes('default/opted-out packet the pod'), said.join('\n'))
  })

  await t.test('the node port cannot be bound in the node', async () => {
    const bind = async (process: SocketProcess): Promise<string> =>
      (await process.open('TCP')).bind({ address: '0.0.0.0', port: NODE_PORT })
    assert.equal(await bind(inNode), 'EADDRINUSE')
    assert.equal(await bind(inPod), 'ok')
  })

  await t.test('an agent that ends changes nothing, for connections that are open and for new ones', async () => {
    const connect = async (process: SocketProcess) => {
      const socket = await process.open('TCP')
      assert.equal(await socket.connect(SERVICE), 'ok')
      return socket
    }
    const open = [await connect(inNode), await connect(inPod)]
    const { pid } = await cluster.agent.status()
    process.kill(pid, 'SIGKILL')
    for (const process of [inNode, inPod]) await connect(process)
    await until('the next agent to be ready', async () => {
      const status = await cluster.agent.status().catch(() => undefined)
      return status !== undefined && status.ready && status.pid !== pid
    })
    for (const process of [inNode, inPod]) await connect(process)
    for (const socket of open) {
      assert.ok(SERVERS.includes((await socket.ask()) as never))
      assert.equal(await socket.peer(), `${SERVICE.address} ${SERVICE.port}`)
    }
  })

  await t.test('a connected socket for datagrams is told when its server goes', async () => {
    const socket = await inNode.open('UDP')
    assert.equal(await socket.connect(SERVICE), 'ok')
    const [first = ''] = (await socket.ask()).split(' ')
    cluster.remove(first.replace('/', '-'))
    assert.equal(await socket.receive(), 'ECONNABORTED')
    assert.equal(await socket.connect(SERVICE), 'ok')
    const other = SERVERS.find(key => key !== first)
    assert.equal(await socket.ask(), `${other} from ${SERVICE.address} ${SERVICE.port}`)
  })
})

/** A process of the node, or in the network of one of its pods. */
async function processOf(t: TestContext, { client, agent, paths }: TestCluster, pod?: string): Promise<SocketProcess> {
  const [namespace = '', name = ''] = pod?.split('/') ?? []
  const { pid } = pod ? await client.pod(namespace, name) : await agent.status()
  using network = Namespace.ofProcess(pid)
  const group = cgroup.create(path.join(cgroup.cgroupRoot(), paths.cgroupName, 'node1', 'test'))
  const started = new SocketProcess(network, group)
  // Before the namespace is closed here, it has to be there.
  await (await started.open('UDP')).close()
  t.after(() => started.end())
  return started
}

/** Answers in a pod, under its name, on all of its addresses. */
async function serve(t: TestContext, cluster: TestCluster, key: string): Promise<void> {
  const server = await processOf(t, cluster, key)
  for (const address of (await cluster.pod(key))?.addresses ?? [])
    for (const protocol of ['TCP', 'UDP'] as const) await server.serve(key, protocol, { address, port: PORT })
}
