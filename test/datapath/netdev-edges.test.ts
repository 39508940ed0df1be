// Outside clients of services, where it gets difficult: ICMP errors in both directions,
// fragments, choices that must stay or must be even, ports that must never be given out
// twice, and options that nobody may forge.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { between, type Family, frameOf, icmpError, type Packet, tcp, udp } from './cases.ts'
import { Edge, edgeForTests, FAR, OTHER_CLIENT, type Passed } from './edge.ts'
import { ACK, bytes, PROTOCOL, SYN, udp as udpPayload } from './frames.ts'
import { A, B, C, HOST, HOST_MAC, needsRoot, OUTSIDE, type Party, ROUTER, UPLINK } from './node.ts'
import type { Service } from './services.ts'

const edge = edgeForTests()
const NODE_PORT = 30080
const asked = between(OUTSIDE, HOST, 5000, NODE_PORT)
const service = (party: Party, change: Partial<Service> = {}): Service => ({
  frontend: HOST,
  port: NODE_PORT,
  backends: [{ party, port: 8080 }],
  flags: ['OUTSIDE'],
  ...change,
})
const NOBODY = { source: new Uint8Array(6), destination: new Uint8Array(6) }
const hop = (packet: Packet, ethernet: NonNullable<Packet['ethernet']> = NOBODY): Packet => ({
  ...packet,
  ip: { timeToLive: 63, ...packet.ip },
  ethernet,
})
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex')
const transport = (family: Family): number => (family === 4 ? 34 : 54)
const portOf = ({ frame }: Passed, family: Family): number => Buffer.from(frame).readUInt16BE(transport(family))

function leftAs(passed: Passed, action: Passed['action'], packet: Packet, family: Family): void {
  assert.equal(`${passed.action} ${passed.reason}`, `${action} undefined`)
  assert.equal(hex(passed.frame), hex(frameOf(packet, family)))
}

for (const family of [4, 6] as const) {
  const check = (name: string, run: (edge: Edge) => void): void =>
    void test(`${name}, IPv${family}`, { skip: needsRoot }, () => {
      edge().reset()
      run(edge())
    })
  const send = (packet: Packet): Passed => edge().receive(frameOf(packet, family))

  check('an error of a router on the way to the backend goes to the client', edge => {
    edge.services.set(service(FAR), family)
    const port = portOf(send(udp(asked)), family)
    const tooBig = { 4: 3, 6: 2 }
    const error = icmpError(ROUTER, HOST, udp(between(HOST, FAR, port, 8080)), {}, tooBig)
    const told = icmpError(ROUTER, OUTSIDE, udp(asked), {}, tooBig)
    leftAs(send(error), 'redirect', hop(told), family)
  })

  check('an error of the backend comes from the service', edge => {
    edge.services.set(service(FAR), family)
    const port = portOf(send(udp(asked)), family)
    const error = icmpError(FAR, HOST, udp(between(HOST, FAR, port, 8080)))
    leftAs(send(error), 'redirect', hop(icmpError(HOST, OUTSIDE, udp(asked))), family)
  })

  check('an error of the client, or on the way to it, goes to the backend', edge => {
    edge.services.set(service(FAR), family)
    const port = portOf(send(udp(asked)), family)
    const answer = udp(between(HOST, OUTSIDE, NODE_PORT, 5000))
    const quoted = udp(between(FAR, HOST, 8080, port))
    leftAs(send(icmpError(OUTSIDE, HOST, answer)), 'redirect', hop(icmpError(HOST, FAR, quoted)), family)
    leftAs(send(icmpError(ROUTER, HOST, answer)), 'redirect', hop(icmpError(ROUTER, FAR, quoted)), family)
  })

  check('an error of the node itself names the service', edge => {
    edge.services.set(service(HOST), family)
    send(udp(asked))
    const error = icmpError(HOST, OUTSIDE, udp(between(OUTSIDE, HOST, 5000, 8080)))
    leftAs(edge.leave(frameOf(error, family)), 'pass', icmpError(HOST, OUTSIDE, udp(asked)), family)
  })

  check('fragments go the way of their first', edge => {
    edge.services.set(service(FAR), family)
    const body = bytes(udpPayload({ source: OUTSIDE[family], destination: HOST[family] }, asked, new Uint8Array(32)))
    const part = (from: Party, to: Party, offset: number, more: boolean, content: Uint8Array): Packet => ({
      from,
      to,
      protocol: PROTOCOL.udp,
      payload: () => content,
      ip: { fragment: { id: 77, offset, more } },
    })
    const first = send(part(OUTSIDE, HOST, 0, true, body.subarray(0, 24)))
    assert.equal(`${first.action} ${first.reason}`, 'redirect undefined')
    const later = send(part(OUTSIDE, HOST, 24, false, body.subarray(24)))
    leftAs(later, 'redirect', hop(part(HOST, FAR, 24, false, body.subarray(24))), family)
    const unknown = part(OTHER_CLIENT, HOST, 24, false, body.subarray(24))
    leftAs(send(unknown), 'pass', unknown, family)
  })

  check('only clients in the source ranges', edge => {
    edge.services.set(service(A, { flags: ['OUTSIDE', 'SOURCE_RANGES'] }), family)
    edge.node.datapath.maps.source_ranges.set({ prefix_length: 160, service: 1, address: OUTSIDE[family] }, 1)
    assert.equal(send(udp(asked)).action, 'redirect')
    const other = send(udp({ ...asked, from: OTHER_CLIENT }))
    assert.equal(`${other.action} ${other.reason}`, 'drop NOT_IN_SOURCE_RANGE')
  })

  check('a client keeps its backend', edge => {
    const backends = [A, B, C].map(party => ({ party, port: 8080 }))
    edge.services.set(service(A, { backends, affinitySeconds: 60 }), family)
    const macs = Array.from({ length: 30 }, (_, index) =>
      hex(send(udp({ ...asked, sourcePort: 6000 + index })).frame.subarray(0, 6)),
    )
    assert.equal(new Set(macs).size, 1)
  })

  check('Maglev: a connection in mid-stream finds its backend', edge => {
    const backends = [A, B, C].map(party => ({ party, port: 8080 }))
    const hashed = service(A, { protocol: PROTOCOL.tcp, backends, flags: ['OUTSIDE', 'HASHED'] })
    edge.services.set(hashed, family)
    const chosen = (flags: number) =>
      Array.from({ length: 20 }, (_, index) => {
        const passed = send(tcp({ ...asked, sourcePort: 7000 + index }, flags))
        return passed.action === 'redirect' ? hex(passed.frame.subarray(0, 6)) : assert.fail(passed.action)
      })
    const opened = chosen(SYN)
    assert.ok(new Set(opened).size > 1)
    edge.node.datapath.maps.translations.clear()
    assert.deepEqual(chosen(ACK), opened)
  })

  check('too large for the device that it would leave by: the client is told', () => {
    using narrow = new Edge()
    narrow.reset()
    const large = udp(asked, { payload: ends => udpPayload(ends, asked, new Uint8Array(1350)) })
    for (const [party, device] of [
      [A, A.ifindex],
      [FAR, UPLINK],
    ] as const) {
      narrow.services.set(service(party), family)
      narrow.setMtu(1300, device)
      const passed = narrow.receive(frameOf(large, family))
      assert.equal(`${passed.action} ${passed.reason}`, 'redirect PACKET_TOO_BIG')
      const error = Buffer.from(passed.frame).subarray(transport(family))
      assert.deepEqual([error[0], error[1]], family === 4 ? [3, 4] : [2, 0])
      assert.equal(error.readUInt16BE(6), 1300)
    }
  })

  check('direct return: a datagram that has no room for it', edge => {
    const large = (size: number): Packet =>
      udp(asked, { payload: ends => udpPayload(ends, asked, new Uint8Array(size)) })
    const most = 1500 - (family === 4 ? 28 : 48)
    edge.services.set(service(FAR, { flags: ['OUTSIDE', 'DIRECT_RETURN'] }), family)
    const first = send(large(most))
    assert.equal(first.action, 'redirect')
    assert.notEqual(portOf(first, family), 5000, 'a flow that begins with it comes from the node')

    edge.node.datapath.maps.translations.clear()
    assert.equal(send(large(100)).frame.length, frameOf(large(100), family).length + (family === 4 ? 8 : 24))
    const later = send(large(most))
    assert.equal(later.frame.length, frameOf(large(most), family).length, 'the other node knows the flow by then')
    assert.equal(portOf(later, family), 5000)
  })

  check('direct return: only of frontends that do', edge => {
    const { translations } = edge.node.datapath.maps
    edge.services.set(service(FAR, { flags: ['OUTSIDE', 'DIRECT_RETURN'] }), family)
    const frame = Uint8Array.from([...HOST_MAC, ...send(udp(asked)).frame.subarray(6)])
    edge.reset()
    edge.node.addEndpoint({ ...FAR, ifindex: A.ifindex, id: 20, identity: 1020, policy: A.policy })
    const forged = edge.receive(frame)
    assert.equal(`${forged.action} ${hex(forged.frame)}`, `pass ${hex(frame)}`)
    assert.equal(translations.lookupBatch().length, 0)
    edge.services.set(service(FAR, { flags: ['OUTSIDE'] }), family)
    assert.equal(edge.receive(frame).action, 'pass')
    edge.services.set(service(FAR, { flags: ['OUTSIDE', 'DIRECT_RETURN'] }), family)
    assert.equal(edge.receive(frame).action, 'redirect')
    edge.node.removeEndpoint({ ...FAR, ifindex: A.ifindex, id: 20, identity: 1020, policy: A.policy })
  })

  check('a client that asks two frontends from one port is told apart', edge => {
    edge.services.set(service(A), family)
    edge.services.set(service(A, { port: NODE_PORT + 1, number: 2 }), family)
    const first = send(udp(asked))
    const second = send(udp({ ...asked, destinationPort: NODE_PORT + 1 }))
    assert.deepEqual([first.action, second.action], ['redirect', 'redirect'])
    assert.equal(portOf(first, family), 5000)
    assert.notEqual(portOf(second, family), 5000)
  })
}

test('a port rests as long as there are others', { skip: needsRoot }, () => {
  using small = new Edge({ port_first: 2000, port_count: 16 })
  small.reset()
  small.services.set(service(FAR), 4)
  const ports = Array.from({ length: 16 }, (_, index) => {
    const ended = small.node.datapath.maps.translations
    const port = portOf(small.receive(frameOf(udp({ ...asked, sourcePort: 6000 + index }), 4)), 4)
    ended.clear()
    return port
  })
  assert.equal(new Set(ports).size, 16)
})

/** Some port is asked for by a client; each has an address and a port. */
const clients = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 250 }), fc.integer({ min: 1024, max: 65535 })), {
  minLength: 40,
  maxLength: 200,
  selector: ([host, port]) => `${host} ${port}`,
})

const clientOf = (host: number): Party => ({
  ...OUTSIDE,
  4: Uint8Array.from([...OUTSIDE[4].subarray(0, 15), host]),
  6: Uint8Array.from([...OUTSIDE[6].subarray(0, 15), host]),
})

test('no port is given out twice, and each answer finds its client', { skip: needsRoot }, () => {
  using small = new Edge({ port_first: 2000, port_count: 64 })
  const { translations } = small.node.datapath.maps
  const property = (given: readonly (readonly [number, number])[], family: Family): void => {
    small.reset()
    small.services.set(service(FAR), family)
    const holders = new Map<number, string>()
    for (const [host, port] of given) {
      const from = { ...asked, from: clientOf(host), sourcePort: port }
      const passed = small.receive(frameOf(udp(from), family))
      if (passed.reason === 'NAT_NO_MAPPING') {
        assert.ok(holders.size > 32, `${holders.size} of 64 ports are taken`)
        continue
      }
      assert.equal(passed.action, 'redirect')
      const mapped = portOf(passed, family)
      assert.ok(mapped >= 2000 && mapped < 2064)
      assert.ok(!holders.has(mapped), `port ${mapped} is ${holders.get(mapped)}'s`)
      holders.set(mapped, `${host} ${port}`)
      const answer = small.receive(frameOf(udp(between(FAR, HOST, 8080, mapped)), family))
      const destination = answer.frame.subarray(family === 4 ? 30 : 38, transport(family))
      assert.deepEqual(Buffer.from(destination), Buffer.from(clientOf(host)[family].subarray(family === 4 ? 12 : 0)))
      assert.equal(Buffer.from(answer.frame).readUInt16BE(transport(family) + 2), port)
    }
    // What is over makes room, and only that.
    const entries = translations.lookupBatch()
    const over = new Set([...holders.keys()].filter(port => port % 2 === 0))
    for (const [key, value] of entries)
      if (over.has(wire(key.destination_port)) || over.has(wire(value.target.source_port)))
        translations.set(key, { ...value, expires_ns: 1n })
    for (let port = 60_000; port < 60_100; port++) {
      const passed = small.receive(frameOf(udp({ ...asked, from: clientOf(251), sourcePort: port }), family))
      if (passed.reason === 'NAT_NO_MAPPING') continue
      const mapped = portOf(passed, family)
      assert.ok(over.has(mapped) || !holders.has(mapped), `port ${mapped} was in use`)
      over.delete(mapped)
      holders.set(mapped, `251 ${port}`)
    }
  }
  for (const family of [4, 6] as const)
    fc.assert(
      fc.property(clients, given => property(given, family)),
      { numRuns: 8, endOnFailure: true },
    )
})

const wire = (port: number): number => ((port & 0xff) << 8) | (port >> 8)
