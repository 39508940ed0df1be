// Clients outside of the node ask for services: what the device program makes of each
// packet, and of the answer, byte by byte.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { between, type Family, frameOf, type Packet, sctp, tcp, udp } from './cases.ts'
import { type Edge, edgeForTests, FAR, type Passed } from './edge.ts'
import { ACK, PROTOCOL, padding, RST, SYN } from './frames.ts'
import { A, HOST, HOST_MAC, needsRoot, OUTSIDE, type Party } from './node.ts'
import { SERVICE, type Service } from './services.ts'

const edge = edgeForTests()
const FAMILIES = [4, 6] as const
const NODE_PORT = 30080
const CLIENT_PORT = 5000
const NOBODY = new Uint8Array(6)

const nodePort = (party: Party, change: Partial<Service> = {}): Service => ({
  frontend: HOST,
  port: NODE_PORT,
  protocol: PROTOCOL.tcp,
  backends: [{ party, port: 8080 }],
  flags: ['OUTSIDE'],
  ...change,
})

const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex')

function leftAs(passed: Passed, action: Passed['action'], packet: Packet, family: Family): void {
  assert.equal(`${passed.action} ${passed.reason}`, `${action} undefined`)
  assert.equal(hex(passed.frame), hex(frameOf(packet, family)))
}

/** As a router sends it on: the next hop's MACs are filled in when it leaves. */
const forwarded = (
  packet: Packet,
  macs: NonNullable<Packet['ethernet']> = { source: NOBODY, destination: NOBODY },
): Packet => ({
  ...packet,
  ip: { timeToLive: 63, ...packet.ip },
  ethernet: macs,
})

/** As the next node's device receives it. */
const arriving = (frame: Uint8Array): Uint8Array => Uint8Array.from([...HOST_MAC, ...frame.subarray(6)])

const asked = between(OUTSIDE, HOST, CLIENT_PORT, NODE_PORT)
const toClient: NonNullable<Packet['ethernet']> = { source: HOST_MAC, destination: OUTSIDE.mac }

/** The port that the node's own address was given for a connection to a backend elsewhere. */
function portOf({ frame }: Passed, family: Family): number {
  return Buffer.from(frame).readUInt16BE(family === 4 ? 34 : 54)
}

for (const family of FAMILIES) {
  const check = (name: string, run: (edge: Edge) => void): void =>
    void test(`${name}, IPv${family}`, { skip: needsRoot }, () => {
      edge().reset()
      run(edge())
    })

  for (const [name, build, protocol] of [
    ['TCP', (c: ReturnType<typeof between>) => tcp(c, SYN), PROTOCOL.tcp],
    ['UDP', (c: ReturnType<typeof between>) => udp(c), PROTOCOL.udp],
    ['SCTP', (c: ReturnType<typeof between>) => sctp(c), PROTOCOL.sctp],
  ] as const) {
    check(`${name} to a pod of this node: the client keeps its address`, edge => {
      edge.services.set(nodePort(A, { protocol }), family)
      const there = edge.receive(frameOf(build(asked), family))
      const got = build(between(OUTSIDE, A, CLIENT_PORT, 8080))
      leftAs(there, 'redirect', forwarded(got, { source: HOST_MAC, destination: A.mac }), family)
    })

    check(`${name} to a process of the node, and its answer`, edge => {
      edge.services.set(nodePort(HOST, { protocol }), family)
      const there = edge.receive(frameOf(build(asked), family))
      leftAs(there, 'pass', build(between(OUTSIDE, HOST, CLIENT_PORT, 8080)), family)
      const answer = { ...build(between(HOST, OUTSIDE, 8080, CLIENT_PORT)), ethernet: toClient }
      const back = { ...build(between(HOST, OUTSIDE, NODE_PORT, CLIENT_PORT)), ethernet: toClient }
      leftAs(edge.leave(frameOf(answer, family)), 'pass', back, family)
    })

    check(`${name} to a pod of another node, and its answer`, edge => {
      edge.services.set(nodePort(FAR, { protocol }), family)
      const there = edge.receive(frameOf(build(asked), family))
      const port = portOf(there, family)
      assert.ok(port >= 1024 && port < 30000, `${port}`)
      leftAs(there, 'redirect', forwarded(build(between(HOST, FAR, port, 8080))), family)
      const again = edge.receive(frameOf(build(asked), family))
      assert.equal(hex(again.frame), hex(there.frame), 'the next packet goes the same way')
      const back = edge.receive(frameOf(build(between(FAR, HOST, 8080, port)), family))
      leftAs(back, 'redirect', forwarded(build(between(HOST, OUTSIDE, NODE_PORT, CLIENT_PORT))), family)
    })
  }

  check('a SYN to what is no service any more, of a connection that is over, leaves its answers alone', edge => {
    edge.services.set(nodePort(HOST), family)
    edge.receive(frameOf(tcp(asked, SYN), family))
    edge.receive(frameOf(tcp(asked, RST), family))
    edge.services.remove(nodePort(HOST), family)
    leftAs(edge.receive(frameOf(tcp(asked, SYN), family)), 'pass', tcp(asked, SYN), family)
    const answer = { ...tcp(between(HOST, OUTSIDE, 8080, CLIENT_PORT), ACK), ethernet: toClient }
    const back = { ...tcp(between(HOST, OUTSIDE, NODE_PORT, CLIENT_PORT), ACK), ethernet: toClient }
    leftAs(edge.leave(frameOf(answer, family)), 'pass', back, family)
  })

  check('what is no service passes untouched', edge => {
    edge.services.set(nodePort(A), family)
    for (const packet of [
      tcp(between(OUTSIDE, HOST, CLIENT_PORT, 22), SYN),
      udp(asked),
      tcp(between(OUTSIDE, A, CLIENT_PORT, 8080), SYN),
    ]) {
      leftAs(edge.receive(frameOf(packet, family)), 'pass', packet, family)
      leftAs(edge.leave(frameOf(packet, family)), 'pass', packet, family)
    }
    const broken = frameOf(tcp(asked, SYN, { ip: { length: 21 } }), family)
    assert.equal(edge.receive(broken).action, 'pass', 'the stack judges what is broken')
  })

  check('a ClusterIP is not there for outside', edge => {
    edge.services.set(nodePort(A, { frontend: SERVICE, flags: [] }), family)
    const passed = edge.receive(frameOf(tcp(between(OUTSIDE, SERVICE, 1, NODE_PORT), SYN), family))
    assert.equal(`${passed.action} ${passed.reason}`, 'drop IS_CLUSTER_IP')
    assert.equal(passed.event?.service, 1)
  })

  check('what is for the MAC of another is left alone', edge => {
    edge.services.set(nodePort(FAR), family)
    const packet = { ...tcp(asked, SYN), ethernet: { destination: A.mac } }
    leftAs(edge.receive(frameOf(packet, family)), 'pass', packet, family)
    assert.equal(edge.node.datapath.maps.translations.lookupBatch().length, 0)
  })

  check('direct return to a process of the other node, and its answer', edge => {
    const direct = nodePort(FAR, { flags: ['OUTSIDE', 'DIRECT_RETURN'] })
    edge.services.set(direct, family)
    const sent = edge.receive(frameOf(tcp(asked, SYN), family))
    edge.node.datapath.maps.translations.clear()
    const prefix = family === 4 ? '10.244.1.20/32' : 'fd00:10:244:1::20/128'
    edge.node.setIpcache(prefix, 1, true)
    const plain = tcp(between(OUTSIDE, FAR, CLIENT_PORT, 8080), SYN)
    leftAs(
      edge.receive(arriving(sent.frame)),
      'pass',
      forwarded(plain, { source: NOBODY, destination: HOST_MAC }),
      family,
    )
    const answer = { ...tcp(between(FAR, OUTSIDE, 8080, CLIENT_PORT), ACK), ethernet: toClient }
    const back = { ...tcp(between(HOST, OUTSIDE, NODE_PORT, CLIENT_PORT), ACK), ethernet: toClient }
    leftAs(edge.leave(frameOf(answer, family)), 'pass', back, family)
  })

  check('direct return: not beside other options', edge => {
    edge.services.set(nodePort(FAR, { flags: ['OUTSIDE', 'DIRECT_RETURN'] }), family)
    const full = family === 4 ? { options: new Uint8Array(40).fill(1) } : { extensions: [padding(0)] }
    const sent = edge.receive(frameOf(tcp(asked, SYN, { ip: full }), family))
    assert.equal(sent.action, 'redirect')
    assert.equal(sent.frame.length, frameOf(tcp(asked, SYN, { ip: full }), family).length)
    assert.deepEqual(
      [...edge.node.datapath.maps.translations.lookupBatch()].map(([, { flags }]) => flags & 2),
      [2, 2],
    )
  })

  check('nobody there: a reset, or nothing', edge => {
    edge.services.set(nodePort(A, { backends: [] }), family)
    const refused = edge.receive(frameOf(tcp(asked, SYN), family))
    assert.equal(`${refused.action} ${refused.reason}`, 'redirect NO_SERVICE')
    const reset = Buffer.from(refused.frame)
    assert.equal((reset.at(family === 4 ? 47 : 67) ?? 0) & RST, RST)
    assert.equal(reset.readUInt16BE(family === 4 ? 36 : 56), CLIENT_PORT)
    edge.services.set(nodePort(A, { backends: [], without: 'DROP' }), family)
    const silent = edge.receive(frameOf(tcp(asked, SYN), family))
    assert.equal(`${silent.action} ${silent.reason}`, 'drop NO_SERVICE')
  })

  check('in mid-stream, of a connection that somebody else translated', edge => {
    edge.services.set(nodePort(A), family)
    const packet = tcp(asked, ACK)
    leftAs(edge.receive(frameOf(packet, family)), 'pass', packet, family)
  })

  check('the last hop: the client is told', edge => {
    edge.services.set(nodePort(FAR), family)
    const passed = edge.receive(frameOf(tcp(asked, SYN, { ip: { timeToLive: 1 } }), family))
    assert.equal(`${passed.action} ${passed.reason}`, 'redirect TTL_EXCEEDED')
    assert.equal(passed.frame.at(family === 4 ? 34 : 54), family === 4 ? 11 : 3)
  })

  check('a backend that is gone: an open connection stays, a new one goes elsewhere', edge => {
    edge.services.set(nodePort(FAR), family)
    const first = edge.receive(frameOf(tcp(asked, SYN), family))
    edge.services.removeBackend({ party: FAR, port: 8080 }, family, PROTOCOL.tcp)
    edge.services.set(nodePort(A), family)
    const next = edge.receive(frameOf(tcp(asked, ACK), family))
    leftAs(next, 'redirect', forwarded(tcp(between(HOST, FAR, portOf(first, family), 8080), ACK)), family)
    const fresh = edge.receive(frameOf(tcp(between(OUTSIDE, HOST, CLIENT_PORT + 1, NODE_PORT), SYN), family))
    const got = tcp(between(OUTSIDE, A, CLIENT_PORT + 1, 8080), SYN)
    leftAs(fresh, 'redirect', forwarded(got, { source: HOST_MAC, destination: A.mac }), family)
  })

  check('direct return: of a reserved port only where its service answers directly', edge => {
    const { frontends, translations } = edge.node.datapath.maps
    const { RESERVATION, DIRECT_RETURN } = edge.node.datapath.schema.frontendFlags.number
    edge.services.set(nodePort(FAR, { flags: ['OUTSIDE', 'DIRECT_RETURN'] }), family)
    const sent = edge.receive(frameOf(tcp(asked, SYN), family))
    edge.node.addEndpoint({ ...FAR, ifindex: A.ifindex, id: 20, identity: 1020, policy: A.policy })
    // At the other node the address is a stranger's; only the port is known there.
    frontends.clear()
    for (const [flags, entries] of [
      [RESERVATION, 0],
      [RESERVATION | DIRECT_RETURN, 1],
    ] as const) {
      translations.clear()
      const none = { first: 0, count: 0 }
      frontends.set(
        { address: { bytes: new Uint8Array(16) }, port: NODE_PORT, protocol: PROTOCOL.tcp },
        { backends: [none, none], service: 1, affinity_seconds: 0, without: Uint8Array.of(0, 0), flags },
      )
      edge.receive(arriving(sent.frame))
      assert.equal(translations.lookupBatch().length, entries)
    }
    edge.node.removeEndpoint({ ...FAR, ifindex: A.ifindex, id: 20, identity: 1020, policy: A.policy })
  })

  check('direct return: the option is put in, and taken out at the other node', edge => {
    edge.services.set(nodePort(FAR, { flags: ['OUTSIDE', 'DIRECT_RETURN'] }), family)
    const sent = edge.receive(frameOf(tcp(asked, SYN), family))
    assert.equal(sent.action, 'redirect')
    const plain = frameOf(forwarded(tcp(between(OUTSIDE, FAR, CLIENT_PORT, 8080), SYN)), family)
    assert.equal(sent.frame.length, plain.length + (family === 4 ? 8 : 24))
    const next = edge.receive(frameOf(tcp(asked, ACK), family))
    const rest = forwarded(tcp(between(OUTSIDE, FAR, CLIENT_PORT, 8080), ACK))
    leftAs(next, 'redirect', rest, family)

    // The other node: the same program, where the pod is.
    edge.node.datapath.maps.translations.clear()
    edge.node.addEndpoint({ ...FAR, ifindex: A.ifindex, id: 20, identity: 1020, policy: A.policy })
    const taken = edge.receive(arriving(sent.frame))
    const arrived = tcp(between(OUTSIDE, FAR, CLIENT_PORT, 8080), SYN)
    const macs = { source: HOST_MAC, destination: FAR.mac }
    leftAs(taken, 'redirect', { ...forwarded(arrived, macs), ip: { timeToLive: 62 } }, family)
    const known = edge.node.datapath.maps.translations.lookupBatch()
    assert.equal(known.length, 1)
    const [[from, to] = assert.fail()] = known
    assert.deepEqual(Buffer.from(from.source.bytes), Buffer.from(FAR[family]))
    assert.deepEqual(Buffer.from(to.target.source.bytes), Buffer.from(HOST[family]))
    edge.node.removeEndpoint({ ...FAR, ifindex: A.ifindex, id: 20, identity: 1020, policy: A.policy })
  })
}
