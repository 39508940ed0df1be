// Kernels without tcx links: the same programs as filters of a clsact qdisc, put there
// by the same reconciler, judge the packets of real sockets.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { cidr, ip, mac } from '../../src/ip/index.ts'
import {
  type Datapath,
  type DropReason,
  ipcacheKey,
  loadDatapath,
  policyElement,
  readPacketCounters,
  worldEntries,
} from '../../src/maps/index.ts'
import {
  addAddress,
  allFilters,
  type Namespace,
  type NetlinkSocket,
  namespaceCookie,
  writeSysctls,
} from '../../src/net/index.ts'
import { clsactAttacher, endpointDeviceOperations, hostInterfaceOf, PodNetwork } from '../../src/reconcilers/index.ts'
import type { Endpoint } from '../../src/tables/index.ts'
import { freshNamespace } from '../net/fixture.ts'
import { SocketHost, type Transport } from './sockets.ts'
import { NEEDS_ROOT, until } from './support.ts'

const HOST_MAC = '02:61:78:6f:6e:65'
const NODE_ADDRESSES = ['172.30.0.2', 'fd00:172:30::2']
const OPEN = 1
const CLOSED = 2

function endpoint(id: number, pod: Namespace): Endpoint {
  const host = hostInterfaceOf(id)
  return {
    id,
    containerId: `container-${id}`,
    podNamespace: 'default',
    podName: `pod-${id}`,
    networkNamespace: `/proc/${process.pid}/fd/${pod.fd}`,
    networkNamespaceInode: pod.inode,
    networkNamespaceCookie: String(namespaceCookie(pod)),
    interface: 'eth0',
    hostInterface: host.name,
    ifindex: host.ifindex,
    mac: `0a:00:00:00:00:0${id}`,
    addresses: [`10.244.0.${id}`, `fd00:10:244::${id}`],
  }
}

/** A node with two pods, as the agent would make it on such a kernel. */
async function makeNode(t: TestContext) {
  const { namespace: node, netlink } = freshNamespace(t)
  writeSysctls(node, {
    'net/ipv4/ip_forward': 1,
    'net/ipv6/conf/all/forwarding': 1,
    'net/ipv4/conf/all/rp_filter': 0,
    'net/ipv4/conf/default/rp_filter': 0,
  })
  netlink.run(...NODE_ADDRESSES.map(address => addAddress({ index: 1, address, noDad: true })))
  const pods = [freshNamespace(t).namespace, freshNamespace(t).namespace] as const
  const datapath = loadDatapath({
    object: readFileSync(new URL('../../build/pod.o', import.meta.url)),
    hostMac: mac(HOST_MAC),
  })
  t.after(() => datapath.close())
  const { from_pod: fromPod, to_pod: toPod } = datapath.programs
  const attacher = clsactAttacher({ fromPod, toPod }, node)
  t.after(() => attacher.close())
  const network = new PodNetwork({ node, hostMac: HOST_MAC, mtu: 1500, nodeAddresses: NODE_ADDRESSES })
  t.after(() => network.close())
  const operations = endpointDeviceOperations(network, attacher, node)
  const endpoints = pods.map((pod, i) => endpoint(i + 2, pod))
  const { signal } = new AbortController()
  const failures = await operations.update(endpoints, signal)
  assert.deepEqual([...(failures ?? [])], [])
  fillMaps(datapath, endpoints)
  return { node, netlink, pods, datapath, attacher, operations, endpoints, signal }
}

function fillMaps(datapath: Datapath, endpoints: readonly Endpoint[]): void {
  const { maps, schema } = datapath
  maps.ipcache.updateBatch(worldEntries(schema.reservedIdentity))
  const any = { identity: 0, protocol: 0, port: 0, portPrefixLength: 0, verdict: 'allow', precedence: 1 } as const
  const egress = policyElement(schema, { ...any, direction: 'egress' }, 1)
  using open = datapath.createPolicyMap([egress, policyElement(schema, { ...any, direction: 'ingress' }, 1)])
  using closed = datapath.createPolicyMap([egress])
  maps.policy_maps.updateBatch([
    [OPEN, open],
    [CLOSED, closed],
  ])
  for (const { addresses } of endpoints)
    for (const address of addresses)
      maps.ipcache.set(ipcacheKey(cidr(`${address}/${address.includes(':') ? 128 : 32}`)), { identity: 300, flags: 0 })
  for (const endpoint of endpoints) setPolicy(datapath, endpoint, OPEN)
}

function setPolicy({ maps }: Datapath, endpoint: Endpoint, policy: number): void {
  const { ifindex, id, mac: text } = endpoint
  for (const address of endpoint.addresses)
    maps.endpoints.set({ bytes: ip(address).bytes }, { ifindex, id, identity: 300, policy, mac: mac(text), flags: 0 })
  maps.runtime.set(0, { revision: (maps.runtime.get(0)?.revision ?? 0) + 1, proxies: 0 })
}

const dropsOf = ({ schema, maps }: Datapath, reason: DropReason): bigint =>
  readPacketCounters(schema, maps.packet_counts)
    .filter(count => count.reason === reason)
    .reduce((sum, { packets }) => sum + packets, 0n)

const filtersOf = (netlink: NetlinkSocket, { ifindex: index }: Endpoint): string[] =>
  (['ingress', 'egress'] as const).flatMap(direction =>
    netlink.list(allFilters({ index, direction })).map(({ name }) => `${direction} ${name}`),
  )

test('the programs as clsact filters', { skip: NEEDS_ROOT }, async t => {
  const { node, netlink, pods, datapath, attacher, operations, endpoints, signal } = await makeNode(t)
  const [a, b] = [SocketHost.in(t, pods[0]), SocketHost.in(t, pods[1])]
  const inNode = SocketHost.in(t, node)
  const [first, second] = endpoints
  assert.ok(first && second)
  let port = 7000
  const talk = async (client: SocketHost, protocol: Transport, address: string): Promise<void> => {
    const server = await b.listen(protocol, ++port)
    const socket = await client.connect(protocol, address, port)
    socket.send('question')
    await until('the question', () => server.heard === 'question')
    server.send('answer')
    await until('the answer', () => socket.heard === 'answer')
  }
  const each = async (run: (protocol: Transport, address: string) => Promise<void>): Promise<void> => {
    for (const protocol of ['TCP', 'UDP'] as const) for (const address of second.addresses) await run(protocol, address)
  }

  await t.test('pods reach each other, and the node reaches them', async () => {
    assert.equal(attacher.mechanism, 'clsact')
    assert.deepEqual(filtersOf(netlink, first).length, 2)
    await each(async (protocol, address) => {
      await talk(a, protocol, address)
      await talk(inNode, protocol, address)
    })
    assert.ok(dropsOf(datapath, 'NONE') > 0n, 'packets are counted')
  })

  await t.test('policy holds, and the node passes it', async () => {
    setPolicy(datapath, second, CLOSED)
    await each(async (protocol, address) => {
      const before = dropsOf(datapath, 'POLICY_DENIED')
      const server = await b.listen(protocol, ++port)
      const socket = protocol === 'UDP' ? await a.connect(protocol, address, port) : a.begin(protocol, address, port)
      if (protocol === 'UDP') socket.send('question')
      await until('a packet to be dropped', () => dropsOf(datapath, 'POLICY_DENIED') > before)
      assert.equal(server.heard, '')
      await talk(inNode, protocol, address)
    })
    setPolicy(datapath, second, OPEN)
  })

  await t.test('the node reaches no address that is not the pod’s any more', async () => {
    for (const address of second.addresses) datapath.maps.endpoints.delete({ bytes: ip(address).bytes })
    const before = dropsOf(datapath, 'STALE_IP')
    const socket = await inNode.connect('UDP', second.addresses[0] ?? '', ++port)
    socket.send('question')
    await until('a packet to be dropped', () => dropsOf(datapath, 'STALE_IP') > before)
    setPolicy(datapath, second, OPEN)
  })

  await t.test('attaching again changes nothing, detaching leaves nothing', async () => {
    assert.deepEqual([...((await operations.update(endpoints, signal)) ?? [])], [])
    assert.equal(filtersOf(netlink, first).length, 2)
    await each((protocol, address) => talk(a, protocol, address))
    attacher.detach(first.ifindex)
    attacher.detach(first.ifindex)
    assert.deepEqual(filtersOf(netlink, first), [])
    await operations.delete(endpoints, signal)
    attacher.detach(second.ifindex)
  })
})
