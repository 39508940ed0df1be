// Services by the packet: which backend a new connection gets, and what is said where
// there is none.

import assert from 'node:assert/strict'
import { flowHash, slotOfHash } from '../../src/services/index.ts'
import { between, type Family, frameOf, icmpOf, type Packet, tcp, udp } from './cases.ts'
import * as frames from './frames.ts'
import { ACK, bytes, FIN, PROTOCOL, RST, SYN } from './frames.ts'
import { A, B, C, HOST_MAC, type Party } from './node.ts'
import { DNS, dns, hex, type Run, reasonOf, servicesForTests, WEB, web } from './service-exchange.ts'
import { OTHER_SERVICE, SERVICE } from './services.ts'

const { node, services, send, both, arrives, passes, drops } = servicesForTests()
const NOBODY = { ...WEB, backends: [] }
const NO_DNS = { ...DNS, backends: [] }
const THREE = [A, B, C].map(party => ({ party, port: 5353 }))

/** What it was sent to, after translation; undefined: it was not. */
const receiverOf = ({ event }: Run): Party | undefined =>
  [B, C].find(pod => hex(pod[4]) === hex(bytesOf(event)) || hex(pod[6]) === hex(bytesOf(event)))
const bytesOf = (event: Run['event']): Uint8Array => event?.destination.bytes ?? new Uint8Array(0)

/** Back into the pod that asked, reported as a drop. */
function refused(observed: Run, answer: Packet, family: Family): void {
  assert.equal(observed.action, 'redirect')
  assert.equal(reasonOf(node(), observed), 'NO_SERVICE')
  assert.equal(observed.event?.service, 1)
  assert.equal(observed.event?.identity[0], A.identity)
  const ethernet = { source: HOST_MAC, destination: A.mac }
  assert.equal(hex(observed.frame), hex(frameOf({ ...answer, ethernet }, family)))
}

const reset = (sequence: number, acknowledgment: number, flags: number): Packet => ({
  ...tcp(web.answered, flags),
  payload: ends => frames.tcp(ends, web.answered, flags, { sequence, acknowledgment, window: 0 }),
})

both('nobody there: a connection is reset', family => {
  services().set(NOBODY, family)
  refused(send(tcp(web.asked, SYN), family), reset(0, 2, RST | ACK), family)
  assert.equal(node().datapath.maps.flows.lookupBatch().length, 0)
})

both('nobody there: a reset tells what it is about, options and data counted', family => {
  services().set(NOBODY, family)
  const options = bytes(2, 4, 5, 0xb4, 1, 1, 1, 0)
  const payload = Uint8Array.of(1, 2, 3, 4, 5)
  const opening = (): Packet => ({
    ...tcp(web.asked, SYN),
    payload: ends => frames.tcp(ends, web.asked, SYN, { sequence: 0xfffffffe, options, payload }),
  })
  refused(send(opening(), family), reset(0, 4, RST | ACK), family)
})

both('nobody there: in mid-stream, where a hash would choose, the reset goes on where the sender is', family => {
  services().set({ ...NOBODY, flags: ['HASHED'] }, family)
  const data = {
    ...tcp(web.asked, ACK),
    payload: ends => frames.tcp(ends, web.asked, ACK, { acknowledgment: 77 }),
  } as Packet
  refused(send(data, family), reset(77, 0, RST), family)
  const last = { ...tcp(web.asked, FIN), payload: ends => frames.tcp(ends, web.asked, FIN, { sequence: 5 }) } as Packet
  refused(send(last, family), reset(0, 6, RST | ACK), family)
  drops(send(tcp(web.asked, RST), family), 'NO_SERVICE')
})

const unreachable = (quoted: Packet, length?: number): Packet => ({
  from: SERVICE,
  to: A,
  protocol: 'icmp',
  payload: (ends, family) =>
    frames.icmp(
      ends,
      family === 4 ? 3 : 1,
      family === 4 ? 3 : 4,
      bytes(0, 0, 0, 0, frameOf(quoted, family).subarray(14).subarray(0, length)),
    ),
})

both('nobody there: a datagram is answered that its port is unreachable', family => {
  services().set(NO_DNS, family)
  refused(send(udp(dns.asked), family), unreachable(udp(dns.asked)), family)
})

both('nobody there: of a long datagram, as much is quoted as fits', family => {
  services().set(NO_DNS, family)
  for (const length of [0, 1, 63, 64, 65, 520, 521, 1184, 1185, 1400]) {
    const payload = Uint8Array.from({ length }, (_, index) => index)
    const long: Packet = { ...udp(dns.asked), payload: ends => frames.udp(ends, dns.asked, payload) }
    refused(send(long, family), unreachable(long, family === 4 ? 548 : 1232), family)
  }
})

both('nobody there: fragments are not answered', family => {
  services().set(NO_DNS, family)
  drops(send(udp(dns.asked, { ip: { fragment: { id: 3, offset: 0, more: true } } }), family), 'NO_SERVICE')
})

both('nobody on this node, as the traffic policy wants: nothing is said', family => {
  services().set({ ...NOBODY, without: 'DROP' }, family)
  drops(send(tcp(web.asked, SYN), family), 'NO_SERVICE')
})

both('nobody there any more: an established connection goes on, a new one does not', family => {
  services().set(WEB, family)
  send(tcp(web.asked, SYN), family)
  send(tcp(web.fromB, SYN | ACK), family)
  services().set(NOBODY, family)
  services().removeBackend({ party: B, port: 8080 }, family, PROTOCOL.tcp)
  arrives(send(tcp(web.asked, ACK), family), tcp(web.toB, ACK), family)
  const [action, reason] = ((run: Run) => [run.action, reasonOf(node(), run)])(
    send(tcp(between(A, SERVICE, 40001, 80), SYN), family),
  )
  assert.deepEqual([action, reason], ['redirect', 'NO_SERVICE'])
})

both('a service of the node alone is none for pods', family => {
  services().set({ ...DNS, flags: ['NODE_ONLY'] }, family)
  passes(send(udp(dns.asked), family), udp(dns.asked), family)
})

both('a port that is only reserved is none', family => {
  services().set({ ...DNS, flags: ['RESERVATION'] }, family)
  passes(send(udp(dns.asked), family), udp(dns.asked), family)
})

both('an echo to a service is none of it', family => {
  services().set(DNS, family)
  const echo: Packet = {
    from: A,
    to: SERVICE,
    protocol: icmpOf(family),
    payload: (ends, f) => frames.icmp(ends, f === 4 ? 8 : 128, 0, frames.echoBody(9)),
  }
  passes(send(echo, family), echo, family)
})

both('Maglev: the slot that the hash of the flow leads to', family => {
  // As many slots as a prime, and backends in no order.
  const table = Array.from({ length: 251 }, (_, index) => (index * index) % 3)
  const backends = [B, C, { ...C, name: 'c twice' }].map((party, index) => ({ party, port: 5353 + index }))
  services().set({ ...DNS, backends, table, flags: ['HASHED'] }, family)
  for (let port = 1; port <= 300; port++) {
    const { event } = send(udp(between(A, SERVICE, port, 53)), family)
    const flow = {
      source: A[family],
      destination: SERVICE[family],
      sourcePort: port,
      destinationPort: 53,
      protocol: 17,
    }
    const want = backends[table[slotOfHash(flowHash(flow), 251)] ?? 0]
    assert.equal(event?.destination_port, want?.port, `port ${port}`)
    assert.equal(hex(bytesOf(event)), hex(want?.party[family] ?? new Uint8Array(0)))
  }
})

both('by chance: everybody is chosen', family => {
  services().set({ ...DNS, backends: THREE }, family)
  const ports = new Map<string, number>()
  for (let port = 1; port <= 300; port++) {
    const at = hex(bytesOf(send(udp(between(A, SERVICE, port, 53)), family).event))
    ports.set(at, (ports.get(at) ?? 0) + 1)
  }
  assert.equal(ports.size, 3)
  // Each is expected 100 times; the odds against fewer than 50 are beyond 10^9.
  for (const count of ports.values()) assert.ok(count > 50, [...ports.values()].join())
})

both('affinity: a client stays with the backend that it had, as long as new clients get it', family => {
  const sticky = {
    ...DNS,
    backends: [
      { party: B, port: 5353 },
      { party: C, port: 5353 },
    ],
    affinitySeconds: 100,
  }
  services().set(sticky, family)
  const first = receiverOf(send(udp(between(A, SERVICE, 1, 53)), family))
  for (let port = 2; port < 40; port++)
    assert.equal(receiverOf(send(udp(between(A, SERVICE, port, 53)), family)), first, `port ${port}`)
  services().removeBackend({ party: first ?? B, port: 5353 }, family)
  services().set({ ...sticky, backends: sticky.backends.filter(({ party }) => party !== first) }, family)
  const second = receiverOf(send(udp(between(A, SERVICE, 50, 53)), family))
  assert.notEqual(second, first)
  assert.equal(receiverOf(send(udp(between(A, SERVICE, 51, 53)), family)), second)
})

both('affinity: it ends with its time', family => {
  const sticky = { ...DNS, backends: [{ party: B, port: 5353 }], affinitySeconds: 1 }
  services().set(sticky, family)
  send(udp(dns.asked), family)
  const { affinities } = node().datapath.maps
  const [[key, value] = []] = affinities.lookupBatch()
  assert.ok(key && value, 'the choice is remembered')
  for (const { maps } of [node().datapath, node().memory])
    maps.affinities.set(key, { ...value, used_ns: value.used_ns - 2_000_000_000n })
  services().set({ ...sticky, backends: [{ party: C, port: 5353 }] }, family)
  assert.equal(receiverOf(send(udp(between(A, SERVICE, 2, 53)), family)), C)
})

both('affinity is by service', family => {
  const backends = [{ party: B, port: 5353 }]
  services().set({ ...DNS, backends, affinitySeconds: 100 }, family)
  send(udp(dns.asked), family)
  services().set(
    { ...DNS, frontend: OTHER_SERVICE, number: 2, backends: [{ party: C, port: 5353 }], affinitySeconds: 100 },
    family,
  )
  assert.equal(receiverOf(send(udp(between(A, OTHER_SERVICE, 2, 53)), family)), C)
})

both('an address that another service has by now: datagrams go to that one, though the backend is there', family => {
  services().set(DNS, family)
  arrives(send(udp(dns.asked), family), udp(dns.toB), family)
  services().set({ ...DNS, number: 2, backends: [{ party: C, port: 5353 }] }, family)
  arrives(send(udp(dns.asked), family), udp(dns.toC), family)
})

both('an address that is no service any more: datagrams are not translated, though the backend is there', family => {
  services().set(DNS, family)
  arrives(send(udp(dns.asked), family), udp(dns.toB), family)
  services().remove(DNS, family)
  passes(send(udp(dns.asked), family), udp(dns.asked), family)
})

both('an address that another service has by now: who repeats a SYN gets that one', family => {
  services().set(WEB, family)
  arrives(send(tcp(web.asked, SYN), family), tcp(web.toB, SYN), family)
  services().set({ ...WEB, number: 2, backends: [{ party: C, port: 8080 }] }, family)
  arrives(send(tcp(web.asked, SYN), family), tcp(web.toC, SYN), family)
})
