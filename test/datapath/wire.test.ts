// The datapath on real devices: what arrives at the other ends, and what does not.
// Only what a test run cannot show: delivery itself, tags that the device takes off,
// frames shorter than their headers, and what the node's own stack does.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { mac } from '../../src/ip/index.ts'
import { between, type Family, frameOf, type Packet, udp } from './cases.ts'
import { arp, bytes, ETHERTYPE, ethernet, icmp, ip, PROTOCOL } from './frames.ts'
import { A, B, HOST_MAC, needsRoot, OUTSIDE } from './node.ts'
import { WiredNode } from './wire.ts'

let wired: WiredNode
before(() => {
  if (!needsRoot) wired = new WiredNode()
})
after(() => wired?.[Symbol.dispose]())

const local = udp(between(A, B, 1000, 2000))
const hex = (frames: readonly Uint8Array[]): string[] => frames.map(frame => Buffer.from(frame).toString('hex'))
const arrived = (packet: Packet, family: Family, to: Uint8Array): Uint8Array =>
  frameOf({ ...packet, ip: { ...packet.ip, timeToLive: 63 }, ethernet: { source: HOST_MAC, destination: to } }, family)

for (const family of [4, 6] as const) {
  test(`from pod to pod, IPv${family}`, { skip: needsRoot }, async () => {
    wired.node.reset()
    const { at } = await wired.send(A, frameOf(local, family))
    assert.deepEqual(hex(at(B)), hex([arrived(local, family, B.mac)]))
    assert.deepEqual(at(OUTSIDE), [])
  })

  test(`out of the node and in again, through its stack, IPv${family}`, { skip: needsRoot }, async () => {
    wired.node.reset()
    const out = udp(between(A, OUTSIDE, 1000, 2000))
    const there = await wired.send(A, frameOf(out, family))
    assert.deepEqual(hex(there.at(OUTSIDE)), hex([arrived(out, family, OUTSIDE.mac)]))
    const answer = udp(between(OUTSIDE, A, 2000, 1000))
    const back = await wired.send(OUTSIDE, frameOf({ ...answer, ethernet: { destination: HOST_MAC } }, family))
    assert.deepEqual(hex(back.at(A)), hex([arrived(answer, family, A.mac)]))
  })

  test(`from outside, what policy does not allow, IPv${family}`, { skip: needsRoot }, async () => {
    wired.node.reset({ a: [] })
    const packet = udp(between(OUTSIDE, A, 2000, 1000), { ethernet: { destination: HOST_MAC } })
    const { at, dropped } = await wired.send(OUTSIDE, frameOf(packet, family))
    assert.deepEqual(at(A), [])
    assert.deepEqual(dropped, ['POLICY_DENIED'])
  })

  test(`from outside, with a pod’s address, IPv${family}`, { skip: needsRoot }, async () => {
    wired.node.reset()
    const forged = { ...local, hook: 'to_pod' as const, from: { ...B, mac: OUTSIDE.mac }, to: A }
    const { at, dropped } = await wired.send(
      OUTSIDE,
      frameOf({ ...forged, ethernet: { source: OUTSIDE.mac, destination: HOST_MAC } }, family),
    )
    assert.deepEqual(at(A), [])
    assert.deepEqual(dropped, ['INVALID_SOURCE_IP'])
  })

  test(`the last hop is answered by the node’s stack, IPv${family}`, { skip: needsRoot }, async () => {
    wired.node.reset({ a: [{ direction: 'egress', rule: 1 }] })
    const { at } = await wired.send(A, frameOf({ ...local, ip: { timeToLive: 1 } }, family))
    assert.deepEqual(at(B), [])
    const [answer] = at(A).filter(frame => frame[family === 4 ? 23 : 20] === (family === 4 ? 1 : 58))
    assert.equal(answer?.[family === 4 ? 34 : 54], family === 4 ? 11 : 3, 'time exceeded')
  })

  test(`cut short inside the IP header, IPv${family}`, { skip: needsRoot }, async () => {
    wired.node.reset()
    for (let length = 14; length < (family === 4 ? 34 : 54); length++) {
      const { at, dropped } = await wired.send(A, frameOf(local, family).subarray(0, length))
      assert.deepEqual(at(B), [], `${length} bytes`)
      assert.deepEqual(dropped, ['INVALID_PACKET'], `${length} bytes`)
    }
  })

  const tag = (type: number, id: number): Uint8Array => bytes(type >> 8, type & 0xff, id >> 8, id & 0xff)
  const tags: [string, Uint8Array][] = [
    ['a VLAN', tag(ETHERTYPE.vlan, 5)],
    ['priority only', tag(ETHERTYPE.vlan, 0xe000)],
    ['a service VLAN', tag(ETHERTYPE.qinq, 5)],
    ['two', bytes(tag(ETHERTYPE.qinq, 5), tag(ETHERTYPE.vlan, 6))],
    ['two of a kind', bytes(tag(ETHERTYPE.vlan, 5), tag(ETHERTYPE.vlan, 6))],
  ]
  for (const [name, given] of tags)
    test(`tagged: ${name}, IPv${family}`, { skip: needsRoot }, async () => {
      wired.node.reset()
      const plain = frameOf(local, family)
      const { at, dropped } = await wired.send(A, bytes(plain.subarray(0, 12), given, plain.subarray(12)))
      assert.deepEqual([at(A), at(B), at(OUTSIDE)], [[], [], []])
      assert.deepEqual(dropped, ['VLAN_FILTERED'])
    })
}

const request = ethernet(
  { source: A.mac, destination: mac('ff:ff:ff:ff:ff:ff'), type: ETHERTYPE.arp },
  arp({ operation: 1, senderMac: A.mac, senderIp: A[4].subarray(12), targetIp: B[4].subarray(12) }),
)

test('an ARP request is answered where it was asked', { skip: needsRoot }, async () => {
  wired.node.reset()
  const { at } = await wired.send(A, request)
  const answer = ethernet(
    { source: HOST_MAC, destination: A.mac, type: ETHERTYPE.arp },
    arp({
      operation: 2,
      senderMac: HOST_MAC,
      senderIp: B[4].subarray(12),
      targetMac: A.mac,
      targetIp: A[4].subarray(12),
    }),
  )
  assert.deepEqual(hex(at(A)), hex([answer]))
  assert.deepEqual(at(B), [])
})

test('an ARP request in a VLAN is not', { skip: needsRoot }, async () => {
  wired.node.reset()
  const { at, dropped } = await wired.send(A, bytes(request.subarray(0, 12), 0x81, 0, 0, 5, request.subarray(12)))
  assert.deepEqual(at(A), [])
  assert.deepEqual(dropped, ['VLAN_FILTERED'])
})

test('a neighbour solicitation is answered where it was asked', { skip: needsRoot }, async () => {
  wired.node.reset()
  const ends = { source: A[6], destination: B[6] }
  const question = ethernet(
    { source: A.mac, destination: HOST_MAC, type: ETHERTYPE.ipv6 },
    ip(6, { ...ends, timeToLive: 255 }, PROTOCOL.icmpv6, icmp(ends, 135, 0, bytes(0, 0, 0, 0, B[6], 1, 1, A.mac))),
  )
  const { at } = await wired.send(A, question)
  const turned = { source: B[6], destination: A[6] }
  const answer = ethernet(
    { source: HOST_MAC, destination: A.mac, type: ETHERTYPE.ipv6 },
    ip(
      6,
      { ...turned, timeToLive: 255 },
      PROTOCOL.icmpv6,
      icmp(turned, 136, 0, bytes(0x60, 0, 0, 0, B[6], 2, 1, HOST_MAC)),
    ),
  )
  assert.deepEqual(hex(at(A)), hex([answer]))
})

test('a source route leads nowhere, even where the node would follow it', { skip: needsRoot }, async () => {
  wired.node.reset()
  const options = bytes(131, 7, 4, OUTSIDE[4].subarray(12), 1)
  const { at, dropped } = await wired.send(A, frameOf({ ...udp(between(A, B, 1, 2)), ip: { options } }, 4))
  assert.deepEqual([at(B), at(OUTSIDE)], [[], []])
  assert.deepEqual(dropped, ['INVALID_PACKET'])
})
