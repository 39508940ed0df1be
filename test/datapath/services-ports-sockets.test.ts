// A client binds one port for two connections, one by a service and one straight to the
// backend that it gets, over real devices and sockets: both get their answers, whichever
// comes first, in a pod and outside of the node.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { addRoute, NetlinkSocket } from '../../src/net/index.ts'
import type { Transport } from '../e2e/sockets.ts'
import { until } from '../e2e/support.ts'
import { CLIENT, EdgeNetwork, hostIn } from './edge-network.ts'
import { needsRoot } from './node.ts'
import { FRONTEND, PLACES, POD_PORT, ServicePods } from './service-pods.ts'

const NODE_PORT = 30080
const cases = (['TCP', 'UDP'] as const).flatMap(protocol => ([4, 6] as const).map(family => ({ protocol, family })))
type Case = (typeof cases)[number]

/** What is asked, in this order: the service, or its backend. */
const ORDERS = [
  ['service', 'backend'],
  ['backend', 'service'],
] as const
type Order = (typeof ORDERS)[number]

async function fromPod(pods: ServicePods, { protocol, family }: Case, order: Order, port: number): Promise<void> {
  pods.reset({ byPacket: true })
  pods.setService(protocol, family, 80, ['b'])
  const names = {
    service: { address: FRONTEND[family], port: 80 },
    backend: { address: PLACES.b[family], port: POD_PORT },
  }
  const open = async (to: Order[number]) => {
    const socket = await pods.process('a').open(protocol, family)
    assert.equal(await socket.bind({ address: PLACES.a[family], port }), 'ok')
    assert.equal(await socket.connect(names[to]), 'ok', `to the ${to}`)
    const answer = protocol === 'UDP' ? `pod b from ${names[to].address} ${names[to].port}` : 'pod b'
    const check = async () => assert.equal(await socket.ask(), answer, `the answer of the ${to}`)
    await check()
    return { socket, check }
  }
  const first = await open(order[0])
  const second = await open(order[1])
  await first.check()
  await second.check()
  await first.socket.close()
  const again = await open(order[0])
  await second.check()
  await again.socket.close()
  await second.socket.close()
}

test('in a pod', { skip: needsRoot }, async t => {
  await using pods = await new ServicePods().start()
  let port = 20_000
  for (const { protocol, family } of cases)
    for (const order of ORDERS)
      await t.test(`${order.join(' first, then ')}: ${protocol}, IPv${family}`, () =>
        fromPod(pods, { protocol, family }, order, port++),
      )
})

type Talk = (
  protocol: Transport,
  address: string,
  port: number,
  own: number,
) => Promise<{ check(): Promise<void>; close(): void }>

/** Every question is another, and so is every answer. */
async function talker(t: TestContext, { client, near }: EdgeNetwork, protocol: Transport): Promise<Talk> {
  const host = hostIn(t, client)
  const server = await hostIn(t, near.podNamespace).listen(protocol, 8080)
  let asked = 0
  return async (protocol, address, port, own) => {
    const from = address.includes(':') ? CLIENT[6] : CLIENT[4]
    const socket = await host.connect(protocol, address, port, { from, fromPort: own })
    assert.deepEqual(socket.errors, [])
    const check = async () => {
      const number = ++asked
      socket.send(`question ${number}.`)
      await until(`question ${number} to ${address} port ${port}`, () => server.heard.endsWith(`question ${number}.`))
      server.send(`answer ${number}.`)
      await until(`answer ${number} from ${address} port ${port}`, () => socket.heard.endsWith(`answer ${number}.`))
    }
    await check()
    return { check, close: () => socket.close() }
  }
}

test('outside', { skip: needsRoot }, async t => {
  const network = await EdgeNetwork.start(t)
  const { client, near } = network
  using netlink = NetlinkSocket.open({ namespace: client })
  for (const family of [4, 6] as const) {
    const destination = `${near.pod[family]}/${family === 4 ? 32 : 128}`
    netlink.run(addRoute({ destination, gateway: near.address[family], index: 100 }))
  }
  const talkers = { TCP: await talker(t, network, 'TCP'), UDP: await talker(t, network, 'UDP') }
  let port = 20_000
  for (const { protocol, family } of cases) {
    const address = near.address[family]
    near.setService({ address, port: NODE_PORT, protocol, backends: [{ address: near.pod[family], port: 8080 }] })
    const open = (to: Order[number], own: number) =>
      talkers[protocol](
        protocol,
        to === 'service' ? address : near.pod[family],
        to === 'service' ? NODE_PORT : 8080,
        own,
      )
    for (const order of ORDERS)
      await t.test(`${order.join(' first, then ')}: ${protocol}, IPv${family}`, async () => {
        port++
        const first = await open(order[0], port)
        const second = await open(order[1], port)
        await first.check()
        await second.check()
        first.close()
        second.close()
      })
  }
})
