// What backends elsewhere answer a pod of this node: it comes in where outside clients
// do, and is for the pod program to translate. Policy knows the connection by the
// backend, and would take an answer that is translated already for a stranger's packet.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { between, frameOf, icmpError, type Packet, sentOf, tcp, udp } from './cases.ts'
import { edgeForTests, FAR } from './edge.ts'
import { ACK, PROTOCOL, SYN } from './frames.ts'
import { A, HOST, needsRoot, ROUTER } from './node.ts'
import { hex } from './service-exchange.ts'
import { SERVICE } from './services.ts'

const edge = edgeForTests()
const asked = between(A, SERVICE, 40000, 53)
const answer = between(FAR, A, 5353, 40000)
const dns = { frontend: SERVICE, port: 53, backends: [{ party: FAR, port: 5353 }] }

for (const family of [4, 6] as const) {
  const passes = (packet: Packet): void => {
    const frame = frameOf({ ...packet, ethernet: { source: FAR.mac, destination: HOST.mac } }, family)
    const passed = edge().receive(frame)
    assert.equal(`${passed.action} ${passed.reason}`, 'pass undefined')
    assert.equal(hex(passed.frame), hex(frame))
    const atDriver = edge().atDriver(frame)
    assert.equal(atDriver.action, 'pass')
    assert.equal(hex(atDriver.frame), hex(frame))
  }

  test(`a datagram that answers a pod is left to the pod program, IPv${family}`, { skip: needsRoot }, () => {
    edge().reset()
    edge().services.set(dns, family)
    edge().node.send(sentOf(udp(asked), family))
    passes(udp(answer))
    passes(icmpError(FAR, A, udp(between(A, FAR, 40000, 5353))))
    passes(icmpError(ROUTER, A, udp(between(A, FAR, 40000, 5353))))
  })

  test(`a segment that answers a pod is left to the pod program, IPv${family}`, { skip: needsRoot }, () => {
    edge().reset()
    edge().services.set({ ...dns, protocol: PROTOCOL.tcp }, family)
    edge().node.send(sentOf(tcp(asked, SYN), family))
    passes(tcp(answer, SYN | ACK))
  })
}
