// Services by the packet, for packets that need more than other addresses and ports:
// fragments, ICMP errors, and checksums that are not the usual one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c } from '../../src/packet/index.ts'
import { icmpError, type Packet, sctp, tcp, udp } from './cases.ts'
import { ACK, bytes, PROTOCOL, SYN } from './frames.ts'
import { A, B, needsRoot } from './node.ts'
import { DNS, dns, servicesForTests, WEB, web } from './service-exchange.ts'
import { SERVICE } from './services.ts'

const { node, services, send, both, arrives, drops } = servicesForTests()

test('without a UDP checksum there is none afterwards, IPv4', { skip: needsRoot }, () => {
  node().reset()
  services().set(DNS, 4)
  const bare = (packet: Packet): Packet => ({
    ...packet,
    payload: (ends, family) => {
      const segment = packet.payload(ends, family)
      segment.set([0, 0], 6)
      return segment
    },
  })
  arrives(send(bare(udp(dns.asked)), 4), bare(udp(dns.toB)), 4)
})

both('SCTP: its CRC follows the ports', family => {
  const service = { ...DNS, protocol: PROTOCOL.sctp }
  services().set(service, family)
  for (const length of [0, 1, 17, 500, 1300]) {
    const whole = (packet: Packet): Packet => ({
      ...packet,
      payload: (ends, f) => withCrc(packet.payload(ends, f), length),
    })
    arrives(send(whole(sctp(dns.asked)), family), whole(sctp(dns.toB)), family)
    arrives(send(whole(sctp(dns.fromB)), family), whole(sctp(dns.answered)), family)
  }
})

both('SCTP in fragments: its CRC cannot follow', family => {
  services().set({ ...DNS, protocol: PROTOCOL.sctp }, family)
  const fragment = { id: 7, offset: 0, more: true }
  drops(send(sctp(dns.asked, { ip: { fragment } }), family), 'CSUM_L4')
  assert.equal(node().datapath.maps.translations.lookupBatch().length, 0, 'nothing is remembered of it')
})

both('an error of the backend comes from the service, and quotes what was sent to it', family => {
  services().set(DNS, family)
  send(udp(dns.asked), family)
  arrives(send(icmpError(B, A, udp(dns.toB)), family), icmpError(SERVICE, A, udp(dns.asked)), family)
})

both('an error of the client reaches the backend, and quotes what that one sent', family => {
  services().set(DNS, family)
  send(udp(dns.asked), family)
  send(udp(dns.fromB), family)
  arrives(send(icmpError(A, SERVICE, udp(dns.answered)), family), icmpError(A, B, udp(dns.fromB)), family)
})

both('errors that quote TCP, whole or its ports alone', family => {
  services().set(WEB, family)
  send(tcp(web.asked, SYN), family)
  send(tcp(web.fromB, SYN | ACK), family)
  arrives(send(icmpError(B, A, tcp(web.toB, ACK)), family), icmpError(SERVICE, A, tcp(web.asked, ACK)), family)
  arrives(send(icmpError(A, SERVICE, tcp(web.answered, ACK)), family), icmpError(A, B, tcp(web.fromB, ACK)), family)
})

both('fragments: the first has the ports, the others only addresses', family => {
  services().set(DNS, family)
  const part = (packet: Packet, offset: number, more: boolean, payload: Uint8Array): Packet => ({
    ...packet,
    ip: { fragment: { id: 9, offset, more } },
    ...(offset ? { payload: () => payload } : {}),
  })
  const rest = bytes(1, 2, 3, 4, 5, 6, 7, 8)
  drops(send(part(udp(dns.asked), 16, false, rest), family), 'FRAGMENT_NOT_FOUND')
  const first = (packet: Packet): Packet => part(packet, 0, true, rest)
  arrives(send(first(udp(dns.asked)), family), first(udp(dns.toB)), family)
  for (const offset of [32, 16])
    arrives(
      send(part(udp(dns.asked), offset, offset === 16, rest), family),
      part(udp(dns.toB), offset, offset === 16, rest),
      family,
    )
  arrives(send(first(udp(dns.fromB)), family), first(udp(dns.answered)), family)
  arrives(send(part(udp(dns.fromB), 16, false, rest), family), part(udp(dns.answered), 16, false, rest), family)
})

/** SCTP with data behind its header and a CRC that is right. */
function withCrc(header: Uint8Array, length: number): Uint8Array {
  const segment = bytes(
    header.subarray(0, 8),
    0,
    0,
    0,
    0,
    Uint8Array.from({ length }, (_, i) => i * 7),
  )
  new DataView(segment.buffer).setUint32(8, crc32c(segment), true)
  return segment
}
