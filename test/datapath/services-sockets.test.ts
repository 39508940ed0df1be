// Services by the packet, with the sockets of real processes in pods: what a test run
// cannot show. Refusals reach who asked, a pod reaches itself, a flow has the service
// that a socket asked for, and answers to clients outside leave by the node's routes.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ip } from '../../src/ip/index.ts'
import { toAddress } from '../../src/maps/index.ts'
import { SYN } from './frames.ts'
import { needsRoot } from './node.ts'
import { FRONTEND, NODE, PLACES, POD_PORT, SERVICE_NUMBER, ServicePods } from './service-pods.ts'

const NUMBER = { TCP: 6, UDP: 17 } as const
/** Flags of a first packet: SYN, or none. */
const OPENS = { TCP: SYN, UDP: 0 } as const

let pods: ServicePods
before(async () => {
  if (!needsRoot) pods = await new ServicePods().start()
})
after(() => pods?.[Symbol.asyncDispose]())

for (const family of [4, 6] as const) {
  const frontend = { address: FRONTEND[family], port: 80 }
  const about = (name: string) => `${name}, IPv${family}`
  /** A datagram tells where it is from. */
  const sender = (name: string, protocol: string) => (protocol === 'UDP' ? `${name} from ${FRONTEND[family]} 80` : name)
  /** Of what is opened; a test before may have left a connection that still says its last words. */
  const newFlow = (protocol: 'TCP' | 'UDP') => {
    const { eventKind } = pods.node.datapath.schema
    return pods
      .events()
      .find(
        event =>
          event.kind === eventKind.number.NEW &&
          event.protocol === NUMBER[protocol] &&
          event.tcp_flags === OPENS[protocol],
      )
  }

  test(about('a socket that was translated: its flow has the service'), { skip: needsRoot }, async () => {
    pods.reset({ byPacket: false })
    pods.setService('TCP', family, 80, ['b'])
    const socket = await pods.process('a').open('TCP', family)
    assert.equal(await socket.connect(frontend), 'ok')
    assert.equal(await socket.peer(), `${FRONTEND[family]} 80`)
    assert.equal(await socket.ask(), 'pod b')
    const event = newFlow('TCP')
    assert.equal(event?.service, SERVICE_NUMBER)
    assert.equal(event?.destination_port, POD_PORT)
    assert.equal(pods.node.datapath.maps.translations.lookupBatch().length, 0, 'no packet was translated')
    await socket.close()
  })

  test(about('a socket that asked for the backend itself: its flow has none'), { skip: needsRoot }, async () => {
    pods.reset({ byPacket: false })
    pods.setService('TCP', family, 80, ['b'])
    const socket = await pods.process('a').open('TCP', family)
    assert.equal(await socket.connect({ address: PLACES.b[family], port: POD_PORT }), 'ok')
    assert.equal(newFlow('TCP')?.service, 0)
    await socket.close()
  })

  for (const protocol of ['TCP', 'UDP'] as const) {
    test(about(`${protocol} by the packet`), { skip: needsRoot }, async () => {
      pods.reset({ byPacket: true })
      pods.setService(protocol, family, 80, ['b'])
      const socket = await pods.process('a').open(protocol, family)
      assert.equal(await socket.connect(frontend), 'ok')
      assert.equal(await socket.ask(), sender('pod b', protocol))
      const event = newFlow(protocol)
      assert.equal(event?.service, SERVICE_NUMBER)
      assert.deepEqual(event?.destination, toAddress(ip(PLACES.b[family])))
      assert.equal(pods.node.datapath.maps.translations.lookupBatch().length, 2)
      await socket.close()
    })

    test(about(`${protocol}: a pod that is given itself`), { skip: needsRoot }, async () => {
      pods.reset({ byPacket: true })
      pods.setService(protocol, family, 80, ['a'])
      const socket = await pods.process('a').open(protocol, family)
      assert.equal(await socket.connect(frontend), 'ok')
      assert.equal(await socket.ask(), sender('pod a', protocol))
      await socket.close()
    })
  }

  // The device is to cut it into segments, and to compute their checksums.
  test(about('TCP by the packet: many segments at once'), { skip: needsRoot }, async () => {
    pods.reset({ byPacket: true })
    pods.setService('TCP', family, 80, ['b'])
    const socket = await pods.process('a').open('TCP', family)
    assert.equal(await socket.connect(frontend), 'ok')
    assert.equal(await socket.send('x'.repeat(60_000)), 'ok')
    for (let missing = 60_000; missing > 0; ) {
      const arrived = (await socket.receive()).replaceAll(/[^x]/g, '').length
      assert.ok(arrived > 0, `${missing} bytes have not come back`)
      missing -= arrived
    }
    await socket.close()
  })

  test(about('TCP: nobody there'), { skip: needsRoot }, async () => {
    pods.reset({ byPacket: true })
    pods.setService('TCP', family, 80, [])
    const socket = await pods.process('a').open('TCP', family)
    assert.equal(await socket.connect(frontend), 'ECONNREFUSED')
    await socket.close()
  })

  test(about('UDP: nobody there'), { skip: needsRoot }, async () => {
    pods.reset({ byPacket: true })
    pods.setService('UDP', family, 80, [])
    const socket = await pods.process('a').open('UDP', family)
    assert.equal(await socket.connect(frontend), 'ok')
    assert.equal(await socket.send('x'.repeat(700)), 'ok')
    assert.equal(await socket.receive(), 'ECONNREFUSED')
    await socket.close()
  })

  test(about('UDP: the backend has nobody on its port'), { skip: needsRoot }, async () => {
    pods.reset({ byPacket: true })
    const { maps } = pods.node.datapath
    pods.setService('UDP', family, 80, ['b'])
    const { index } = PLACES.b
    maps.backends.set(index, { address: toAddress(ip(PLACES.b[family])), port: 9, protocol: 17, service: 1 })
    const socket = await pods.process('a').open('UDP', family)
    assert.equal(await socket.connect(frontend), 'ok')
    assert.equal(await socket.send('hello'), 'ok')
    assert.equal(await socket.receive(), 'ECONNREFUSED', 'the error that the backend sends is about the service')
    await socket.close()
  })

  test(about('an answer to a client outside comes from where it asked'), { skip: needsRoot }, async () => {
    pods.reset({ byPacket: false })
    const { maps, schema } = pods.node.datapath
    const client = { address: PLACES.outside[family], port: 40000 }
    // As a device's program leaves it, of a datagram to the node's port 30080.
    maps.translations.set(tuple({ address: PLACES.b[family], port: POD_PORT }, client), {
      target: tuple({ address: NODE[family], port: 30080 }, client),
      expires_ns: process.hrtime.bigint() + 1_000_000_000_000n,
      backend: 1,
      service: SERVICE_NUMBER,
      tcp_flags: new Uint8Array(2),
      flags: schema.translationFlags.number.REPLY,
    })
    const socket = await pods.process('outside').open('UDP', family)
    assert.equal(await socket.bind(client), 'ok')
    assert.equal(await socket.send('hello', { address: PLACES.b[family], port: POD_PORT }), 'ok')
    assert.equal(await socket.receive(), `pod b: hello from ${NODE[family]} 30080`)
    assert.equal(newFlow('UDP')?.service, SERVICE_NUMBER)
    await socket.close()
  })
}

const tuple = (from: { address: string; port: number }, to: { address: string; port: number }) => ({
  source: toAddress(ip(from.address)),
  destination: toAddress(ip(to.address)),
  source_port: from.port,
  destination_port: to.port,
  protocol: 17,
})
