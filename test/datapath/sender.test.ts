// Who may send what: addresses and MAC addresses that are not the pod's, frames that
// are not for the node, tags, ethertypes, and addresses that went to another pod.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ip, mac } from '../../src/ip/index.ts'
import { between, type Case, frameOf, runStep, sentOf, tcp, testCases, udp } from './cases.ts'
import { bytes, ETHERTYPE, SYN } from './frames.ts'
import { A, B, HOST, HOST_MAC, needsRoot, nodeForTests, OUTSIDE, type Party, type Sent, UPLINK } from './node.ts'

const node = nodeForTests()
const sent = between(A, B, 40000, 80)
const GROUP: Party = {
  name: 'everybody',
  4: ip('224.0.0.251').bytes,
  6: ip('ff02::fb').bytes,
  mac: mac('01:00:5e:00:00:fb'),
}
const ALL: Party = { ...GROUP, 4: ip('255.255.255.255').bytes, 6: ip('ff05::1').bytes, mac: mac('ff:ff:ff:ff:ff:ff') }
/** What the world is when a policy names all of it. */
const ALL_BLOCK = 0x0100_0001
const as = (party: Party, address: Partial<Party>): Party => ({ ...party, ...address })

const cases: Case[] = [
  {
    name: 'an address that is not the pod’s',
    steps: [
      {
        send: udp(between(as(A, B), B, 1, 2), { at: A.ifindex, ethernet: { source: A.mac } }),
        want: 'drop INVALID_SOURCE_IP',
      },
      { send: udp(between(as(A, OUTSIDE), B, 1, 2), { ethernet: { source: A.mac } }), want: 'drop INVALID_SOURCE_IP' },
      { send: udp(between(as(A, HOST), B, 1, 2), { ethernet: { source: A.mac } }), want: 'drop INVALID_SOURCE_IP' },
      { send: udp(sent, { at: B.ifindex }), want: 'drop INVALID_SOURCE_IP' },
    ],
  },
  {
    name: 'link-local, unspecified, loopback and group addresses are no pod’s',
    steps: [
      ['169.254.1.1', 'fe80::1'],
      ['0.0.0.0', '::'],
      ['127.0.0.1', '::1'],
      ['224.0.0.1', 'ff02::1'],
    ].map(([four = '', six = '']) => ({
      send: udp(between(as(A, { 4: ip(four).bytes, 6: ip(six).bytes }), B, 1, 2)),
      want: 'drop INVALID_SOURCE_IP',
    })),
  },
  {
    name: 'link-local to link-local: only discovery passes',
    families: [6],
    steps: [
      {
        send: tcp(between(as(A, { 6: ip('fe80::a').bytes }), as(HOST, { 6: ip('fe80::1').bytes }), 40000, 10250), SYN),
        want: 'drop INVALID_SOURCE_IP',
      },
      {
        send: udp(between(as(A, { 6: ip('fe80::a').bytes }), as(GROUP, { 6: ip('ff02::1').bytes }), 1, 2)),
        want: 'drop INVALID_SOURCE_IP',
      },
    ],
  },
  {
    name: 'a MAC address that is not the pod’s',
    steps: [
      { send: udp(sent, { ethernet: { source: B.mac } }), want: 'drop INVALID_SOURCE_MAC' },
      { send: udp(sent, { ethernet: { source: HOST_MAC } }), want: 'drop INVALID_SOURCE_MAC' },
    ],
  },
  {
    name: 'each byte of both MAC addresses counts',
    steps: [0, 1, 2, 3, 4, 5].flatMap(index => [
      {
        send: udp(sent, { ethernet: { source: A.mac.map((byte, at) => (at === index ? byte ^ 0x10 : byte)) } }),
        want: 'drop INVALID_SOURCE_MAC' as const,
      },
      {
        send: udp(sent, { ethernet: { destination: HOST_MAC.map((byte, at) => (at === index ? byte ^ 0x10 : byte)) } }),
        want: 'drop INVALID_DESTINATION_MAC' as const,
      },
    ]),
  },
  {
    name: 'a frame that is not for the node',
    steps: [
      { send: udp(sent, { ethernet: { destination: B.mac } }), want: 'drop INVALID_DESTINATION_MAC' },
      { send: udp(sent, { ethernet: { destination: ALL.mac } }), want: 'drop INVALID_DESTINATION_MAC' },
      { send: udp(sent, { ethernet: { destination: GROUP.mac } }), want: 'drop INVALID_DESTINATION_MAC' },
    ],
  },
  {
    name: 'to a group: by its MAC address or by the node’s, as any egress',
    steps: [
      { send: udp(between(A, GROUP, 5353, 5353), { ethernet: { destination: GROUP.mac } }), want: 'to stack' },
      { send: udp(between(A, GROUP, 5353, 5353)), want: 'to stack' },
      { send: udp(between(A, ALL, 68, 67), { ethernet: { destination: ALL.mac } }), want: 'to stack' },
    ],
  },
  {
    name: 'to a group: egress policy holds',
    policy: { a: [] },
    steps: [
      {
        send: udp(between(A, GROUP, 5353, 5353), { ethernet: { destination: GROUP.mac } }),
        want: 'drop POLICY_DENIED',
      },
    ],
  },
  {
    name: 'an address that went to another pod: the old one neither sends nor receives',
    steps: [
      { send: udp(sent), want: 'to pod' },
      {
        first: node => node.addEndpoint(A, { ifindex: B.ifindex }),
        send: udp(sent),
        want: 'drop INVALID_SOURCE_IP',
      },
      { send: udp(between(OUTSIDE, A, 1, 2)), want: 'drop STALE_IP' },
      { send: udp(between(HOST, A, 1, 2)), want: 'drop STALE_IP' },
    ],
  },
  {
    name: 'a pod that is gone',
    steps: [
      { send: udp(between(OUTSIDE, A, 1, 2)), want: 'to pod' },
      { first: node => node.removeEndpoint(A), send: udp(between(OUTSIDE, A, 1, 2)), want: 'drop STALE_IP' },
      { send: udp(between(A, OUTSIDE, 2, 1)), want: 'drop INVALID_SOURCE_IP' },
      { send: udp(between(B, A, 2, 1)), want: 'to stack' },
    ],
  },
  {
    name: 'to a pod: a pod’s address on what did not come from that pod is forged',
    steps: [
      { send: udp(sent, { hook: 'to_pod', at: B.ifindex, cameBy: UPLINK }), want: 'drop INVALID_SOURCE_IP' },
      { send: udp(sent, { hook: 'to_pod', at: B.ifindex, cameBy: B.ifindex }), want: 'drop INVALID_SOURCE_IP' },
      // As after a translation of the destination by the node's own rules.
      { send: udp(sent, { hook: 'to_pod', at: B.ifindex, cameBy: A.ifindex }), want: 'to pod', report: 'NEW' },
    ],
  },
  {
    name: 'to a pod: the node’s address counts as the node only on what the node made',
    policy: { a: [{ direction: 'ingress', identity: 1, rule: 70 }] },
    steps: [
      { send: udp(between(HOST, A, 1, 2), { cameBy: UPLINK }), want: 'drop POLICY_DENIED' },
      { send: udp(between(HOST, A, 1, 2)), want: 'to pod', report: 'NEW' },
    ],
  },
  {
    name: 'to a pod: the node’s address on what it did not make is the world, under the number that the world has',
    policy: { a: [{ direction: 'ingress', identity: ALL_BLOCK, rule: 71 }] },
    steps: [
      { send: udp(between(HOST, A, 1, 2), { cameBy: UPLINK }), want: 'drop POLICY_DENIED' },
      {
        first: node => {
          for (const everybody of ['0.0.0.0/0', '::/0']) node.setIpcache(everybody, ALL_BLOCK)
        },
        send: udp(between(HOST, A, 1, 2), { cameBy: UPLINK }),
        want: 'to pod',
        rules: [0, 71],
      },
    ],
  },
]
testCases(node, cases)

/** Frames that no builder makes, each as from_pod and to_pod see it. */
const oddFrames: { name: string; frame: Uint8Array; want: 'VLAN_FILTERED' | 'UNSUPPORTED_L3' | 'INVALID_PACKET' }[] = [
  { name: 'a VLAN tag', frame: retyped(ETHERTYPE.vlan, 0, 5, 8, 0), want: 'VLAN_FILTERED' },
  { name: 'a service VLAN tag', frame: retyped(ETHERTYPE.qinq, 0, 5, 8, 0), want: 'VLAN_FILTERED' },
  { name: 'an unknown ethertype', frame: retyped(0x88b5), want: 'UNSUPPORTED_L3' },
  { name: 'MPLS', frame: retyped(0x8847), want: 'UNSUPPORTED_L3' },
  { name: 'PPPoE', frame: retyped(0x8864), want: 'UNSUPPORTED_L3' },
  { name: 'a length instead of an ethertype', frame: retyped(100), want: 'UNSUPPORTED_L3' },
  { name: 'IPv6 that calls itself IPv4', frame: retype(frameOf(udp(sent), 6), ETHERTYPE.ipv4), want: 'INVALID_PACKET' },
  {
    name: 'IPv4 that calls itself IPv6',
    frame: bytes(retype(frameOf(udp(sent), 4), ETHERTYPE.ipv6), new Uint8Array(20)),
    want: 'INVALID_PACKET',
  },
]

function retype(frame: Uint8Array, type: number, ...tag: number[]): Uint8Array {
  return bytes(frame.subarray(0, 12), type >> 8, type & 0xff, ...tag, frame.subarray(14))
}

function retyped(type: number, ...tag: number[]): Uint8Array {
  return retype(frameOf(udp(sent), 4), type, ...tag)
}

for (const { name, frame, want } of oddFrames)
  for (const hook of ['from_pod', 'to_pod'] as const)
    test(`${hook}: ${name}`, { skip: needsRoot }, () => {
      node().reset()
      const at = hook === 'from_pod' ? A.ifindex : B.ifindex
      const { event } = node().send({ hook, frame, ifindex: at, ingressIfindex: UPLINK })
      assert.equal(event && node().world.schema.dropReason.name(event.drop_reason), want)
    })

test('a packet between pods has the receiver’s MAC address, one hop less, and right checksums', {
  skip: needsRoot,
}, () => {
  for (const family of [4, 6] as const) {
    node().reset()
    const frame = Buffer.from(runStep(node(), { send: udp(sent), want: 'to pod' }, family, 'delivery').frame)
    assert.deepEqual([...frame.subarray(0, 12)], [...B.mac, ...HOST_MAC])
    assert.equal(frame[family === 4 ? 22 : 21], 63)
    // Both checksums as a receiver sums them up, header by header.
    const header = frame.subarray(14, family === 4 ? 34 : 54)
    if (family === 4) assert.equal(onesComplement(header), 0xffff)
    const segment = frame.subarray(family === 4 ? 34 : 54)
    const addresses = header.subarray(family === 4 ? 12 : 8)
    assert.equal(onesComplement(Buffer.concat([addresses, Buffer.from([0, 17, 0, segment.length]), segment])), 0xffff)
  }
})

test('a checksum that wraps around stays right', { skip: needsRoot }, () => {
  node().reset()
  const checksumOf = (frame: Uint8Array): number => Buffer.from(frame).readUInt16BE(24)
  const withId = (id: number): Sent => sentOf(udp(sent, { ip: { fragment: { id, offset: 0, more: true } } }), 4)
  // The time to live counts 256 in the sum: these are the ones before, at and behind the end of 16 bits.
  for (const wanted of [0x0000, 0x00ff, 0xfefe, 0xfeff, 0xff00, 0xfffe]) {
    const id = Array.from({ length: 0x10000 }, (_, index) => index).find(id => checksumOf(withId(id).frame) === wanted)
    assert.notEqual(id, undefined, `some identification makes ${wanted}`)
    // A receiver sums the header up; and what a router would have written is what the datapath writes.
    const { frame } = node().send(withId(id ?? 0))
    const whole = frameOf(udp(sent, { ip: { timeToLive: 63, fragment: { id: id ?? 0, offset: 0, more: true } } }), 4)
    assert.equal(onesComplement(Buffer.from(frame.subarray(14, 34))), 0xffff)
    assert.equal(checksumOf(frame), checksumOf(whole))
  }
})

test('every time to live is lowered with a right checksum', { skip: needsRoot }, () => {
  node().reset()
  node().inside(() => {
    for (let timeToLive = 2; timeToLive < 256; timeToLive++)
      for (const id of [0, 0x1234, 0xffff]) {
        const packet = udp(sent, { ip: { timeToLive, fragment: { id, offset: 0, more: true } } })
        const { frame } = node().send(sentOf(packet, 4))
        assert.equal(onesComplement(Buffer.from(frame.subarray(14, 34))), 0xffff, `${timeToLive} ${id}`)
      }
  })
})

function onesComplement(data: Buffer): number {
  const even = data.length % 2 === 0 ? data : Buffer.concat([data, Buffer.alloc(1)])
  let sum = 0
  for (let at = 0; at < even.length; at += 2) sum += even.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return sum
}
