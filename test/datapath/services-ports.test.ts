// One port of a client, two connections to one backend: by a service and straight to it.
// At the backend they are never one, whichever comes first and whether the first has ended.

import assert from 'node:assert/strict'
import { between, type Conversation, type Family, type Packet, tcp, udp } from './cases.ts'
import { ACK, FIN, RST, SYN } from './frames.ts'
import { A, B } from './node.ts'
import { DNS, dns, type Run, servicesForTests, WEB, web } from './service-exchange.ts'
import { OTHER_SERVICE, type Service } from './services.ts'

const { node, services, send, both, arrives, drops } = servicesForTests()

type Kind = {
  readonly service: Service
  readonly talk: typeof web
  readonly first: (ends: Conversation) => Packet
  readonly answer: (ends: Conversation) => Packet
  readonly next: (ends: Conversation) => Packet
}
const KINDS: Readonly<Record<string, Kind>> = {
  TCP: {
    service: WEB,
    talk: web,
    first: ends => tcp(ends, SYN),
    answer: ends => tcp(ends, SYN | ACK),
    next: ends => tcp(ends, ACK),
  },
  UDP: { service: DNS, talk: dns, first: udp, answer: udp, next: udp },
}

/** The port that the backend sees. */
const portOf = ({ frame }: Run, family: Family): number => Buffer.from(frame).readUInt16BE(family === 4 ? 34 : 54)

const atBackend = ({ toB }: typeof web, port: number): Conversation => ({ ...toB, sourcePort: port })
const fromBackend = ({ fromB }: typeof web, port: number): Conversation => ({ ...fromB, destinationPort: port })

for (const [name, { service, talk, first, answer, next }] of Object.entries(KINDS)) {
  both(`${name}: straight to the backend while a connection by the service lives`, family => {
    services().set(service, family)
    arrives(send(first(talk.asked), family), first(talk.toB), family)
    arrives(send(answer(talk.fromB), family), answer(talk.answered), family)
    const straight = send(first(talk.toB), family)
    const port = portOf(straight, family)
    assert.notEqual(port, 40000)
    assert.equal(straight.event?.service, 0)
    arrives(straight, first(atBackend(talk, port)), family)
    arrives(send(answer(fromBackend(talk, port)), family), answer(talk.fromB), family)
    arrives(send(next(talk.toB), family), next(atBackend(talk, port)), family)
    arrives(send(next(talk.asked), family), next(talk.toB), family)
    arrives(send(next(talk.fromB), family), next(talk.answered), family)
    node().raiseRevision()
    arrives(send(next(talk.toB), family), next(atBackend(talk, port)), family)
    arrives(send(next(fromBackend(talk, port)), family), next(talk.fromB), family)
    arrives(send(next(talk.asked), family), next(talk.toB), family)
  })

  both(`${name}: by the service while a connection straight to the backend lives`, family => {
    services().set(service, family)
    arrives(send(first(talk.toB), family), first(talk.toB), family)
    arrives(send(answer(talk.fromB), family), answer(talk.fromB), family)
    const served = send(first(talk.asked), family)
    const port = portOf(served, family)
    assert.notEqual(port, 40000)
    arrives(served, first(atBackend(talk, port)), family)
    arrives(send(answer(fromBackend(talk, port)), family), answer(talk.answered), family)
    arrives(send(next(talk.toB), family), next(talk.toB), family)
    arrives(send(next(talk.fromB), family), next(talk.fromB), family)
    arrives(send(next(talk.asked), family), next(atBackend(talk, port)), family)
  })

  both(`${name}: straight to the backend, denied: the connection by the service goes on`, family => {
    const { protocol = 17 } = service
    node().reset({ a: [{ direction: 'egress', protocol, port: service.backends[0]?.port ?? 0, rule: 7 }] })
    services().set(service, family)
    send(first(talk.asked), family)
    node().setPolicy(A, [])
    node().raiseRevision()
    drops(send(first(talk.toB), family), 'POLICY_DENIED')
    assert.equal(node().datapath.maps.translations.lookupBatch().length, 2, 'nothing is remembered of it')
  })
}

for (const [name, endings] of Object.entries({
  'a reset': [tcp(web.fromB, RST | ACK)],
  'both ends': [tcp(web.asked, FIN | ACK), tcp(web.fromB, FIN | ACK)],
}))
  both(`TCP: straight to the backend after ${name}`, family => {
    services().set(WEB, family)
    send(tcp(web.asked, SYN), family)
    send(tcp(web.fromB, SYN | ACK), family)
    for (const ending of endings) send(ending, family)
    const straight = send(tcp(web.toB, SYN), family)
    arrives(straight, tcp(web.toB, SYN), family)
    assert.equal(straight.event?.service, 0)
    arrives(send(tcp(web.fromB, SYN | ACK), family), tcp(web.fromB, SYN | ACK), family)
    assert.equal(node().datapath.maps.translations.lookupBatch().length, 0, 'both entries are forgotten')
  })

both('TCP: another service may have the port of a connection that is over', family => {
  services().set(WEB, family)
  services().set({ ...WEB, frontend: OTHER_SERVICE, number: 2 }, family)
  send(tcp(web.asked, SYN), family)
  send(tcp(web.fromB, RST | ACK), family)
  arrives(send(tcp(between(A, OTHER_SERVICE, 40000, 80), SYN), family), tcp(web.toB, SYN), family)
  arrives(send(tcp(web.fromB, SYN | ACK), family), tcp(between(OTHER_SERVICE, A, 80, 40000), SYN | ACK), family)
  assert.equal(node().datapath.maps.translations.lookupBatch().length, 2, 'the one before is forgotten')
})

both('TCP: by the service, after a connection straight to the backend has ended', family => {
  services().set(WEB, family)
  send(tcp(web.toB, SYN), family)
  send(tcp(web.fromB, RST | ACK), family)
  arrives(send(tcp(web.asked, SYN), family), tcp(web.toB, SYN), family)
})

both('TCP: straight to the backend again, after both have ended', family => {
  services().set(WEB, family)
  send(tcp(web.asked, SYN), family)
  const port = portOf(send(tcp(web.toB, SYN), family), family)
  send(tcp(fromBackend(web, port), RST | ACK), family)
  send(tcp(web.fromB, RST | ACK), family)
  arrives(send(tcp(web.toB, SYN), family), tcp(web.toB, SYN), family)
  arrives(send(tcp(web.fromB, SYN | ACK), family), tcp(web.fromB, SYN | ACK), family)
  assert.equal(node().datapath.maps.translations.lookupBatch().length, 0, 'nothing is left')
})

both('TCP: a SYN that is repeated keeps the port that it was given', family => {
  services().set(WEB, family)
  send(tcp(web.asked, SYN), family)
  const port = portOf(send(tcp(web.toB, SYN), family), family)
  arrives(send(tcp(web.toB, SYN), family), tcp(atBackend(web, port), SYN), family)
})

both('UDP: straight to a backend that has gone from its service', family => {
  services().set(DNS, family)
  send(udp(dns.asked), family)
  services().set({ ...DNS, backends: [] }, family)
  services().removeBackend({ party: B, port: 5353 }, family)
  const straight = send(udp(dns.toB), family)
  arrives(straight, udp(dns.toB), family)
  assert.equal(straight.event?.service, 0)
  arrives(send(udp(dns.fromB), family), udp(dns.fromB), family)
})
