// Services as programs see them through their sockets: real sockets, in a namespace and
// a control group of the test's own. Whose sockets are translated is
// socket-namespaces.test.ts's part.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { needsRoot } from '../bpf/support.ts'
import type { Name, SocketProcess, TestSocket, Transport } from './socket-calls.ts'
import { SERVER_PORT, SERVERS, SocketNode, serveAll, type TestService } from './socket-node.ts'

const same = (address: string): string => address
const mapped = (address: string): string => `::ffff:${address}`
const FAMILIES = [
  { text: 'IPv4', family: 4, prefix: '10.96.0.', servers: SERVERS[4], spelt: same },
  { text: 'IPv6', family: 6, prefix: 'fd00:96::', servers: SERVERS[6], spelt: same },
  { text: 'IPv4 from an IPv6 socket', family: 6, prefix: '10.96.0.', servers: SERVERS[4], spelt: mapped },
] as const
const TRANSPORTS = ['TCP', 'UDP'] as const
const DISCONNECTED = undefined

describe('the socket programs', { skip: needsRoot, timeout: 60_000 }, () => {
  let node: SocketNode
  let client: SocketProcess

  before(async () => {
    node = new SocketNode()
    await node.addressed([...SERVERS[4], ...SERVERS[6]], node.namespace)
    await serveAll(node.process())
    client = node.process()
  })
  after(() => node?.[Symbol.asyncDispose]())

  for (const { text, family, prefix, servers, spelt } of FAMILIES) {
    /** Service number N has the address PREFIX N, and the servers of these positions for backends. */
    const service = (number: number, protocol: Transport, positions: readonly number[]): TestService => ({
      number,
      protocol,
      frontends: [{ address: `${prefix}${number}`, port: 80 }],
      backends: positions.map(position => ({ id: position + 1, address: servers[position] ?? '', port: SERVER_PORT })),
    })
    const nameOf = (number: number): Name => ({ address: spelt(`${prefix}${number}`), port: 80 })
    const direct = (position: number): Name => ({ address: spelt(servers[position] ?? ''), port: SERVER_PORT })
    const said = ({ address, port }: Name): string => `${address} ${port}`
    const open = (protocol: Transport): Promise<TestSocket> => client.open(protocol, family)
    const given = (t: { after(run: () => void): void }, ...services: readonly TestService[]): void => {
      for (const wanted of services) node.setService(wanted)
      t.after(() => node.clearServices())
    }

    for (const protocol of TRANSPORTS) {
      test(`${protocol}, ${text}: a connection goes to the backend, and says it is with the service`, async t => {
        given(t, service(1, protocol, [0]))
        const socket = await open(protocol)
        assert.equal(await socket.connect(nameOf(1)), 'ok')
        assert.equal(await socket.peer(), said(nameOf(1)))
        assert.equal(await socket.ask(), protocol === 'UDP' ? `${servers[0]} from ${said(nameOf(1))}` : servers[0])
      })

      test(`${protocol}, ${text}: new connections go to every backend`, async t => {
        given(t, service(1, protocol, [0, 1]))
        const reached = new Set<string>()
        for (let tries = 0; tries < 64 && reached.size < 2; tries++) {
          const socket = await open(protocol)
          await socket.connect(nameOf(1))
          reached.add((await socket.ask()).split(' ')[0] ?? '')
          await socket.close()
        }
        assert.deepEqual([...reached].sort(), [...servers])
      })

      test(`${protocol}, ${text}: without a backend a connection is refused at once`, async t => {
        given(t, service(1, protocol, []), { ...service(2, protocol, []), without: 'DROP' })
        assert.equal(await (await open(protocol)).connect(nameOf(1)), 'ECONNREFUSED')
        assert.equal(await (await open(protocol)).connect(nameOf(2)), 'EHOSTUNREACH')
      })

      test(`${protocol}, ${text}: a connection goes on when its service is deleted`, async t => {
        given(t, service(1, protocol, [0]))
        const socket = await open(protocol)
        await socket.connect(nameOf(1))
        await socket.ask()
        node.clearServices()
        assert.match(await socket.ask(), new RegExp(`^${servers[0]}`))
        assert.equal(await socket.peer(), said(nameOf(1)))
      })
    }

    test(`TCP, ${text}: a connection that failed leaves nothing behind`, async t => {
      const nobody = { id: 9, address: servers[0] ?? '', port: SERVER_PORT + 1 }
      given(t, { ...service(1, 'TCP', []), backends: [nobody] }, service(2, 'TCP', [0]))
      const socket = await open('TCP')
      assert.equal(await socket.connect(nameOf(1)), 'ECONNREFUSED')
      assert.equal(await socket.connect(nameOf(2)), 'ok')
      assert.equal(await socket.peer(), said(nameOf(2)))
      const other = await open('TCP')
      assert.equal(await other.connect(nameOf(1)), 'ECONNREFUSED')
      const [server, itself] = [await open('TCP'), { address: spelt(nobody.address), port: nobody.port }]
      assert.deepEqual([await server.bind(itself), await server.listen()], ['ok', 'ok'])
      assert.equal(await other.connect(itself), 'ok')
      assert.equal(await other.peer(), said(itself))
      await server.close()
    })

    test(`UDP, ${text}: a socket that is connected again says whom it is with now`, async t => {
      given(t, service(1, 'UDP', [0]), service(2, 'UDP', [1]))
      const socket = await open('UDP')
      for (const [to, position] of [
        [nameOf(1), 0],
        [nameOf(2), 1],
        [direct(0), 0],
        [nameOf(1), 0],
      ] as const) {
        assert.equal(await socket.connect(to), 'ok')
        assert.equal(await socket.peer(), said(to))
        assert.equal(await socket.ask(), `${servers[position]} from ${said(to)}`)
      }
      await socket.connect(DISCONNECTED)
      assert.equal(await socket.peer(), 'ENOTCONN')
      assert.equal(await socket.ask(direct(0)), `${servers[0]} from ${said(direct(0))}`)
    })

    test(`UDP, ${text}: what a failed attempt asked for does not take the place of what is`, async t => {
      const unreachable = { id: 9, address: family === 6 && spelt === same ? '2001:db8::9' : '192.0.2.9', port: 1 }
      given(t, service(1, 'UDP', [0]), { ...service(2, 'UDP', []), backends: [unreachable] }, service(3, 'UDP', []))
      const socket = await open('UDP')
      await socket.connect(nameOf(1))
      assert.equal(await socket.connect(nameOf(2)), 'ENETUNREACH')
      assert.equal(await socket.peer(), said(nameOf(1)))
      assert.equal(await socket.connect(nameOf(3)), 'ECONNREFUSED')
      assert.equal(await socket.peer(), said(nameOf(1)))
      assert.equal(await socket.ask(), `${servers[0]} from ${said(nameOf(1))}`)
    })

    test(`UDP, ${text}: one socket asks two services and a server, and each answers under its name`, async t => {
      given(t, service(1, 'UDP', [0]), service(2, 'UDP', [1]))
      const socket = await open('UDP')
      for (let round = 0; round < 2; round++) {
        assert.equal(await socket.ask(nameOf(1)), `${servers[0]} from ${said(nameOf(1))}`)
        assert.equal(await socket.ask(nameOf(2)), `${servers[1]} from ${said(nameOf(2))}`)
        assert.equal(await socket.ask(direct(0)), `${servers[0]} from ${said(direct(0))}`)
      }
    })

    test(`UDP, ${text}: a socket stays with its backend until that one is gone`, async t => {
      const both = service(1, 'UDP', [0, 1])
      given(t, both)
      const socket = await open('UDP')
      const first = await socket.ask(nameOf(1))
      for (let i = 0; i < 20; i++) assert.equal(await socket.ask(nameOf(1)), first)
      const position = servers.findIndex(server => first.startsWith(`${server} `))
      node.removeService(both)
      node.setService(service(1, 'UDP', [1 - position]))
      assert.equal(await socket.ask(nameOf(1)), `${servers[1 - position]} from ${said(nameOf(1))}`)
    })

    test(`UDP, ${text}: a socket that was idle gets a backend as a new one does`, async t => {
      const { datagram_backends } = node.sockets.maps
      given(t, service(1, 'UDP', [0]))
      t.after(() => datagram_backends.clear())
      const socket = await open('UDP')
      await socket.ask(nameOf(1))
      node.setService(service(1, 'UDP', [1]))
      assert.equal(await socket.ask(nameOf(1)), `${servers[0]} from ${said(nameOf(1))}`)
      for (const [key, kept] of datagram_backends.lookupBatch()) datagram_backends.set(key, { ...kept, used_ns: 0n })
      assert.equal(await socket.ask(nameOf(1)), `${servers[1]} from ${said(nameOf(1))}`)
    })

    test(`UDP, ${text}: an answer comes from the service also when that one is deleted meanwhile`, async t => {
      given(t, service(1, 'UDP', [0]))
      const socket = await open('UDP')
      await socket.send('hello', nameOf(1))
      node.clearServices()
      assert.equal(await socket.receive(), `${servers[0]}: hello from ${said(nameOf(1))}`)
    })

    test(`UDP, ${text}: without a backend a datagram is refused at once`, async t => {
      given(t, service(1, 'UDP', []), { ...service(2, 'UDP', []), without: 'DROP' })
      const socket = await open('UDP')
      assert.equal(await socket.send('hello', nameOf(1)), 'ECONNREFUSED')
      assert.equal(await socket.send('hello', nameOf(2)), 'EHOSTUNREACH')
    })

    test(`${text}: a client of a service with affinity stays with its backend, while it is one`, async t => {
      const sticky = { ...service(1, 'TCP', [0, 1]), affinitySeconds: 3600 }
      given(t, sticky)
      const reach = async (): Promise<string> => {
        const socket = await open('TCP')
        await socket.connect(nameOf(1))
        return socket.ask()
      }
      const first = await reach()
      for (let i = 0; i < 20; i++) assert.equal(await reach(), first)
      const position = servers.indexOf(first as never)
      node.removeService(sticky)
      node.setService({ ...service(1, 'TCP', [1 - position]), affinitySeconds: 3600 })
      assert.equal(await reach(), servers[1 - position])
      // The other one comes back: the client stays where it is now.
      node.setService(sticky)
      for (let i = 0; i < 20; i++) assert.equal(await reach(), servers[1 - position])
    })
  }
})
