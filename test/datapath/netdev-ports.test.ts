// A client outside has one port, and two connections to one backend of this node: by a
// service and straight to it. At the backend they are never one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { between, type Conversation, type Family, frameOf, type Packet, sentOf, tcp, udp } from './cases.ts'
import { type Edge, edgeForTests, FAR, type Passed } from './edge.ts'
import { ACK, PROTOCOL, RST, SYN } from './frames.ts'
import { A, HOST, HOST_MAC, needsRoot, OUTSIDE, type Party } from './node.ts'

const edge = edgeForTests()
const NODE_PORT = 30080
const CLIENT_PORT = 5000
const asked = between(OUTSIDE, HOST, CLIENT_PORT, NODE_PORT)

const KINDS = [
  {
    name: 'TCP',
    protocol: PROTOCOL.tcp,
    first: (ends: Conversation) => tcp(ends, SYN),
    next: (e: Conversation) => tcp(e, ACK),
  },
  { name: 'UDP', protocol: PROTOCOL.udp, first: udp, next: udp },
] as const

/** [from, to] as the frame has them: only ports differ between the connections of a test. */
function ports({ frame }: { readonly frame: Uint8Array }, family: Family): readonly [number, number] {
  const at = family === 4 ? 34 : 54
  return [Buffer.from(frame).readUInt16BE(at), Buffer.from(frame).readUInt16BE(at + 2)]
}

/** As the node's device receives it. */
const toNode = (packet: Packet, family: Family): Uint8Array =>
  frameOf({ ...packet, ethernet: { destination: HOST_MAC } }, family)
const receive = (node: Edge, packet: Packet, family: Family): Passed => node.receive(toNode(packet, family))

/** As the pod program gets it, at the pod's device. */
const intoPod = (passed: Passed) =>
  ({ hook: 'to_pod', frame: passed.frame, ifindex: A.ifindex, ingressIfindex: 100 }) as const

for (const family of [4, 6] as const)
  for (const { name, protocol, first, next } of KINDS) {
    const check = (what: string, run: (edge: Edge) => void): void =>
      void test(`${name}: ${what}, IPv${family}`, { skip: needsRoot }, () => {
        edge().reset()
        run(edge())
      })
    const service = (party: Party = A) =>
      ({ frontend: HOST, port: NODE_PORT, protocol, backends: [{ party, port: 8080 }], flags: ['OUTSIDE'] }) as const
    /** What the client gets of what the pod sends. */
    const answered = (node: Edge, packet: Packet) => node.node.run(sentOf(packet, family))
    const toPod = between(OUTSIDE, A, CLIENT_PORT, 8080)

    check('straight to a pod while a connection by the service lives', edge => {
      edge.services.set(service(), family)
      const served = receive(edge, first(asked), family)
      assert.deepEqual(ports(served, family), [CLIENT_PORT, 8080])
      edge.node.run(intoPod(served))
      const straight = receive(edge, first(toPod), family)
      const [port] = ports(straight, family)
      assert.equal(straight.action, 'redirect')
      assert.notEqual(port, CLIENT_PORT)
      assert.equal(
        Buffer.from(straight.frame).toString('hex'),
        Buffer.from(
          frameOf(
            {
              ...first({ ...toPod, sourcePort: port }),
              ip: { timeToLive: 63 },
              ethernet: { source: HOST_MAC, destination: A.mac },
            },
            family,
          ),
        ).toString('hex'),
        'with valid checksums',
      )
      edge.node.run(intoPod(straight))
      assert.deepEqual(ports(answered(edge, next(between(A, OUTSIDE, 8080, port))), family), [8080, CLIENT_PORT])
      assert.deepEqual(ports(answered(edge, next(between(A, OUTSIDE, 8080, CLIENT_PORT))), family), [
        NODE_PORT,
        CLIENT_PORT,
      ])
      assert.deepEqual(ports(receive(edge, next(toPod), family), family), [port, 8080])
      const more = receive(edge, next(asked), family)
      assert.deepEqual(ports(more, family), [CLIENT_PORT, 8080])
      assert.deepEqual(ports(edge.node.run(intoPod(more)), family), [CLIENT_PORT, 8080], 'it is not translated again')
    })

    check('by the service while a connection straight to the pod lives', edge => {
      edge.services.set(service(), family)
      const straight = receive(edge, first(toPod), family)
      assert.equal(straight.action, 'pass')
      edge.node.run(intoPod(straight))
      const [port] = ports(receive(edge, first(asked), family), family)
      assert.notEqual(port, CLIENT_PORT)
      assert.deepEqual(ports(answered(edge, next(between(A, OUTSIDE, 8080, port))), family), [NODE_PORT, CLIENT_PORT])
      assert.deepEqual(ports(answered(edge, next(between(A, OUTSIDE, 8080, CLIENT_PORT))), family), [8080, CLIENT_PORT])
    })

    check('straight to a process of the node while a connection by the service lives', edge => {
      edge.services.set(service(HOST), family)
      receive(edge, first(asked), family)
      const straight = receive(edge, first(between(OUTSIDE, HOST, CLIENT_PORT, 8080)), family)
      const [port] = ports(straight, family)
      assert.equal(straight.action, 'pass')
      assert.notEqual(port, CLIENT_PORT)
      const leave = (to: number) => ports(edge.leave(frameOf(next(between(HOST, OUTSIDE, 8080, to)), family)), family)
      assert.deepEqual(leave(port), [8080, CLIENT_PORT])
      assert.deepEqual(leave(CLIENT_PORT), [NODE_PORT, CLIENT_PORT])
    })

    check('at the driver first: the device program goes on with the port that it chose', edge => {
      edge.services.set(service(), family)
      receive(edge, first(asked), family)
      const frame = toNode(first(toPod), family)
      assert.equal(edge.atDriver(frame).action, 'pass')
      const [[, chosen] = assert.fail()] = edge.node.datapath.maps.translations
        .lookupBatch()
        .filter(([{ destination_port }, { flags }]) => destination_port === 8080 && (flags & 8) !== 0)
      assert.deepEqual(ports(edge.receive(frame), family), [chosen.target.source_port, 8080])
    })

    check('a node elsewhere that answers directly: what its router sends on keeps its port', edge => {
      edge.services.set({ ...service(FAR), flags: ['OUTSIDE', 'DIRECT_RETURN'] }, family)
      receive(edge, first(asked), family)
      const straight = receive(edge, first(between(OUTSIDE, FAR, CLIENT_PORT, 8080)), family)
      assert.deepEqual(ports(straight, family), [CLIENT_PORT, 8080])
    })
  }

for (const family of [4, 6] as const) {
  test(`TCP: straight to a pod after a reset, IPv${family}`, { skip: needsRoot }, () => {
    edge().reset()
    const { services, node } = edge()
    const flags = ['OUTSIDE'] as const
    services.set(
      { frontend: HOST, port: NODE_PORT, protocol: PROTOCOL.tcp, backends: [{ party: A, port: 8080 }], flags },
      family,
    )
    for (const sent of [SYN, RST]) node.run(intoPod(receive(edge(), tcp(asked, sent), family)))
    const straight = receive(edge(), tcp(between(OUTSIDE, A, CLIENT_PORT, 8080), SYN), family)
    assert.equal(straight.action, 'pass')
    assert.deepEqual(ports(straight, family), [CLIENT_PORT, 8080])
    node.run(intoPod(straight))
    const answer = node.run(sentOf(tcp(between(A, OUTSIDE, 8080, CLIENT_PORT), SYN | ACK), family))
    assert.deepEqual(ports(answer, family), [8080, CLIENT_PORT])
    assert.equal(node.datapath.maps.translations.lookupBatch().length, 0, 'both entries are forgotten')
  })

  test(`TCP: straight to a pod again, after both have ended, IPv${family}`, { skip: needsRoot }, () => {
    edge().reset()
    const { services } = edge()
    const flags = ['OUTSIDE'] as const
    services.set(
      { frontend: HOST, port: NODE_PORT, protocol: PROTOCOL.tcp, backends: [{ party: A, port: 8080 }], flags },
      family,
    )
    const received = (ends: Conversation, sent: number) => ports(receive(edge(), tcp(ends, sent), family), family)
    const toPod = between(OUTSIDE, A, CLIENT_PORT, 8080)
    received(asked, SYN)
    assert.notEqual(received(toPod, SYN)[0], CLIENT_PORT)
    received(toPod, RST)
    received(asked, RST)
    assert.deepEqual(received(toPod, SYN), [CLIENT_PORT, 8080])
    assert.deepEqual(received(toPod, ACK), [CLIENT_PORT, 8080], 'what follows has the same')
  })

  test(`a datagram of a directly returned flow that does not say so keeps its port, IPv${family}`, {
    skip: needsRoot,
  }, () => {
    edge().reset()
    const { services, node } = edge()
    const far = { ...FAR, ifindex: A.ifindex, id: 20, identity: 1020, policy: A.policy }
    services.set(
      { frontend: HOST, port: NODE_PORT, backends: [{ party: FAR, port: 8080 }], flags: ['OUTSIDE', 'DIRECT_RETURN'] },
      family,
    )
    const sent = receive(edge(), udp(asked), family)
    node.datapath.maps.translations.clear()
    node.addEndpoint(far)
    edge().receive(Uint8Array.from([...HOST_MAC, ...sent.frame.subarray(6)]))
    assert.equal(node.datapath.maps.translations.lookupBatch().length, 1)
    const plain = receive(edge(), udp(between(OUTSIDE, FAR, CLIENT_PORT, 8080)), family)
    assert.deepEqual(ports(plain, family), [CLIENT_PORT, 8080])
    node.removeEndpoint(far)
  })
}
