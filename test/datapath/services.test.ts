// Services by the packet: what a pod sends to a frontend reaches a backend, whole and
// with valid checksums, and the answers come from where it asked. A connection keeps its
// backend; what can move on, moves on when its backend goes.

import assert from 'node:assert/strict'
import { between, icmpError, sentOf, tcp, udp } from './cases.ts'
import { ACK, FIN, PROTOCOL, RST, SYN } from './frames.ts'
import { A, B, C, HOST, HOST_MAC, OUTSIDE, ROUTER } from './node.ts'
import { DNS, dns, hex, servicesForTests, WEB, web } from './service-exchange.ts'
import { LOOPBACK, OTHER_SERVICE } from './services.ts'

const { node, services, send, both, arrives, passes, drops } = servicesForTests()
const flowsOf = () => node().datapath.maps.flows.lookupBatch()
const DNS_B = { party: B, port: 5353 }
const DNS_C = { party: C, port: 5353 }

both('a datagram and its answer', family => {
  services().set(DNS, family)
  const first = send(udp(dns.asked), family)
  arrives(first, udp(dns.toB), family)
  assert.equal(first.event?.service, 1)
  assert.equal(hex(first.event?.destination.bytes ?? new Uint8Array()), hex(B[family]))
  assert.equal(first.event?.destination_port, 5353)
  arrives(send(udp(dns.fromB), family), udp(dns.answered), family)
  const [[, flow] = []] = flowsOf()
  assert.equal(flow?.service, 1)
  assert.equal(flow && flow.flags & node().world.schema.flowFlags.number.TRANSLATED, 8)
  assert.deepEqual(flow?.packets, [1n, 1n])
})

both('a connection, from its opening to its end', family => {
  services().set(WEB, family)
  arrives(send(tcp(web.asked, SYN), family), tcp(web.toB, SYN), family)
  arrives(send(tcp(web.fromB, SYN | ACK), family), tcp(web.answered, SYN | ACK), family)
  arrives(send(tcp(web.asked, ACK), family), tcp(web.toB, ACK), family)
  arrives(send(tcp(web.asked, FIN | ACK), family), tcp(web.toB, FIN | ACK), family)
  const end = send(tcp(web.fromB, FIN | ACK), family)
  arrives(end, tcp(web.answered, FIN | ACK), family)
  assert.equal(end.event && node().world.schema.eventKind.text(end.event.kind), 'CLOSED')
  assert.equal(end.event?.service, 1)
})

both('a connection that was before the service was, goes on', family => {
  passes(send(tcp(web.asked, SYN), family), tcp(web.asked, SYN), family)
  services().set(WEB, family)
  node().raiseRevision()
  passes(send(tcp(web.asked, ACK), family), tcp(web.asked, ACK), family)
  assert.equal(node().datapath.maps.translations.lookupBatch().length, 0)
})

both('in mid-stream, of nobody that is known: untranslated by random choice, by its hash with Maglev', family => {
  services().set(WEB, family)
  passes(send(tcp(web.asked, ACK), family), tcp(web.asked, ACK), family)
  node().reset()
  services().set({ ...WEB, flags: ['HASHED'] }, family)
  arrives(send(tcp(web.asked, ACK), family), tcp(web.toB, ACK), family)
})

both('what was sent before the service was, is sent to it from the next revision on', family => {
  passes(send(udp(dns.asked), family), udp(dns.asked), family)
  services().set(DNS, family)
  passes(send(udp(dns.asked), family), udp(dns.asked), family)
  node().raiseRevision()
  arrives(send(udp(dns.asked), family), udp(dns.toB), family)
  assert.equal(flowsOf().length, 1, 'the flow to the service itself is forgotten')
})

both('datagrams stay with their backend, and move on when it goes', family => {
  services().set(DNS, family)
  arrives(send(udp(dns.asked), family), udp(dns.toB), family)
  services().set({ ...DNS, backends: [DNS_C] }, family)
  arrives(send(udp(dns.asked), family), udp(dns.toB), family)
  services().removeBackend(DNS_B, family)
  arrives(send(udp(dns.asked), family), udp(dns.toC), family)
  arrives(send(udp(dns.fromB), family), udp(dns.answered), family)
  arrives(send(udp(between(C, A, 5353, 40000)), family), udp(dns.answered), family)
})

both('an established connection stays with its backend, whatever becomes of that one', family => {
  services().set(WEB, family)
  send(tcp(web.asked, SYN), family)
  send(tcp(web.fromB, SYN | ACK), family)
  services().set({ ...WEB, backends: [{ party: C, port: 8080 }] }, family)
  services().removeBackend({ party: B, port: 8080 }, family, PROTOCOL.tcp)
  node().raiseRevision()
  arrives(send(tcp(web.asked, ACK), family), tcp(web.toB, ACK), family)
  services().remove(WEB, family)
  node().raiseRevision()
  arrives(send(tcp(web.asked, ACK), family), tcp(web.toB, ACK), family)
  arrives(send(tcp(web.fromB, ACK), family), tcp(web.answered, ACK), family)
})

both('a SYN that is repeated goes elsewhere once its backend is gone', family => {
  services().set(WEB, family)
  arrives(send(tcp(web.asked, SYN), family), tcp(web.toB, SYN), family)
  services().set({ ...WEB, backends: [{ party: C, port: 8080 }] }, family)
  arrives(send(tcp(web.asked, SYN), family), tcp(web.toB, SYN), family)
  services().removeBackend({ party: B, port: 8080 }, family, PROTOCOL.tcp)
  arrives(send(tcp(web.asked, SYN), family), tcp(web.toC, SYN), family)
  const late = send(tcp(web.fromB, SYN | ACK), family)
  arrives(late, tcp(web.fromB, SYN | ACK), family)
})

both('a SYN to what is no service any more, of a connection that is over, leaves its answers alone', family => {
  services().set(WEB, family)
  send(tcp(web.asked, SYN), family)
  send(tcp(web.fromB, RST | ACK), family)
  services().remove(WEB, family)
  passes(send(tcp(web.asked, SYN), family), tcp(web.asked, SYN), family)
  arrives(send(tcp(web.fromB, ACK), family), tcp(web.answered, ACK), family)
})

both('a port that is used again, after the end, may get another backend', family => {
  services().set(WEB, family)
  send(tcp(web.asked, SYN), family)
  send(tcp(web.fromB, RST | ACK), family)
  services().set({ ...WEB, backends: [{ party: C, port: 8080 }] }, family)
  arrives(send(tcp(web.asked, SYN), family), tcp(web.toC, SYN), family)
})

both('a pod that is given itself', family => {
  services().set({ ...WEB, backends: [{ party: A, port: 8080 }] }, family)
  const first = send(tcp(web.asked, SYN), family)
  arrives(first, tcp(between(LOOPBACK, A, 40000, 8080), SYN), family)
  assert.deepEqual(first.event?.endpoint, [A.id, A.id])
  assert.deepEqual(first.event?.identity, [A.identity, A.identity])
  arrives(send(tcp(between(A, LOOPBACK, 8080, 40000), SYN | ACK), family), tcp(web.answered, SYN | ACK), family)
  arrives(send(tcp(web.asked, ACK), family), tcp(between(LOOPBACK, A, 40000, 8080), ACK), family)
})

both('a pod that is given itself, though policy isolates it', family => {
  node().reset({ a: [] })
  services().set({ ...WEB, backends: [{ party: A, port: 8080 }] }, family)
  arrives(send(tcp(web.asked, SYN), family), tcp(between(LOOPBACK, A, 40000, 8080), SYN), family)
  node().raiseRevision()
  arrives(send(tcp(between(A, LOOPBACK, 8080, 40000), SYN | ACK), family), tcp(web.answered, SYN | ACK), family)
})

both('nobody comes from the address of a pod to itself', family => {
  const forged = udp(between({ ...LOOPBACK, mac: OUTSIDE.mac }, A, 1, 2))
  drops(node().send({ ...sentOf(forged, family), hook: 'to_pod' }), 'INVALID_SOURCE_IP')
})

both('policy decides about the backend', family => {
  node().reset({ a: [{ direction: 'egress', protocol: PROTOCOL.udp, port: 5353, rule: 7 }] })
  services().set(DNS, family)
  const first = send(udp(dns.asked), family)
  arrives(first, udp(dns.toB), family)
  assert.equal(first.event?.egress_rule, 7)
  node().reset({ a: [{ direction: 'egress', protocol: PROTOCOL.udp, port: 53, rule: 7 }] })
  services().set(DNS, family)
  const denied = send(udp(dns.asked), family)
  drops(denied, 'POLICY_DENIED')
  assert.equal(denied.event?.service, 1)
  assert.equal(denied.event?.destination_port, 5353)
  assert.equal(node().datapath.maps.translations.lookupBatch().length, 0, 'nothing is remembered of it')
})

both('two services with one backend, from one port: the second comes from another', family => {
  services().set(DNS, family)
  services().set({ ...DNS, frontend: OTHER_SERVICE, number: 2 }, family)
  arrives(send(udp(dns.asked), family), udp(dns.toB), family)
  const second = send(udp(between(A, OTHER_SERVICE, 40000, 53)), family)
  const port = second.event?.source_port ?? 0
  assert.notEqual(port, 40000)
  arrives(second, udp(between(A, B, port, 5353)), family)
  arrives(send(udp(between(B, A, 5353, port)), family), udp(between(OTHER_SERVICE, A, 53, 40000)), family)
  arrives(send(udp(dns.fromB), family), udp(dns.answered), family)
})

both('a backend that is not a pod of this node, and its answer', family => {
  services().set({ ...DNS, backends: [{ party: OUTSIDE, port: 5353 }] }, family)
  passes(
    send(udp(dns.asked), family),
    { ...udp(between(A, OUTSIDE, 40000, 5353)), ethernet: { destination: HOST_MAC } },
    family,
  )
  const reply = udp(between(OUTSIDE, A, 5353, 40000))
  passes(send(reply, family), { ...udp(dns.answered), ethernet: { source: OUTSIDE.mac, destination: A.mac } }, family)
  const error = send(icmpError(ROUTER, A, udp(between(A, OUTSIDE, 40000, 5353))), family)
  passes(
    error,
    { ...icmpError(ROUTER, A, udp(dns.asked)), ethernet: { source: ROUTER.mac, destination: A.mac } },
    family,
  )
})

both('a backend of the node itself', family => {
  services().set({ ...DNS, backends: [{ party: HOST, port: 5353 }] }, family)
  passes(
    send(udp(dns.asked), family),
    { ...udp(between(A, HOST, 40000, 5353)), ethernet: { destination: HOST_MAC } },
    family,
  )
  const reply = udp(between(HOST, A, 5353, 40000))
  passes(send(reply, family), { ...udp(dns.answered), ethernet: { source: HOST.mac, destination: A.mac } }, family)
})
