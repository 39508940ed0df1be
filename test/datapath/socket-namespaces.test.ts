// Whose sockets the socket programs translate, and which ports they keep free: real
// sockets, in namespaces and control groups of the test's own. A namespace has no way
// out, so what is not translated has nowhere to go.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { formatIp } from '../../src/ip/index.ts'
import type { Namespace } from '../../src/net/index.ts'
import { needsRoot } from '../bpf/support.ts'
import type { Name, SocketProcess, Transport } from './socket-calls.ts'
import { SERVER_PORT, SERVERS, SocketNode, serveAll, type TestService } from './socket-node.ts'

const SERVICE: Name = { address: '10.96.0.1', port: 80 }
const SERVICE_IPV6: Name = { address: 'fd00:96::1', port: 80 }
const LOOPBACK: Name = { address: '127.0.0.1', port: 30080 }
const POD_ADDRESSES = ['10.244.0.7', 'fd00:10:244::7'] as const
const BACKEND = { id: 1, address: SERVERS[4][0], port: SERVER_PORT }

const service = (protocol: Transport, change: Partial<TestService> = {}): TestService => ({
  number: 1,
  protocol,
  frontends: [SERVICE],
  backends: [BACKEND],
  ...change,
})

describe('namespaces of the socket programs', { skip: needsRoot, timeout: 60_000 }, () => {
  let node: SocketNode
  let pod: Namespace
  let inNode: SocketProcess
  let inPod: SocketProcess

  before(async () => {
    node = new SocketNode()
    const addresses = [...SERVERS[4], ...SERVERS[6]]
    await node.addressed(addresses, node.namespace)
    pod = await node.addressed([...addresses, ...POD_ADDRESSES])
    await Promise.all([serveAll(node.process()), serveAll(node.process(pod))])
    inNode = node.process()
    inPod = node.process(pod)
  })
  after(() => node?.[Symbol.asyncDispose]())

  const given = (t: { after(run: () => void): void }, ...services: readonly TestService[]): void => {
    for (const wanted of services) node.setService(wanted)
    t.after(() => {
      node.clearServices()
      node.datapath.maps.pod_namespaces.clear()
    })
  }
  const connect = async (process: SocketProcess, protocol: Transport, to: Name): Promise<string> =>
    (await process.open(protocol, to.address.includes(':') ? 6 : 4)).connect(to)

  test('in a pod, connections are translated and datagrams are not', async t => {
    given(t, service('TCP'), service('UDP'))
    node.setPod(pod, POD_ADDRESSES)
    assert.equal(await connect(inPod, 'TCP', SERVICE), 'ok')
    const socket = await inPod.open('UDP')
    assert.equal(await socket.send('hello', SERVICE), 'ENETUNREACH')
    assert.equal(await socket.connect(SERVICE), 'ENETUNREACH')
  })

  test('a pod that opted out has nothing translated in its sockets', async t => {
    given(t, service('TCP'), service('UDP'))
    node.setPod(pod, POD_ADDRESSES, { byPacket: true })
    for (const protocol of ['TCP', 'UDP'] as const) assert.equal(await connect(inPod, protocol, SERVICE), 'ENETUNREACH')
  })

  test('a namespace that is nobody’s has both translated', async t => {
    given(t, service('TCP'), service('UDP'))
    for (const protocol of ['TCP', 'UDP'] as const) assert.equal(await connect(inPod, protocol, SERVICE), 'ok')
  })

  test('a connection of before the opt-out still tells its service', async t => {
    given(t, service('TCP'))
    node.setPod(pod, POD_ADDRESSES)
    const socket = await inPod.open('TCP')
    await socket.connect(SERVICE)
    node.setPod(pod, POD_ADDRESSES, { byPacket: true })
    assert.equal(await socket.peer(), `${SERVICE.address} ${SERVICE.port}`)
  })

  test('a loopback address is the service’s only for the node itself', async t => {
    given(t, service('TCP', { frontends: [LOOPBACK], flags: node.datapath.schema.frontendFlags.number.NODE_ONLY }))
    assert.equal(await connect(inNode, 'TCP', LOOPBACK), 'ok')
    assert.equal(await connect(inPod, 'TCP', LOOPBACK), 'ECONNREFUSED')
    node.setPod(pod, POD_ADDRESSES)
    assert.equal(await connect(inPod, 'TCP', LOOPBACK), 'ECONNREFUSED')
  })

  test('sockets of other control groups are left alone', async t => {
    given(t, service('TCP'))
    const other = `${node.cgroup}-other`
    fs.mkdirSync(other)
    t.after(() => fs.rmdirSync(other))
    const outside = node.process(node.namespace, other)
    assert.equal(await connect(outside, 'TCP', SERVICE), 'ENETUNREACH')
    await outside.end()
    const below = path.join(node.cgroup, 'below')
    fs.mkdirSync(below)
    t.after(() => fs.rmdirSync(below))
    const inside = node.process(node.namespace, below)
    assert.equal(await connect(inside, 'TCP', SERVICE), 'ok')
    await inside.end()
  })

  test('a reserved port cannot be bound in the node, on any address, and is free in a pod', async t => {
    const reservation = { flags: node.datapath.schema.frontendFlags.number.RESERVATION, backends: [] }
    given(t, service('TCP', { ...reservation, frontends: [{ address: '::', port: 30080 }] }))
    const names: Name[] = ['0.0.0.0', '127.0.0.1', '::', '::1', '::ffff:127.0.0.1'].map(address => ({
      address,
      port: 30080,
    }))
    const bind = async (process: SocketProcess, protocol: Transport, name: Name): Promise<string> => {
      const socket = await process.open(protocol, name.address.includes(':') ? 6 : 4)
      const outcome = await socket.bind(name)
      await socket.close()
      return outcome
    }
    for (const name of names) {
      assert.equal(await bind(inNode, 'TCP', name), 'EADDRINUSE', name.address)
      assert.equal(await bind(inNode, 'UDP', name), 'ok', name.address)
      assert.equal(await bind(inPod, 'TCP', name), 'ok', name.address)
      for (const port of [30081, 0]) assert.equal(await bind(inNode, 'TCP', { ...name, port }), 'ok', name.address)
    }
  })

  test('a reservation is no service', async t => {
    const reservation = { flags: node.datapath.schema.frontendFlags.number.RESERVATION, backends: [] }
    given(t, service('TCP', { ...reservation, frontends: [{ address: '::', port: SERVER_PORT }] }))
    assert.equal(await connect(inNode, 'TCP', { address: SERVERS[4][0], port: SERVER_PORT }), 'ok')
    // To the unspecified address goes to the node itself, where nobody listens on loopback.
    assert.equal(await connect(inNode, 'TCP', { address: '::', port: SERVER_PORT }), 'ECONNREFUSED')
  })

  test('affinity knows a pod by its address, and any other namespace by its cookie', async t => {
    given(
      t,
      service('TCP', { affinitySeconds: 3600 }),
      service('TCP', {
        number: 2,
        frontends: [SERVICE_IPV6],
        backends: [{ id: 2, address: SERVERS[6][0], port: SERVER_PORT }],
        affinitySeconds: 3600,
      }),
    )
    node.setPod(pod, POD_ADDRESSES)
    for (const process of [inPod, inNode])
      for (const name of [SERVICE, SERVICE_IPV6]) assert.equal(await connect(process, 'TCP', name), 'ok')
    const clients = [...node.datapath.maps.affinities.keys()].map(
      ({ client, service }) => `${service} ${formatIp(client.bytes).replace(/^100::.*/, 'cookie')}`,
    )
    assert.deepEqual(clients.sort(), ['1 10.244.0.7', '1 cookie', '2 cookie', '2 fd00:10:244::7'])
  })
})
