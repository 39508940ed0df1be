// The kernel as judge of src/packet: it answers, delivers and reassembles only what is
// right, and what it sends must be read as what it is.

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import {
  addAddress,
  createLink,
  replaceNeighbour,
  setLink,
  whenLocal,
  whenRunning,
  writeSysctls,
} from '../../src/net/index.ts'
import {
  arp,
  badChecksums,
  type Decoded,
  type DecodedLayer,
  decode,
  ethernet,
  fragment,
  frame,
  icmpv4,
  icmpv6,
  ipv4,
  ipv6,
  ipv6Extension,
  type Layer,
  layerOf,
  payload,
  routerAlert,
  summary,
  tcp,
  udp,
  vlan,
} from '../../src/packet/index.ts'
import { freshNamespace, needsRoot } from './fixture.ts'
import { frameSocket, udpReceiver } from './sockets.ts'

const OURS = { mac: '02:00:00:00:00:01', four: '10.9.0.1', six: 'fd00:9::1' }
const KERNEL = { mac: '02:00:00:00:00:02', four: '10.9.0.2', six: 'fd00:9::2' }
const link = ethernet({ source: OURS.mac, destination: KERNEL.mac })
const toKernel = ipv4({ source: OURS.four, destination: KERNEL.four })
const toKernel6 = ipv6({ source: OURS.six, destination: KERNEL.six })

/** A namespace whose kernel has the second addresses, and a socket on the wire to it, which has the first ones. */
async function kernelAndWire(t: TestContext) {
  const wire = freshNamespace(t)
  const kernel = freshNamespace(t)
  writeSysctls(wire.namespace, { 'net/ipv6/conf/default/disable_ipv6': 1 })
  wire.netlink.run(
    createLink({
      kind: 'veth',
      name: 'wire',
      index: 50,
      up: true,
      mac: OURS.mac,
      peer: { name: 'eth0', index: 60, mac: KERNEL.mac, namespace: kernel.namespace },
    }),
  )
  // Opened before the link is up, so that it hears what the kernel says first.
  const socket = frameSocket(t, wire.namespace, 50)
  kernel.netlink.run(
    setLink({ index: 60 }, { up: true }),
    addAddress({ index: 60, address: KERNEL.four, prefixLength: 24 }),
    addAddress({ index: 60, address: KERNEL.six, prefixLength: 64, noDad: true }),
    replaceNeighbour({ index: 60, address: OURS.four, mac: OURS.mac }),
    replaceNeighbour({ index: 60, address: OURS.six, mac: OURS.mac }),
  )
  await Promise.all([
    whenRunning(wire.namespace, 50),
    whenRunning(kernel.namespace, 60),
    whenLocal(kernel.namespace, KERNEL.six),
  ])
  const ask = async (layers: readonly Layer[], isAnswer: (decoded: Decoded) => boolean): Promise<Decoded> => {
    socket.send(frame(...layers))
    return decode(
      await socket.receive(
        bytes => layerOf(decode(bytes), 'ethernet')?.source === KERNEL.mac && isAnswer(decode(bytes)),
      ),
    )
  }
  return { kernel, socket, ask }
}

const messageOf = (decoded: Decoded): string | undefined =>
  (layerOf(decoded, 'icmpv4') ?? layerOf(decoded, 'icmpv6'))?.message

describe('packets before the kernel', { ...needsRoot, timeout: 20_000 }, () => {
  test('it answers ARP and neighbour solicitations', async t => {
    const { ask } = await kernelAndWire(t)
    const reply = await ask(
      [
        ethernet({ source: OURS.mac, destination: 'ff:ff:ff:ff:ff:ff' }),
        arp({ operation: 'request', senderMac: OURS.mac, senderIp: OURS.four, targetIp: KERNEL.four }),
      ],
      decoded => layerOf(decoded, 'arp')?.operation === 2,
    )
    assert.deepEqual(
      layerOf(reply, 'arp'),
      arp({
        operation: 'reply',
        senderMac: KERNEL.mac,
        senderIp: KERNEL.four,
        targetMac: OURS.mac,
        targetIp: OURS.four,
      }),
    )

    const advertisement = await ask(
      [
        ethernet({ source: OURS.mac, destination: '33:33:ff:00:00:02' }),
        ipv6({ source: OURS.six, destination: 'ff02::1:ff00:2', hopLimit: 255 }),
        icmpv6({
          message: 'neighbourSolicitation',
          target: KERNEL.six,
          options: [{ option: 'sourceLinkAddress', mac: OURS.mac }],
        }),
      ],
      decoded => messageOf(decoded) === 'neighbourAdvertisement' && layerOf(decoded, 'ipv6')?.destination === OURS.six,
    )
    assert.partialDeepStrictEqual(layerOf(advertisement, 'icmpv6'), {
      target: KERNEL.six,
      solicited: true,
      override: true,
      router: false,
      options: [{ option: 'targetLinkAddress', mac: KERNEL.mac }],
    })
    assert.deepEqual(badChecksums(advertisement), [])
  })

  test('it tells its multicast groups, with a router alert', async t => {
    const { socket } = await kernelAndWire(t)
    const report = decode(await socket.receive(bytes => messageOf(decode(bytes)) === 'listenerReport2'))
    assert.partialDeepStrictEqual(layerOf(report, 'ipv6Extension'), {
      type: 'hopByHop',
      content: routerAlert().content,
    })
    const message = layerOf(report, 'icmpv6')
    assert.ok(message?.message === 'listenerReport2')
    assert.ok(message.records.every(record => record.group.startsWith('ff02::')))
    assert.deepEqual(badChecksums(report), [])
  })

  test('it answers pings, whole, with options and extension headers, and in fragments', async t => {
    const { ask, socket } = await kernelAndWire(t)
    const isReply = (decoded: Decoded): boolean => messageOf(decoded) === 'echoReply'
    const request = { message: 'echoRequest', identifier: 7, sequence: 3 } as const
    const cases: readonly (readonly Layer[])[] = [
      [toKernel, icmpv4(request), payload('four')],
      [ipv4({ ...toKernel, options: Uint8Array.of(1, 1, 1, 0) }), icmpv4(request), payload('odd')],
      [toKernel6, icmpv6(request), payload('six')],
      [
        toKernel6,
        ipv6Extension({ type: 'destination', content: Uint8Array.of(1, 4, 0, 0, 0, 0) }),
        icmpv6(request),
        payload('extended'),
      ],
    ]
    for (const layers of cases) {
      const reply = await ask([link, ...layers], isReply)
      assert.partialDeepStrictEqual(layerOf(reply, 'icmpv4') ?? layerOf(reply, 'icmpv6'), {
        identifier: 7,
        sequence: 3,
      })
      assert.deepEqual(layerOf(reply, 'payload'), layers.at(-1))
      assert.deepEqual(badChecksums(reply), [])
    }
    const big = payload('0123456789'.repeat(120))
    for (const layers of [
      [ipv4({ ...toKernel, identification: 99 }), icmpv4(request), big],
      [toKernel6, icmpv6(request), big],
    ]) {
      for (const part of fragment(frame(link, ...layers), 500).reverse()) socket.send(part)
      const reply = decode(await socket.receive(bytes => isReply(decode(bytes))))
      assert.deepEqual(layerOf(reply, 'payload'), big)
    }
  })

  test('it delivers UDP with the right checksum only, over both families', async t => {
    const { kernel, socket } = await kernelAndWire(t)
    for (const [family, head] of [
      [4, toKernel],
      [6, toKernel6],
    ] as const) {
      const ports = { sourcePort: 4000, destinationPort: 5300 + family }
      const receiver = udpReceiver(t, kernel.namespace, family, ports.destinationPort)
      const good = decode(frame(link, head, udp(ports), payload('wrong')))
      const wrong = good.layers.map(
        (layer): DecodedLayer => (layer.kind === 'udp' ? { ...layer, checksum: layer.checksum ^ 1 } : layer),
      )
      socket.send(frame(...wrong))
      socket.send(frame(link, head, udp(ports), payload('right')))
      assert.equal(await receiver.receive(), 'right')
    }
  })

  test('it refuses what nobody listens to: the error quotes the packet', async t => {
    const { ask } = await kernelAndWire(t)
    const ports = { sourcePort: 4000, destinationPort: 9 }
    const error = await ask(
      [link, toKernel, udp(ports), payload('x')],
      decoded => messageOf(decoded) === 'destinationUnreachable',
    )
    assert.equal(
      summary(error),
      '10.9.0.2 → 10.9.0.1 ICMP destination unreachable code 3 about 10.9.0.1:4000 → 10.9.0.2:9 UDP, 1 bytes',
    )
    assert.deepEqual(badChecksums(error), [])
    const error6 = await ask(
      [link, toKernel6, udp(ports), payload('x')],
      decoded => messageOf(decoded) === 'destinationUnreachable',
    )
    assert.equal(
      summary(error6),
      'fd00:9::2 → fd00:9::1 ICMPv6 destination unreachable code 4 about [fd00:9::1]:4000 → [fd00:9::2]:9 UDP, 1 bytes',
    )
    assert.deepEqual(badChecksums(error6), [])

    const syn = tcp({
      ...ports,
      flags: ['syn'],
      sequence: 41,
      options: [{ option: 'maximumSegmentSize', bytes: 1460 }],
    })
    for (const head of [toKernel, toKernel6]) {
      const reset = await ask([link, head, syn], decoded => layerOf(decoded, 'tcp') !== undefined)
      assert.partialDeepStrictEqual(layerOf(reset, 'tcp'), {
        flags: ['rst', 'ack'],
        acknowledgement: 42,
        sourcePort: 9,
        destinationPort: 4000,
      })
    }
  })

  test('it does not take a tagged packet for an untagged one', async t => {
    const { ask } = await kernelAndWire(t)
    const ping = (sequence: number) => icmpv4({ message: 'echoRequest', identifier: 1, sequence })
    const wire = [link, vlan({ id: 7 }), toKernel, ping(1)]
    assert.equal(summary(frame(...wire)), 'vlan 7 10.9.0.1 → 10.9.0.2 ICMP echo request id 1 seq 1')
    await ask(wire, () => true)
    const reply = await ask([link, toKernel, ping(2)], decoded => messageOf(decoded) === 'echoReply')
    assert.partialDeepStrictEqual(layerOf(reply, 'icmpv4'), { sequence: 2 })
  })
})
