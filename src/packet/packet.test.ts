// Tests of frames: known bytes for each protocol, both ways.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  arp,
  badChecksums,
  crc32c,
  type DecodedLayer,
  decode,
  ethernet,
  fragment,
  frame,
  icmpv4,
  icmpv6,
  internetChecksum,
  ipv4,
  ipv6,
  ipv6Extension,
  ipv6Fragment,
  type Layer,
  layerOf,
  PacketError,
  padding,
  payload,
  routerAlert,
  sctp,
  sctpInit,
  summary,
  tcp,
  udp,
  vlan,
} from './index.ts'

test('checksums of published examples', () => {
  const header = Uint8Array.from(Buffer.from('450000730000400040110000c0a80001c0a800c7', 'hex'))
  assert.equal(internetChecksum(header), 0xb861)
  assert.equal(crc32c(new TextEncoder().encode('123456789')), 0xe3069283)
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa)
})

const pod = { source: '10.0.0.1', destination: '10.0.0.2' }
const pod6 = { source: 'fd00::1', destination: 'fd00::2' }
const toWeb = { sourcePort: 4000, destinationPort: 80 }
const quote = [ipv4({ source: '10.0.0.2', destination: '10.0.0.1' }), udp({ sourcePort: 53, destinationPort: 4000 })]

test('one line for each kind of packet', async t => {
  const cases: readonly { given: readonly Layer[]; want: string }[] = [
    {
      given: [ipv4(pod), tcp({ ...toWeb, flags: ['syn'], sequence: 1 })],
      want: '10.0.0.1:4000 → 10.0.0.2:80 TCP SYN seq 1',
    },
    {
      given: [ipv4(pod), tcp({ ...toWeb, flags: ['psh', 'ack'], acknowledgement: 7 }), payload('hello')],
      want: '10.0.0.1:4000 → 10.0.0.2:80 TCP PSH ACK seq 0 ack 7, 5 bytes',
    },
    { given: [ipv6(pod6), udp(toWeb), payload('x')], want: '[fd00::1]:4000 → [fd00::2]:80 UDP, 1 bytes' },
    { given: [ipv4(pod), sctp({ ...toWeb, chunks: [sctpInit()] })], want: '10.0.0.1:4000 → 10.0.0.2:80 SCTP INIT' },
    {
      given: [ipv4(pod), icmpv4({ message: 'echoRequest', identifier: 1, sequence: 2 }), payload('ping')],
      want: '10.0.0.1 → 10.0.0.2 ICMP echo request id 1 seq 2, 4 bytes',
    },
    {
      given: [ipv4(pod), icmpv4({ message: 'destinationUnreachable', code: 3 }), ...quote],
      want: '10.0.0.1 → 10.0.0.2 ICMP destination unreachable code 3 about 10.0.0.2:53 → 10.0.0.1:4000 UDP',
    },
    {
      given: [ipv6(pod6), icmpv6({ message: 'packetTooBig', mtu: 1280 }), ipv6(pod6), udp(toWeb)],
      want: 'fd00::1 → fd00::2 ICMPv6 packet too big mtu 1280 about [fd00::1]:4000 → [fd00::2]:80 UDP',
    },
    {
      given: [ipv6(pod6), icmpv6({ message: 'neighbourSolicitation', target: 'fd00::2', options: [] })],
      want: 'fd00::1 → fd00::2 ICMPv6 neighbour solicitation for fd00::2',
    },
    {
      given: [
        ipv6(pod6),
        routerAlert(),
        icmpv6({ message: 'listenerReport2', records: [{ type: 4, group: 'ff02::fb', sources: [] }] }),
      ],
      want: 'fd00::1 → fd00::2 ICMPv6 listener report 2 of ff02::fb',
    },
    {
      given: [ipv4({ ...pod, fragmentOffset: 1480, identification: 7, protocol: 17 }), payload('rest')],
      want: '10.0.0.1 → 10.0.0.2 fragment at 1480, the last, of id 7 UDP, 4 bytes',
    },
    {
      given: [ipv6(pod6), ipv6Fragment({ moreFragments: true, identification: 9 }), udp(toWeb)],
      want: '[fd00::1]:4000 → [fd00::2]:80 fragment at 0 of id 9 UDP',
    },
    { given: [ipv4({ ...pod, protocol: 47 }), payload('gre')], want: '10.0.0.1 → 10.0.0.2 protocol 47, 3 bytes' },
    { given: [ipv4(pod), ipv4(pod), udp(toWeb)], want: '10.0.0.1 → 10.0.0.2 carrying 10.0.0.1:4000 → 10.0.0.2:80 UDP' },
    { given: [vlan({ id: 5 }), ipv6(pod6)], want: 'vlan 5 fd00::1 → fd00::2 nothing' },
    {
      given: [
        arp({ operation: 'request', senderMac: '02:00:00:00:00:01', senderIp: '10.0.0.1', targetIp: '10.0.0.2' }),
      ],
      want: 'ARP who has 10.0.0.2, tell 10.0.0.1',
    },
    {
      given: [
        arp({ operation: 'reply', senderMac: '02:00:00:00:00:02', senderIp: '10.0.0.2', targetIp: '10.0.0.1' }),
        padding(18),
      ],
      want: 'ARP 10.0.0.2 is at 02:00:00:00:00:02',
    },
  ]
  for (const { given, want } of cases)
    await t.test(want, () => assert.equal(summary(frame(ethernet(), ...given)), want))
  assert.equal(
    summary(frame(ethernet({ etherType: 0x88cc }), payload('lldp'))),
    '02:00:00:00:00:01 → 02:00:00:00:00:02 ethertype 0x88cc, 4 bytes',
  )
  assert.equal(summary(new Uint8Array(3)), 'Ethernet cut short')
  const short = frame(ethernet(), ipv4(pod), tcp({ ...toWeb, flags: [] })).subarray(0, 42)
  assert.equal(summary(short), '10.0.0.1:4000 → 10.0.0.2:80 TCP cut short')
  const eightBytes = payload(frame(ipv4(pod), tcp({ ...toWeb, flags: ['syn'] })).subarray(0, 28))
  const error = frame(
    ethernet(),
    ipv4({ ...pod, protocol: 1 }),
    icmpv4({ message: 'timeExceeded', code: 0 }),
    eightBytes,
  )
  assert.equal(summary(error), '10.0.0.1 → 10.0.0.2 ICMP time exceeded about 10.0.0.1:4000 → 10.0.0.2:80 TCP cut short')
  assert.equal(decode(error).truncated, false)
  const broken = Uint8Array.from(frame(ethernet(), ipv4(pod), udp(toWeb)))
  broken[14] = 0x41
  assert.equal(summary(broken), 'IPv4 malformed: a header length of 4')
})

test('every field can be given a wrong value', () => {
  const built = frame(
    ethernet({ etherType: 0x86dd }),
    ipv4({ ...pod, protocol: 99, totalLength: 9999, checksum: 1 }),
    tcp({ ...toWeb, flags: ['syn', 'rst'], checksum: 2 }),
  )
  assert.equal(built.length, 14 + 20 + 20)
  assert.deepEqual(built.subarray(12, 14), Uint8Array.of(0x86, 0xdd))
  assert.partialDeepStrictEqual(decode(built).layers.at(-1), { kind: 'unparsed', of: 'ipv6', reason: 'IP version 4' })
  const bad = decode(frame(ethernet(), ipv4({ ...pod, checksum: 1 }), udp({ ...toWeb, checksum: 2, length: 8 })))
  assert.deepEqual(badChecksums(bad), ['ipv4', 'udp'])
  assert.deepEqual(badChecksums(decode(frame(ethernet(), ipv4(pod), udp({ ...toWeb, checksum: 0 })))), [])
  assert.deepEqual(badChecksums(decode(frame(ethernet(), ipv6(pod6), udp({ ...toWeb, checksum: 0 })))), ['udp'])
})

test('what cannot be a packet is a PacketError', async t => {
  const cases: readonly { name: string; build: () => unknown }[] = [
    { name: 'port', build: () => frame(ipv4(pod), udp({ sourcePort: 65536, destinationPort: 1 })) },
    { name: 'fraction', build: () => frame(ipv4({ ...pod, ttl: 1.5 }), udp(toWeb)) },
    { name: 'negative', build: () => frame(ipv4(pod), tcp({ ...toWeb, flags: [], sequence: -1 })) },
    { name: 'IPv4 address', build: () => frame(ipv4({ ...pod, source: 'fd00::1' }), udp(toWeb)) },
    { name: 'IPv6 address', build: () => frame(ipv6({ ...pod6, source: '10.0.0.1' }), udp(toWeb)) },
    { name: 'vlan', build: () => frame(vlan({ id: 4096 }), ipv4(pod), udp(toWeb)) },
    { name: 'offset', build: () => frame(ipv4({ ...pod, fragmentOffset: 7 }), udp(toWeb)) },
    { name: 'options', build: () => frame(ipv4({ ...pod, options: new Uint8Array(41) }), udp(toWeb)) },
    { name: 'protocol', build: () => frame(ipv4(pod), payload('?')) },
    { name: 'etherType', build: () => frame(ethernet(), payload('?')) },
    { name: 'after the last', build: () => frame(payload('a'), payload('b')) },
  ]
  for (const { name, build } of cases) await t.test(name, () => assert.throws(build, PacketError))
})

test('fragments fit, follow each other, and hold the packet', () => {
  const stacks: readonly (readonly Layer[])[] = [
    [ethernet(), ipv4({ ...pod, identification: 77, options: Uint8Array.of(1, 1, 1, 1) })],
    [
      ethernet(),
      vlan({ id: 3 }),
      ipv6(pod6),
      ipv6Extension({ type: 'hopByHop' }),
      ipv6Extension({ type: 'destination' }),
    ],
  ]
  fc.assert(
    fc.property(
      fc.constantFrom(...stacks),
      fc.uint8Array({ minLength: 1, maxLength: 3000 }),
      fc.integer({ min: 100, max: 1500 }),
      (headers, data, mtu) => {
        const whole = frame(...headers, udp(toWeb), payload(data))
        const linkLength = headers.some(layer => layer.kind === 'vlan') ? 18 : 14
        const parts = fragment(whole, mtu, 77)
        if (whole.length - linkLength <= mtu) {
          assert.deepEqual(parts, [whole])
          return
        }
        let expected = 0
        const pieces = parts.map((part, i) => {
          assert.ok(part.length - linkLength <= mtu)
          const decoded = decode(part)
          const header = layerOf(decoded, 'ipv4') ?? layerOf(decoded, 'ipv6Fragment')
          assert.partialDeepStrictEqual(header, {
            fragmentOffset: expected,
            moreFragments: i < parts.length - 1,
            identification: 77,
          })
          assert.deepEqual(
            badChecksums(decoded).filter(kind => kind === 'ipv4'),
            [],
          )
          const at = decoded.layers.indexOf(header as DecodedLayer)
          const piece = part.subarray(frame(...decoded.layers.slice(0, at + 1)).length)
          expected += piece.length
          return piece
        })
        const body = whole.subarray(whole.length - expected)
        assert.deepEqual(Uint8Array.from(pieces.flatMap(piece => [...piece])), Uint8Array.from(body))
      },
    ),
  )
  assert.throws(
    () =>
      fragment(
        frame(
          ethernet(),
          arp({ operation: 1, senderMac: '02:00:00:00:00:01', senderIp: '10.0.0.1', targetIp: '10.0.0.2' }),
        ),
        100,
      ),
    PacketError,
  )
  assert.throws(() => fragment(frame(ethernet(), ipv4(pod), udp(toWeb), payload('abc')), 27), PacketError)
})
