// Pods and machines outside of the cluster, both ways and in both families: blocks of
// addresses with exceptions, the node as a destination, ICMP errors that belong to a
// connection, fragments, and a path with a smaller MTU than the pod's.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Namespace, NetlinkSocket, setLink } from '../../src/net/index.ts'
import type { Flow } from '../../src/observe/index.ts'
import { podManifest } from '../sandbox/support.ts'
import { Conversation } from './conversation.ts'
import { FlowLog, isDropped } from './flows.ts'
import { NODE_ADDRESSES, plugIn } from './outside.ts'
import { networkPolicy, type Spec } from './policies.ts'
import { SocketHost, type Transport } from './sockets.ts'
import { NEEDS_ROOT, startCluster, until } from './support.ts'

const FRIENDS = ['172.30.0.9', 'fd00:172:30::9']
const EXCEPTED = ['172.30.0.66', 'fd00:172:30::66']
const BLOCKS = [
  { ipBlock: { cidr: '172.30.0.0/24', except: ['172.30.0.64/26'] } },
  { ipBlock: { cidr: 'fd00:172:30::/64', except: ['fd00:172:30::60/124'] } },
]
const TRANSPORTS: readonly Transport[] = ['TCP', 'UDP']
const CLOSED_PORT = 9
/** Many fragments, as many in both families. */
const LARGE_BYTES = 20_011
const FRAGMENTS = 14
const SMALL_MTU = 1400
const STREAM_BYTES = 1_000_000

const single = (addresses: readonly string[]) =>
  addresses.map(address => ({ ipBlock: { cidr: `${address}/${address.includes(':') ? 128 : 32}` } }))
const sameFamily = (addresses: readonly string[], as: string): string =>
  addresses.find(address => address.includes(':') === as.includes(':')) ?? ''

test('pods and the outside', { skip: NEEDS_ROOT }, async t => {
  const cluster = await startCluster(t, 'e2e-outside')
  await cluster.enforce('pods', podManifest('shop/web'), podManifest('other/peer'))
  await cluster.untilReady('shop/web', 'other/peer')
  const outside = SocketHost.in(t, await plugIn(t, cluster, 'friends', FRIENDS))
  const excepted = SocketHost.in(t, await plugIn(t, cluster, 'excepted', EXCEPTED))
  const node = await SocketHost.inNode(t, cluster)
  const web = await SocketHost.inPod(t, cluster, 'shop/web')
  const peer = await SocketHost.inPod(t, cluster, 'other/peer')
  const addressesOf = async (key: string) => (await cluster.pod(key))?.addresses ?? []
  const [webAddresses, peerAddresses] = [await addressesOf('shop/web'), await addressesOf('other/peer')]
  const flows = await FlowLog.follow(t, cluster)
  let nextPort = 7000

  const isolate = (spec: Omit<Spec, 'podSelector'>) =>
    cluster.enforce('policy', networkPolicy('shop/web', { podSelector: {}, ...spec }))

  /** Every transport and family, as far as there are addresses. */
  const each = async (addresses: readonly string[], run: (protocol: Transport, address: string) => Promise<void>) => {
    for (const protocol of TRANSPORTS) for (const address of addresses) await run(protocol, address)
  }
  const talks = async (client: SocketHost, server: SocketHost, protocol: Transport, address: string) =>
    await Conversation.open({ client, server }, flows, protocol, address, ++nextPort)
  const isDenied = async (client: SocketHost, protocol: Transport, address: string): Promise<Flow> => {
    const port = ++nextPort
    const sinceMs = Date.now()
    const socket = client.begin(protocol, address, port)
    if (protocol === 'UDP') {
      await until('a socket', () => socket.port !== 0)
      socket.send('let me in')
    }
    const isIt = (flow: Flow) => flow.destination.address === address && flow.destination.port === port
    return await flows.next(
      `a ${protocol} packet to ${address} to be dropped`,
      flow => isIt(flow) && isDropped(flow),
      sinceMs,
    )
  }

  await t.test('a block with an exception decides who may come in', async () => {
    await isolate({ ingress: [{ from: BLOCKS }] })
    await each(webAddresses, async (protocol, address) => {
      await talks(outside, web, protocol, address)
      const drop = await isDenied(excepted, protocol, address)
      assert.equal(drop.direction, 'ingress')
      assert.equal((await isDenied(peer, protocol, address)).source.pod?.name, 'peer')
    })
  })

  await t.test('an exception that comes later cuts who is in', async () => {
    const open: Conversation[] = []
    await each(webAddresses, async (protocol, address) => {
      open.push(await talks(outside, web, protocol, address))
    })
    await isolate({ ingress: [{ from: single(EXCEPTED) }] })
    for (const conversation of open) await conversation.isCut('client')
    await isolate({ ingress: [{ from: single([...FRIENDS, ...EXCEPTED]) }] })
    for (const conversation of open) await conversation.arrives('server')
  })

  await t.test('a block decides where a pod may go', async () => {
    await isolate({ ingress: [], egress: [{ to: BLOCKS }] })
    await each(FRIENDS, async (protocol, address) => {
      await talks(web, outside, protocol, address)
      const drop = await isDenied(web, protocol, sameFamily(EXCEPTED, address))
      assert.equal(drop.direction, 'egress')
      await isDenied(web, protocol, sameFamily(peerAddresses, address))
    })
  })

  await t.test('so it does for the node', async () => {
    await isolate({ egress: [{ to: single(FRIENDS) }] })
    await each(NODE_ADDRESSES, async (protocol, address) => void (await isDenied(web, protocol, address)))
    await isolate({ egress: [{ to: single(NODE_ADDRESSES) }] })
    await each(NODE_ADDRESSES, async (protocol, address) => {
      await talks(web, node, protocol, address)
      await isDenied(web, protocol, sameFamily(FRIENDS, address))
    })
  })

  await t.test('a closed port is known at once, although no rule lets the error through', async () => {
    await cluster.enforce('peer', networkPolicy('other/peer', { podSelector: {}, ingress: [{}], egress: [] }))
    await isolate({
      ingress: [{ from: single(FRIENDS), ports: [{ protocol: 'UDP', port: CLOSED_PORT }] }],
      egress: [{}],
    })
    const refused = async (client: SocketHost, address: string): Promise<void> => {
      const socket = await client.connect('UDP', address, CLOSED_PORT)
      socket.send('anybody?')
      await until(`${address} to refuse`, () => socket.errors.includes('ECONNREFUSED'))
    }
    for (const address of [...peerAddresses, ...FRIENDS, ...NODE_ADDRESSES]) await refused(web, address)
    for (const address of webAddresses) {
      await refused(outside, address)
      await refused(node, address)
    }
  })

  await t.test('large datagrams pass in fragments where they are allowed, and only there', async () => {
    await isolate({ ingress: [{ from: single([...FRIENDS, ...peerAddresses]) }], egress: [{}] })
    await cluster.enforce('peer')
    const large = 'x'.repeat(LARGE_BYTES)
    for (const address of webAddresses)
      for (const client of [peer, outside]) {
        const server = await web.listen('UDP', ++nextPort)
        const socket = await client.connect('UDP', address, nextPort)
        socket.send(large)
        await until('all fragments', () => server.heard === large)
        server.send(large)
        await until('all fragments of the answer', () => socket.heard === large)
        server.close()
      }

    await isolate({ ingress: [], egress: [{}] })
    for (const address of webAddresses)
      for (const client of [peer, outside]) {
        const server = await web.listen('UDP', ++nextPort)
        const port = nextPort
        const socket = await client.connect('UDP', address, port)
        socket.send(large)
        const isOurs = (flow: Flow) =>
          isDropped(flow) &&
          flow.destination.address === address &&
          flow.destination.port === port &&
          flow.source.port === socket.port
        await until('every fragment to be dropped', () => flows.flows.filter(isOurs).length >= FRAGMENTS)
        assert.equal(server.heard, '')
        server.close()
      }
  })

  await t.test('a pod that nobody may talk to learns of a path with a smaller MTU', async () => {
    await isolate({ ingress: [], egress: [{}] })
    using inside = Namespace.ofProcess((await cluster.agent.status()).pid)
    using netlink = NetlinkSocket.open({ namespace: inside })
    netlink.run(setLink({ name: 'eth0' }, { mtu: SMALL_MTU }))
    const text = 'y'.repeat(STREAM_BYTES)
    for (const address of FRIENDS) {
      const server = await outside.listen('TCP', ++nextPort)
      const client = await web.connect('TCP', address, nextPort)
      const sinceMs = Date.now()
      client.send(text)
      await until('the whole text to arrive', () => server.heard.length === STREAM_BYTES)
      const type = address.includes(':') ? 2 : 3
      const error = await flows.next('the message of the node', flow => flow.icmp?.type === type, sinceMs)
      assert.equal(error.event, 'related')
      assert.equal(error.verdict, 'FORWARDED')
    }
  })
})
