// Services by the packet: what a pod sends to a frontend reaches a backend, whole and
// with valid checksums, and the answers come from where it asked.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { crc32c } from '../../src/packet/index.ts'
import { between, type Family, frameOf, icmpError, type Packet, sctp, sentOf, tcp, udp } from './cases.ts'
import { ACK, bytes, FIN, PROTOCOL, RST, SYN } from './frames.ts'
import { A, B, C, HOST, HOST_MAC, needsRoot, nodeForTests, type Observed, OUTSIDE, ROUTER } from './node.ts'
import { LOOPBACK, OTHER_SERVICE, SERVICE, ServiceMaps } from './services.ts'

const node = nodeForTests()
let services: ServiceMaps
before(() => {
  if (!needsRoot) services = new ServiceMaps(node())
})

type Run = Omit<Observed, 'prediction'>
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex')
const send = (packet: Packet, family: Family): Run => node().run(sentOf(packet, family))
const reasonOf = ({ event }: Run): string => node().world.schema.dropReason.text(event?.drop_reason ?? 0)
const flowOf = () => node().datapath.maps.flows.lookupBatch()

/** In the pod that it is for, one hop further. */
function arrives(observed: Run, packet: Packet, family: Family): void {
  const timeToLive = (packet.ip?.timeToLive ?? 64) - 1
  const ethernet = { source: HOST_MAC, destination: packet.to.mac }
  const frame = frameOf({ ...packet, ip: { ...packet.ip, timeToLive }, ethernet }, family)
  assert.equal(observed.action, 'redirect', reasonOf(observed))
  assert.equal(hex(observed.frame), hex(frame))
}

/** Handed on as it is, to the node's stack or to the pod that the stack has it for. */
function passes(observed: Run, packet: Packet, family: Family): void {
  assert.equal(observed.action, 'pass', reasonOf(observed))
  assert.equal(hex(observed.frame), hex(frameOf({ ...packet, ethernet: { ...macsOf(packet) } }, family)))
}
const macsOf = ({ from, ethernet }: Packet) => ({ source: from.mac, ...ethernet })

function drops(observed: Run, reason: string): void {
  assert.equal(observed.action, 'drop')
  assert.equal(reasonOf(observed), reason)
}

const B_53 = { party: B, port: 5353 }
const C_53 = { party: C, port: 5353 }
const DNS = { frontend: SERVICE, port: 53, backends: [B_53] }
const ask = between(A, SERVICE, 40000, 53)
const answered = between(SERVICE, A, 53, 40000)
const toB = between(A, B, 40000, 5353)
const fromB = between(B, A, 5353, 40000)
const toC = between(A, C, 40000, 5353)
const WEB = { frontend: SERVICE, port: 80, protocol: PROTOCOL.tcp, backends: [{ party: B, port: 8080 }] }
const open = between(A, SERVICE, 40000, 80)
const openB = between(A, B, 40000, 8080)
const backB = between(B, A, 8080, 40000)
const opened = between(SERVICE, A, 80, 40000)

const both = (name: string, run: (family: Family) => void): void => {
  for (const family of [4, 6] as const)
    test(`${name}, IPv${family}`, { skip: needsRoot }, () => {
      node().reset()
      run(family)
    })
}

both('a datagram and its answer', family => {
  services.set(DNS, family)
  const first = send(udp(ask), family)
  arrives(first, udp(toB), family)
  assert.equal(first.event?.service, 1)
  assert.equal(hex(first.event?.destination.bytes ?? new Uint8Array()), hex(B[family]))
  assert.equal(first.event?.destination_port, 5353)
  arrives(send(udp(fromB), family), udp(answered), family)
  const [[, flow] = []] = flowOf()
  assert.equal(flow?.service, 1)
  assert.equal(flow && flow.flags & node().world.schema.flowFlags.number.TRANSLATED, 8)
  assert.deepEqual(flow?.packets, [1n, 1n])
})

both('a connection, from its opening to its end', family => {
  services.set(WEB, family)
  arrives(send(tcp(open, SYN), family), tcp(openB, SYN), family)
  arrives(send(tcp(backB, SYN | ACK), family), tcp(opened, SYN | ACK), family)
  arrives(send(tcp(open, ACK), family), tcp(openB, ACK), family)
  arrives(send(tcp(open, FIN | ACK), family), tcp(openB, FIN | ACK), family)
  const end = send(tcp(backB, FIN | ACK), family)
  arrives(end, tcp(opened, FIN | ACK), family)
  assert.equal(end.event && node().world.schema.eventKind.text(end.event.kind), 'CLOSED')
  assert.equal(end.event?.service, 1)
})

test('without a UDP checksum there is none afterwards, IPv4', { skip: needsRoot }, () => {
  node().reset()
  services.set(DNS, 4)
  const bare = (packet: Packet): Packet => ({
    ...packet,
    payload: (ends, family) => {
      const segment = packet.payload(ends, family)
      segment.set([0, 0], 6)
      return segment
    },
  })
  arrives(send(bare(udp(ask)), 4), bare(udp(toB)), 4)
})

both('SCTP: its CRC follows the ports', family => {
  const service = { ...DNS, protocol: PROTOCOL.sctp }
  services.set(service, family)
  for (const length of [0, 1, 17, 500, 1300]) {
    const whole = (packet: Packet): Packet => ({
      ...packet,
      payload: (ends, f) => withCrc(packet.payload(ends, f), length),
    })
    arrives(send(whole(sctp(ask)), family), whole(sctp(toB)), family)
    arrives(send(whole(sctp(fromB)), family), whole(sctp(answered)), family)
  }
})

both('SCTP in fragments: its CRC cannot follow', family => {
  services.set({ ...DNS, protocol: PROTOCOL.sctp }, family)
  const fragment = { id: 7, offset: 0, more: true }
  drops(send(sctp(ask, { ip: { fragment } }), family), 'CSUM_L4')
  assert.equal(node().datapath.maps.translations.lookupBatch().length, 0, 'nothing is remembered of it')
})

both('a connection that was before the service was, goes on', family => {
  passes(send(tcp(open, SYN), family), tcp(open, SYN), family)
  services.set(WEB, family)
  node().raiseRevision()
  passes(send(tcp(open, ACK), family), tcp(open, ACK), family)
  assert.equal(node().datapath.maps.translations.lookupBatch().length, 0)
})

both('in mid-stream, of nobody that is known: untranslated by random choice, by its hash with Maglev', family => {
  services.set(WEB, family)
  passes(send(tcp(open, ACK), family), tcp(open, ACK), family)
  node().reset()
  services.set({ ...WEB, flags: ['HASHED'] }, family)
  arrives(send(tcp(open, ACK), family), tcp(openB, ACK), family)
})

both('what was sent before the service was, is sent to it from the next revision on', family => {
  passes(send(udp(ask), family), udp(ask), family)
  services.set(DNS, family)
  passes(send(udp(ask), family), udp(ask), family)
  node().raiseRevision()
  arrives(send(udp(ask), family), udp(toB), family)
  assert.equal(flowOf().length, 1, 'the flow to the service itself is forgotten')
})

both('datagrams stay with their backend, and move on when it goes', family => {
  services.set({ ...DNS, backends: [B_53] }, family)
  arrives(send(udp(ask), family), udp(toB), family)
  services.set({ ...DNS, backends: [C_53] }, family)
  arrives(send(udp(ask), family), udp(toB), family)
  services.removeBackend(B_53, family)
  arrives(send(udp(ask), family), udp(toC), family)
  arrives(send(udp(fromB), family), udp(answered), family)
  arrives(send(udp(between(C, A, 5353, 40000)), family), udp(answered), family)
})

both('an established connection stays with its backend, whatever becomes of that one', family => {
  services.set(WEB, family)
  send(tcp(open, SYN), family)
  send(tcp(backB, SYN | ACK), family)
  services.set({ ...WEB, backends: [{ party: C, port: 8080 }] }, family)
  services.removeBackend({ party: B, port: 8080 }, family, PROTOCOL.tcp)
  node().raiseRevision()
  arrives(send(tcp(open, ACK), family), tcp(openB, ACK), family)
  services.remove(WEB, family)
  node().raiseRevision()
  arrives(send(tcp(open, ACK), family), tcp(openB, ACK), family)
  arrives(send(tcp(backB, ACK), family), tcp(opened, ACK), family)
})

both('a SYN that is repeated goes elsewhere once its backend is gone', family => {
  services.set(WEB, family)
  arrives(send(tcp(open, SYN), family), tcp(openB, SYN), family)
  services.set({ ...WEB, backends: [{ party: C, port: 8080 }] }, family)
  arrives(send(tcp(open, SYN), family), tcp(openB, SYN), family)
  services.removeBackend({ party: B, port: 8080 }, family, PROTOCOL.tcp)
  arrives(send(tcp(open, SYN), family), tcp(between(A, C, 40000, 8080), SYN), family)
  const late = send(tcp(backB, SYN | ACK), family)
  arrives(late, tcp(backB, SYN | ACK), family)
})

both('a port that is used again, after the end, may get another backend', family => {
  services.set(WEB, family)
  send(tcp(open, SYN), family)
  send(tcp(backB, RST | ACK), family)
  services.set({ ...WEB, backends: [{ party: C, port: 8080 }] }, family)
  arrives(send(tcp(open, SYN), family), tcp(between(A, C, 40000, 8080), SYN), family)
})

both('a pod that is given itself', family => {
  services.set({ ...WEB, backends: [{ party: A, port: 8080 }] }, family)
  const first = send(tcp(open, SYN), family)
  arrives(first, tcp(between(LOOPBACK, A, 40000, 8080), SYN), family)
  assert.deepEqual(first.event?.endpoint, [A.id, A.id])
  assert.deepEqual(first.event?.identity, [A.identity, A.identity])
  arrives(send(tcp(between(A, LOOPBACK, 8080, 40000), SYN | ACK), family), tcp(opened, SYN | ACK), family)
  arrives(send(tcp(open, ACK), family), tcp(between(LOOPBACK, A, 40000, 8080), ACK), family)
})

both('a pod that is given itself, though policy isolates it', family => {
  node().reset({ a: [] })
  services.set({ ...WEB, backends: [{ party: A, port: 8080 }] }, family)
  arrives(send(tcp(open, SYN), family), tcp(between(LOOPBACK, A, 40000, 8080), SYN), family)
  node().raiseRevision()
  arrives(send(tcp(between(A, LOOPBACK, 8080, 40000), SYN | ACK), family), tcp(opened, SYN | ACK), family)
})

both('nobody comes from the address of a pod to itself', family => {
  const forged = udp(between({ ...LOOPBACK, mac: OUTSIDE.mac }, A, 1, 2))
  drops(node().run({ ...sentOf(forged, family), hook: 'to_pod' }), 'INVALID_SOURCE_IP')
})

both('policy decides about the backend', family => {
  node().reset({ a: [{ direction: 'egress', protocol: PROTOCOL.udp, port: 5353, rule: 7 }] })
  services.set(DNS, family)
  const first = send(udp(ask), family)
  arrives(first, udp(toB), family)
  assert.equal(first.event?.egress_rule, 7)
  node().reset({ a: [{ direction: 'egress', protocol: PROTOCOL.udp, port: 53, rule: 7 }] })
  services.set(DNS, family)
  const denied = send(udp(ask), family)
  drops(denied, 'POLICY_DENIED')
  assert.equal(denied.event?.service, 1)
  assert.equal(denied.event?.destination_port, 5353)
  assert.equal(node().datapath.maps.translations.lookupBatch().length, 0, 'nothing is remembered of it')
})

both('two services with one backend, from one port: the second comes from another', family => {
  services.set(DNS, family)
  services.set({ ...DNS, frontend: OTHER_SERVICE, number: 2 }, family)
  arrives(send(udp(ask), family), udp(toB), family)
  const second = send(udp(between(A, OTHER_SERVICE, 40000, 53)), family)
  const port = second.event?.source_port ?? 0
  assert.notEqual(port, 40000)
  arrives(second, udp(between(A, B, port, 5353)), family)
  arrives(send(udp(between(B, A, 5353, port)), family), udp(between(OTHER_SERVICE, A, 53, 40000)), family)
  arrives(send(udp(fromB), family), udp(answered), family)
})

both('a backend that is not a pod of this node, and its answer', family => {
  services.set({ ...DNS, backends: [{ party: OUTSIDE, port: 5353 }] }, family)
  passes(
    send(udp(ask), family),
    { ...udp(between(A, OUTSIDE, 40000, 5353)), ethernet: { destination: HOST_MAC } },
    family,
  )
  const reply = udp(between(OUTSIDE, A, 5353, 40000))
  passes(send(reply, family), { ...udp(answered), ethernet: { source: OUTSIDE.mac, destination: A.mac } }, family)
  const error = send(icmpError(ROUTER, A, udp(between(A, OUTSIDE, 40000, 5353))), family)
  passes(error, { ...icmpError(ROUTER, A, udp(ask)), ethernet: { source: ROUTER.mac, destination: A.mac } }, family)
})

both('a backend of the node itself', family => {
  services.set({ ...DNS, backends: [{ party: HOST, port: 5353 }] }, family)
  passes(send(udp(ask), family), { ...udp(between(A, HOST, 40000, 5353)), ethernet: { destination: HOST_MAC } }, family)
  const reply = udp(between(HOST, A, 5353, 40000))
  passes(send(reply, family), { ...udp(answered), ethernet: { source: HOST.mac, destination: A.mac } }, family)
})

both('an error of the backend comes from the service, and quotes what was sent to it', family => {
  services.set(DNS, family)
  send(udp(ask), family)
  arrives(send(icmpError(B, A, udp(toB)), family), icmpError(SERVICE, A, udp(ask)), family)
})

both('an error of the client reaches the backend, and quotes what that one sent', family => {
  services.set(DNS, family)
  send(udp(ask), family)
  send(udp(fromB), family)
  arrives(send(icmpError(A, SERVICE, udp(answered)), family), icmpError(A, B, udp(fromB)), family)
})

both('errors that quote TCP, whole or its ports alone', family => {
  services.set(WEB, family)
  send(tcp(open, SYN), family)
  send(tcp(backB, SYN | ACK), family)
  arrives(send(icmpError(B, A, tcp(openB, ACK)), family), icmpError(SERVICE, A, tcp(open, ACK)), family)
  arrives(send(icmpError(A, SERVICE, tcp(opened, ACK)), family), icmpError(A, B, tcp(backB, ACK)), family)
})

both('fragments: the first has the ports, the others only addresses', family => {
  services.set(DNS, family)
  const part = (packet: Packet, offset: number, more: boolean, payload: Uint8Array): Packet => ({
    ...packet,
    ip: { fragment: { id: 9, offset, more } },
    ...(offset ? { payload: () => payload } : {}),
  })
  const rest = bytes(1, 2, 3, 4, 5, 6, 7, 8)
  drops(send(part(udp(ask), 16, false, rest), family), 'FRAGMENT_NOT_FOUND')
  const first = (packet: Packet): Packet => part(packet, 0, true, rest)
  arrives(send(first(udp(ask)), family), first(udp(toB)), family)
  for (const offset of [32, 16])
    arrives(
      send(part(udp(ask), offset, offset === 16, rest), family),
      part(udp(toB), offset, offset === 16, rest),
      family,
    )
  arrives(send(first(udp(fromB)), family), first(udp(answered)), family)
  arrives(send(part(udp(fromB), 16, false, rest), family), part(udp(answered), 16, false, rest), family)
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
