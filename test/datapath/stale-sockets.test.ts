// Connected UDP sockets of the node whose backend goes: their programs are told, others'
// are not.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NETLINK_SOCK_DIAG, NetlinkSocket } from '../../src/net/index.ts'
import { destroyStaleSockets } from '../../src/reconcilers/index.ts'
import { needsRoot } from '../bpf/support.ts'
import { SERVER_PORT, SERVERS, SocketNode, serveAll, type TestService } from './socket-node.ts'

const FAMILIES = [
  { text: 'IPv4', family: 4, address: '10.96.0.1', servers: SERVERS[4], spelt: (address: string) => address },
  { text: 'IPv6', family: 6, address: 'fd00:96::1', servers: SERVERS[6], spelt: (address: string) => address },
  {
    text: 'IPv4 from an IPv6 socket',
    family: 6,
    address: '10.96.0.1',
    servers: SERVERS[4],
    spelt: (address: string) => `::ffff:${address}`,
  },
] as const

for (const { text, family, address, servers, spelt } of FAMILIES)
  test(`${text}: a socket whose backend is gone is ended, and finds another one`, { skip: needsRoot }, async t => {
    const node = new SocketNode()
    t.after(() => node[Symbol.asyncDispose]())
    await node.addressed(servers, node.namespace)
    await serveAll(node.process(), servers)
    using netlink = NetlinkSocket.open({ namespace: node.namespace, protocol: NETLINK_SOCK_DIAG })
    const destroy = () =>
      destroyStaleSockets({
        netlink,
        given: node.sockets.maps.datagram_frontends,
        backends: node.datapath.maps.backends,
      })
    const service = (number: number, position: number): TestService => ({
      number,
      protocol: 'UDP',
      frontends: [{ address, port: number }],
      backends: [{ id: number, address: servers[position] ?? '', port: SERVER_PORT }],
    })
    const client = node.process()
    const connected = async (to: { address: string; port: number }) => {
      const socket = await client.open('UDP', family)
      assert.equal(await socket.connect(to), 'ok')
      return socket
    }
    node.setService(service(1, 0))
    node.setService(service(2, 1))
    const stale = await connected({ address: spelt(address), port: 1 })
    const other = await connected({ address: spelt(address), port: 2 })
    const direct = await connected({ address: spelt(servers[0]), port: SERVER_PORT })
    assert.equal(destroy(), 0)

    node.removeService(service(1, 0))
    assert.equal(destroy(), 1)
    assert.equal(await stale.receive(), 'ECONNABORTED')
    for (const socket of [other, direct]) assert.match(await socket.ask(), / from /)
    node.setService(service(1, 1))
    assert.equal(await stale.connect({ address: spelt(address), port: 1 }), 'ok')
    assert.equal(await stale.ask(), `${servers[1]} from ${spelt(address)} 1`)
    assert.equal(destroy(), 0)
  })
