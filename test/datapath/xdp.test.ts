// The driver's program: what goes on to another node, and its answers, leaves at the
// driver as it would leave the device program; everything else passes untouched, and the
// device program goes on with what was chosen here.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { back, between, frameOf, icmpError, type Packet, tcp, udp } from './cases.ts'
import { type Edge, edgeForTests, FAR, NEXT } from './edge.ts'
import { ACK, PROTOCOL, SYN } from './frames.ts'
import { A, HOST, HOST_MAC, needsRoot, OUTSIDE, type Party } from './node.ts'
import { SERVICE, type Service } from './services.ts'

const edge = edgeForTests()
const asked = between(OUTSIDE, HOST, 5000, 30080)
const service = (party: Party, protocol: number, change: Partial<Service> = {}): Service => ({
  frontend: HOST,
  port: 30080,
  protocol,
  backends: [{ party, port: 8080 }],
  flags: ['OUTSIDE'],
  ...change,
})
const hex = (frame: Uint8Array): string => Buffer.from(frame).toString('hex')
const hop = (packet: Packet, destination: Uint8Array): Packet => ({
  ...packet,
  ip: { ...packet.ip, timeToLive: 63 },
  ethernet: { source: HOST_MAC, destination },
})
const kinds = [
  {
    name: 'TCP',
    protocol: PROTOCOL.tcp,
    build: (ends: typeof asked) => tcp(ends, SYN),
    later: (ends: typeof asked) => tcp(ends, ACK),
  },
  {
    name: 'UDP',
    protocol: PROTOCOL.udp,
    build: (ends: typeof asked) => udp(ends),
    later: (ends: typeof asked) => udp(ends),
  },
] as const

for (const family of [4, 6] as const) {
  const check = (name: string, run: (edge: Edge) => void): void =>
    void test(`${name}, IPv${family}`, { skip: needsRoot }, () => {
      edge().reset()
      run(edge())
    })
  const transport = family === 4 ? 34 : 54

  for (const { name, protocol, build, later } of kinds) {
    check(`${name} to another node and back`, edge => {
      edge.services.set(service(FAR, protocol), family)
      const there = edge.atDriver(frameOf(build(asked), family))
      const port = Buffer.from(there.frame).readUInt16BE(transport)
      assert.equal(there.action, 'sent back')
      assert.equal(hex(there.frame), hex(frameOf(hop(build(between(HOST, FAR, port, 8080)), NEXT.mac), family)))
      const next = edge.receive(frameOf(later(asked), family))
      assert.equal(next.action, 'redirect', 'the device program knows the connection')
      assert.equal(Buffer.from(next.frame).readUInt16BE(transport), port)
      const answer = edge.atDriver(frameOf(build(between(FAR, HOST, 8080, port)), family))
      assert.equal(answer.action, 'sent back')
      assert.equal(hex(answer.frame), hex(frameOf(hop(build(back(asked)), OUTSIDE.mac), family)))
    })

    check(`${name} by direct return: as the device program sends it`, edge => {
      edge.services.set(service(FAR, protocol, { flags: ['OUTSIDE', 'DIRECT_RETURN'] }), family)
      const frame = frameOf(build(asked), family)
      const atDriver = edge.atDriver(frame)
      const atDevice = edge.receive(frame)
      assert.equal(atDriver.action, 'sent back')
      assert.equal(hex(atDriver.frame.subarray(14)), hex(atDevice.frame.subarray(14)))
      const rest = edge.atDriver(frameOf(later(asked), family))
      if (name === 'TCP')
        assert.equal(hex(rest.frame), hex(frameOf(hop(later(between(OUTSIDE, FAR, 5000, 8080)), NEXT.mac), family)))
    })

    check(`${name} to a pod of this node is chosen once`, edge => {
      const backends = [
        { party: A, port: 8080 },
        { party: A, port: 8081 },
        { party: A, port: 8082 },
      ]
      edge.services.set(service(A, protocol, { backends }), family)
      const frame = frameOf(build(asked), family)
      const passed = edge.atDriver(frame)
      assert.equal(`${passed.action} ${hex(passed.frame)}`, `pass ${hex(frame)}`)
      const entries = () => edge.node.datapath.maps.translations.lookupBatch().length
      assert.equal(entries(), 2)
      assert.equal(edge.receive(frame).action, 'redirect')
      assert.equal(entries(), 2, 'the device program takes what was chosen at the driver')
    })
  }

  check('everything else passes as it came', edge => {
    edge.services.set(service(FAR, PROTOCOL.udp), family)
    edge.services.set(service(A, PROTOCOL.tcp, { backends: [] }), family)
    edge.services.set(service(A, PROTOCOL.udp, { frontend: SERVICE, flags: [] }), family)
    const packets: Packet[] = [
      tcp(between(OUTSIDE, HOST, 1, 22), SYN),
      tcp(asked, SYN),
      udp(between(OUTSIDE, SERVICE, 1, 30080)),
      udp(asked, { ip: { timeToLive: 1 } }),
      udp(asked, { ip: { fragment: { id: 1, offset: 0, more: true } } }),
      udp(asked, { ip: { length: 21 } }),
      icmpError(OUTSIDE, HOST, udp(back(asked))),
    ]
    for (const packet of packets) {
      const frame = frameOf(packet, family)
      const passed = edge.atDriver(frame)
      assert.equal(`${passed.action} ${hex(passed.frame)}`, `pass ${hex(frame)}`)
    }
  })
}
