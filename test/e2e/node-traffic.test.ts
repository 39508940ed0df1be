// What the node itself sends always reaches its pods, and their replies come back; who
// merely has the node's address, by forgery or by translation, gets nothing by it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addAddress, deleteAddress, linkOf, Namespace, NetlinkSocket } from '../../src/net/index.ts'
import type { Flow } from '../../src/observe/index.ts'
import { ethernet, frame, ipv4, ipv6, payload, udp } from '../../src/packet/index.ts'
import { frameSocket } from '../net/sockets.ts'
import { podManifest } from '../sandbox/support.ts'
import { Conversation } from './conversation.ts'
import { FlowLog, isDropped } from './flows.ts'
import { masquerade } from './masquerade.ts'
import { NODE_ADDRESSES, plugIn } from './outside.ts'
import { denyAll, networkPolicy } from './policies.ts'
import { SocketHost } from './sockets.ts'
import { NEEDS_ROOT, startCluster } from './support.ts'

/** An address of the node that nobody told the agent of. */
const UNDECLARED = '10.99.0.1'
const OUTSIDE = ['172.30.0.9', 'fd00:172:30::9']
const HOST_MAC = '02:61:78:6f:6e:65'
const POD_DEVICE = 'eth0'

test('the node and its pods', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-node')
  await cluster.enforce('pods', podManifest('shop/a'), podManifest('other/b'), denyAll('shop'))
  await cluster.untilReady('shop/a', 'other/b')
  const node = await SocketHost.inNode(t, cluster)
  const a = await SocketHost.inPod(t, cluster, 'shop/a')
  const b = await SocketHost.inPod(t, cluster, 'other/b')
  const flows = await FlowLog.follow(t, cluster)
  const addresses = (await cluster.pod('shop/a'))?.addresses ?? []
  const both = ['TCP', 'UDP'] as const
  let nextPort = 7000

  await t.test('a process of the node reaches a pod that is isolated from everybody', async () => {
    for (const address of addresses)
      for (const protocol of both) {
        const talk = await Conversation.open({ client: node, server: a }, flows, protocol, address, ++nextPort)
        await talk.arrives('client')
        await talk.arrives('server')
      }
  })

  await t.test('so it does from an address that the agent was not told of', async () => {
    using inside = Namespace.ofProcess((await cluster.agent.status()).pid)
    using netlink = NetlinkSocket.open({ namespace: inside })
    netlink.run(addAddress({ index: 1, address: UNDECLARED }))
    const server = await a.listen('TCP', ++nextPort)
    const client = await node.connect('TCP', addresses[0] ?? '', nextPort, { from: UNDECLARED })
    assert.deepEqual(client.errors, [])
    server.close()
    netlink.run(deleteAddress({ index: 1, address: UNDECLARED }))
  })

  await t.test('the isolated pod may not begin', async () => {
    await node.listen('TCP', ++nextPort)
    for (const address of NODE_ADDRESSES) {
      const port = nextPort
      const sinceMs = Date.now()
      a.begin('TCP', address, port)
      const drop = await flows.next('a dropped packet', isDropTo(address, port), sinceMs)
      assert.equal(drop.direction, 'egress')
      assert.equal(drop.destination.identityName, 'host')
    }
  })

  await t.test('a pod of the same node does not count as the node', async () => {
    for (const address of addresses) {
      const sinceMs = Date.now()
      const socket = await b.connect('UDP', address, 9)
      socket.send('anybody?')
      const drop = await flows.next('a dropped datagram', isDropTo(address, 9), sinceMs)
      assert.equal(drop.direction, 'ingress')
    }
  })

  await t.test('nor does one that forges the address of the node', async t => {
    const { pid } = await cluster.client.pod('other', 'b')
    using inside = Namespace.ofProcess(pid)
    using netlink = NetlinkSocket.open({ namespace: inside })
    const link = netlink.get(linkOf({ name: POD_DEVICE }))
    assert.ok(link)
    const device = frameSocket(t, inside, link.index)
    for (const [i, source] of NODE_ADDRESSES.entries()) {
      const destination = addresses.find(address => address.includes(':') === source.includes(':')) ?? ''
      const ip = source.includes(':') ? ipv6({ source, destination }) : ipv4({ source, destination })
      const sinceMs = Date.now()
      const sourcePort = 4001 + i
      device.send(
        frame(
          ethernet({ source: link.mac ?? '', destination: HOST_MAC }),
          ip,
          udp({ sourcePort, destinationPort: 9 }),
          payload('forged'),
        ),
      )
      const drop = await flows.next(
        'a dropped forgery',
        flow => isDropped(flow) && flow.source.port === sourcePort,
        sinceMs,
      )
      assert.equal(drop.dropReason, 'INVALID_SOURCE_IP')
    }
  })

  await t.test('nor does somebody outside whose packets the node translates to its own address', async t => {
    using inside = Namespace.ofProcess((await cluster.agent.status()).pid)
    masquerade(inside)
    const outside = SocketHost.in(t, await plugIn(t, cluster, 'outside', OUTSIDE))
    for (const address of addresses) {
      const port = ++nextPort
      const server = await a.listen('TCP', port)
      const sinceMs = Date.now()
      outside.begin('TCP', address, port)
      const drop = await flows.next('a dropped packet from outside', isDropTo(address, port), sinceMs)
      assert.ok(NODE_ADDRESSES.includes(drop.source.address as (typeof NODE_ADDRESSES)[number]), drop.source.address)
      assert.match(drop.source.identityName, /^world/)
      server.close()
    }

    const everybody = [{ ipBlock: { cidr: '0.0.0.0/0' } }, { ipBlock: { cidr: '::/0' } }]
    await cluster.enforce('world', networkPolicy('shop/world', { podSelector: {}, ingress: [{ from: everybody }] }))
    for (const address of addresses) {
      const port = ++nextPort
      await a.listen('TCP', port)
      const client = await outside.connect('TCP', address, port)
      assert.deepEqual(client.errors, [], 'the world may come in, and it is the world')
    }
  })
})

const isDropTo =
  (address: string, port: number) =>
  (flow: Flow): boolean =>
    isDropped(flow) && flow.destination.address === address && flow.destination.port === port
