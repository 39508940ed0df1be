// What a pod asks about its neighbours: ARP, neighbour and router discovery, listener
// reports; what is answered, what passes to the node, and what may not pass.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatIp, ip, mac } from '../../src/ip/index.ts'
import type { DropReason } from '../../src/maps/index.ts'
import {
  type ArpFields,
  arp,
  bytes,
  ETHERTYPE,
  ethernet,
  type IpFields,
  icmp,
  ip as ipPacket,
  PROTOCOL,
  padding,
} from './frames.ts'
import { A, B, HOST, HOST_MAC, needsRoot, nodeForTests, OUTSIDE, UPLINK } from './node.ts'

const node = nodeForTests()
const four = (text: string): Uint8Array => ip(text).bytes.subarray(12)
const BROADCAST = mac('ff:ff:ff:ff:ff:ff')
const GATEWAY = '10.244.0.1'

type Answer = 'answered' | 'absorbed' | 'to stack' | 'to pod' | Exclude<DropReason, 'NONE'>

function sendFromPod(frame: Uint8Array): { outcome: Answer; frame: Uint8Array } {
  node().reset()
  const {
    action,
    event,
    frame: out,
  } = node().send({ hook: 'from_pod', frame, ifindex: A.ifindex, ingressIfindex: A.ifindex })
  const reason = event && node().world.schema.dropReason.name(event.drop_reason)
  if (reason && reason !== 'NONE') return { outcome: reason, frame: out }
  const outcome = action === 'redirect' ? 'answered' : action === 'drop' ? 'absorbed' : 'to stack'
  return { outcome, frame: out }
}

const arpFrame = (fields: Partial<ArpFields>, source = A.mac): Uint8Array =>
  ethernet(
    { source, destination: BROADCAST, type: ETHERTYPE.arp },
    arp({ operation: 1, senderMac: A.mac, senderIp: A[4].subarray(12), targetIp: four(GATEWAY), ...fields }),
  )

const arpCases: { name: string; frame: Uint8Array; want: Answer }[] = [
  { name: 'who has the gateway', frame: arpFrame({}), want: 'answered' },
  { name: 'who has another pod', frame: arpFrame({ targetIp: B[4].subarray(12) }), want: 'answered' },
  { name: 'who has an address nobody has', frame: arpFrame({ targetIp: four('192.0.2.1') }), want: 'answered' },
  { name: 'padded to the least size of a frame', frame: bytes(arpFrame({}), new Uint8Array(18)), want: 'answered' },
  {
    name: 'a probe for its own address',
    frame: arpFrame({ senderIp: four('0.0.0.0'), targetIp: A[4].subarray(12) }),
    want: 'absorbed',
  },
  { name: 'an announcement of its own address', frame: arpFrame({ targetIp: A[4].subarray(12) }), want: 'absorbed' },
  {
    name: 'an announcement by reply',
    frame: arpFrame({ operation: 2, targetIp: A[4].subarray(12) }),
    want: 'absorbed',
  },
  { name: 'a reply to the node', frame: arpFrame({ operation: 2, targetIp: HOST[4].subarray(12) }), want: 'absorbed' },
  { name: 'another pod’s address', frame: arpFrame({ senderIp: B[4].subarray(12) }), want: 'INVALID_SOURCE_IP' },
  {
    name: 'another pod’s address, announced',
    frame: arpFrame({ operation: 2, senderIp: B[4].subarray(12), targetIp: B[4].subarray(12) }),
    want: 'INVALID_SOURCE_IP',
  },
  { name: 'the gateway’s address', frame: arpFrame({ senderIp: four(GATEWAY) }), want: 'INVALID_SOURCE_IP' },
  { name: 'another MAC address inside', frame: arpFrame({ senderMac: B.mac }), want: 'INVALID_SOURCE_MAC' },
  { name: 'another MAC address outside', frame: arpFrame({}, B.mac), want: 'INVALID_SOURCE_MAC' },
  { name: 'another kind of hardware', frame: arpFrame({ hardware: 6 }), want: 'INVALID_PACKET' },
  { name: 'another protocol', frame: arpFrame({ protocol: 0x86dd }), want: 'INVALID_PACKET' },
  { name: 'other sizes of hardware addresses', frame: arpFrame({ addressLengths: [8, 4] }), want: 'INVALID_PACKET' },
  { name: 'other sizes of protocol addresses', frame: arpFrame({ addressLengths: [6, 16] }), want: 'INVALID_PACKET' },
]
for (const { name, frame, want } of arpCases)
  test(`ARP: ${name}`, { skip: needsRoot }, () => assert.equal(sendFromPod(frame).outcome, want))

test('ARP: the answer, byte by byte', { skip: needsRoot }, () => {
  const { frame } = sendFromPod(arpFrame({}))
  const want = ethernet(
    { source: HOST_MAC, destination: A.mac, type: ETHERTYPE.arp },
    arp({ operation: 2, senderMac: HOST_MAC, senderIp: four(GATEWAY), targetMac: A.mac, targetIp: A[4].subarray(12) }),
  )
  assert.deepEqual([...frame], [...want])
})

test('ARP: cut short at every length', { skip: needsRoot }, () => {
  for (let length = 14; length < 42; length++)
    assert.equal(sendFromPod(arpFrame({}).subarray(0, length)).outcome, 'INVALID_PACKET', `${length} bytes`)
})

test('ARP towards a pod: the node’s own passes, a forwarded one does not', { skip: needsRoot }, () => {
  node().reset()
  const toPod = (ingressIfindex: number) =>
    node().send({ hook: 'to_pod', frame: arpFrame({}), ifindex: A.ifindex, ingressIfindex })
  assert.equal(toPod(0).action, 'pass')
  assert.equal(toPod(UPLINK).action, 'drop')
})

const TYPE = {
  listenerQuery: 130,
  listenerReport: 131,
  listenerDone: 132,
  routerSolicitation: 133,
  routerAdvertisement: 134,
  solicitation: 135,
  advertisement: 136,
  redirect: 137,
  listenerReportV2: 143,
} as const
const LINK_LOCAL = 'fe80::8aa:ff:fe00:110'
const OWN = formatIp(A[6])
/** Solicited-node address of the gateway (RFC 4291 2.7.1). */
const SOLICITED = 'ff02::1:ff00:1'

type Message = {
  readonly type: number
  readonly from?: string
  readonly to?: string
  readonly target?: string
  readonly code?: number
  readonly option?: Uint8Array
  readonly body?: Uint8Array
  readonly ip?: Partial<IpFields>
  readonly source?: Uint8Array
  readonly destination?: Uint8Array
}

/** A discovery message; its body is 4 reserved bytes, the target, and the sender's MAC address as an option. */
function discovery(message: Message): Uint8Array {
  const ends = { source: ip(message.from ?? OWN).bytes, destination: ip(message.to ?? SOLICITED).bytes }
  const option = message.option ?? bytes(1, 1, A.mac)
  const body = message.body ?? bytes(0, 0, 0, 0, ip(message.target ?? 'fd00:10:244::1').bytes, option)
  return ethernet(
    {
      source: message.source ?? A.mac,
      destination: message.destination ?? mac('33:33:ff:00:00:01'),
      type: ETHERTYPE.ipv6,
    },
    ipPacket(
      6,
      { ...ends, timeToLive: 255, ...message.ip },
      PROTOCOL.icmpv6,
      icmp(ends, message.type, message.code ?? 0, body),
    ),
  )
}

const discoveryCases: { name: string; message: Message; want: Answer }[] = [
  { name: 'who has the gateway', message: { type: TYPE.solicitation }, want: 'answered' },
  {
    name: 'is the gateway still there',
    message: { type: TYPE.solicitation, to: 'fd00:10:244::1', destination: HOST_MAC },
    want: 'answered',
  },
  {
    name: 'who has the gateway, without an option',
    message: { type: TYPE.solicitation, option: new Uint8Array(0) },
    want: 'answered',
  },
  {
    name: 'who has the gateway, with a nonce',
    message: { type: TYPE.solicitation, option: bytes(1, 1, A.mac, 14, 1, 1, 2, 3, 4, 5, 6) },
    want: 'answered',
  },
  { name: 'who has another pod', message: { type: TYPE.solicitation, target: formatIp(B[6]) }, want: 'answered' },
  { name: 'its own address', message: { type: TYPE.solicitation, target: OWN }, want: 'absorbed' },
  { name: 'from afar', message: { type: TYPE.solicitation, ip: { timeToLive: 254 } }, want: 'INVALID_PACKET' },
  { name: 'a code that means nothing', message: { type: TYPE.solicitation, code: 1 }, want: 'INVALID_PACKET' },
  { name: 'no target', message: { type: TYPE.solicitation, body: new Uint8Array(4) }, want: 'INVALID_PACKET' },
  { name: 'half a target', message: { type: TYPE.solicitation, body: new Uint8Array(19) }, want: 'INVALID_PACKET' },
  {
    name: 'half a target, the rest behind the packet',
    message: { type: TYPE.solicitation, ip: { length: 23 } },
    want: 'INVALID_PACKET',
  },
  {
    name: 'behind an extension header',
    message: { type: TYPE.solicitation, ip: { extensions: [padding(60)] } },
    want: 'INVALID_PACKET',
  },
  {
    name: 'as a fragment',
    message: { type: TYPE.solicitation, ip: { fragment: { id: 1, offset: 0, more: true } } },
    want: 'INVALID_PACKET',
  },
  {
    name: 'as an atomic fragment',
    message: { type: TYPE.solicitation, ip: { fragment: { id: 1, offset: 0, more: false } } },
    want: 'INVALID_PACKET',
  },
  {
    name: 'another pod’s address',
    message: { type: TYPE.solicitation, from: formatIp(B[6]) },
    want: 'INVALID_SOURCE_IP',
  },
  { name: 'another MAC address', message: { type: TYPE.solicitation, source: B.mac }, want: 'INVALID_SOURCE_MAC' },
  {
    name: 'duplicate address detection',
    message: { type: TYPE.solicitation, from: '::', target: OWN, option: new Uint8Array(0) },
    want: 'to stack',
  },
  {
    name: 'from the link-local address',
    message: { type: TYPE.solicitation, from: LINK_LOCAL, to: 'fe80::1', target: 'fe80::1' },
    want: 'answered',
  },
  {
    name: 'link-local, as a fragment',
    message: { type: TYPE.solicitation, from: LINK_LOCAL, ip: { fragment: { id: 1, offset: 0, more: true } } },
    want: 'INVALID_SOURCE_IP',
  },
  {
    name: 'link-local to the outside',
    message: { type: TYPE.solicitation, from: LINK_LOCAL, to: formatIp(OUTSIDE[6]) },
    want: 'INVALID_SOURCE_IP',
  },
  {
    name: 'unspecified to the outside',
    message: { type: TYPE.solicitation, from: '::', to: formatIp(OUTSIDE[6]) },
    want: 'INVALID_SOURCE_IP',
  },
  {
    name: 'unspecified to another pod',
    message: { type: TYPE.advertisement, from: '::', to: formatIp(B[6]) },
    want: 'INVALID_SOURCE_IP',
  },
  {
    name: 'router solicitation',
    message: { type: TYPE.routerSolicitation, from: '::', to: 'ff02::2' },
    want: 'absorbed',
  },
  {
    name: 'router solicitation, link-local',
    message: { type: TYPE.routerSolicitation, from: LINK_LOCAL, to: 'ff02::2' },
    want: 'absorbed',
  },
  {
    name: 'router solicitation from its own address',
    message: { type: TYPE.routerSolicitation, to: 'ff02::2' },
    want: 'absorbed',
  },
  {
    name: 'listener report',
    message: { type: TYPE.listenerReportV2, from: LINK_LOCAL, to: 'ff02::16', ip: { timeToLive: 1 } },
    want: 'to stack',
  },
  {
    name: 'listener report before there is an address',
    message: { type: TYPE.listenerReportV2, from: '::', to: 'ff02::16', ip: { timeToLive: 1 } },
    want: 'to stack',
  },
  {
    name: 'listener report behind a router alert',
    message: {
      type: TYPE.listenerReportV2,
      from: LINK_LOCAL,
      to: 'ff02::16',
      ip: { timeToLive: 1, extensions: [{ kind: 0, body: bytes(0, 5, 2, 0, 0, 1, 0) }] },
    },
    want: 'to stack',
  },
  {
    name: 'old listener report and done',
    message: { type: TYPE.listenerDone, from: LINK_LOCAL, to: 'ff02::2' },
    want: 'to stack',
  },
  {
    name: 'advertisement to the node',
    message: { type: TYPE.advertisement, to: 'fe80::1', target: OWN, destination: HOST_MAC },
    want: 'to stack',
  },
  {
    name: 'advertisement to an address of the node',
    message: { type: TYPE.advertisement, to: formatIp(HOST[6]), target: OWN, destination: HOST_MAC },
    want: 'to stack',
  },
  { name: 'advertisement to all', message: { type: TYPE.advertisement, to: 'ff02::1', target: OWN }, want: 'to stack' },
  {
    name: 'router advertisement, link-local',
    message: { type: TYPE.routerAdvertisement, from: LINK_LOCAL, to: 'ff02::1' },
    want: 'INVALID_SOURCE_IP',
  },
  {
    name: 'redirect, link-local',
    message: { type: TYPE.redirect, from: LINK_LOCAL, to: 'fe80::1' },
    want: 'INVALID_SOURCE_IP',
  },
  {
    name: 'listener query, link-local',
    message: { type: TYPE.listenerQuery, from: LINK_LOCAL, to: 'ff02::1' },
    want: 'INVALID_SOURCE_IP',
  },
  { name: 'echo, link-local', message: { type: 128, from: LINK_LOCAL, to: 'fe80::1' }, want: 'INVALID_SOURCE_IP' },
]
for (const { name, message, want } of discoveryCases)
  test(`IPv6 discovery: ${name}`, { skip: needsRoot }, () =>
    assert.equal(sendFromPod(discovery(message)).outcome, want),
  )

/** To whom no discovery is addressed: judged as what it is there, ICMP. */
for (const [name, to] of [
  ['the outside', OUTSIDE],
  ['another pod', B],
] as const)
  for (const type of [
    TYPE.listenerReport,
    TYPE.listenerDone,
    TYPE.listenerReportV2,
    TYPE.routerSolicitation,
    TYPE.advertisement,
  ])
    test(`IPv6 discovery: message ${type} to ${name} is no discovery: egress policy holds`, { skip: needsRoot }, () => {
      node().reset({ a: [] })
      const frame = discovery({ type, to: formatIp(to[6]), destination: HOST_MAC })
      const { event } = node().send({ hook: 'from_pod', frame, ifindex: A.ifindex, ingressIfindex: A.ifindex })
      assert.equal(event && node().world.schema.dropReason.name(event.drop_reason), 'POLICY_DENIED')
    })

test('IPv6 discovery: the answer, byte by byte', { skip: needsRoot }, () => {
  for (const option of [new Uint8Array(0), bytes(1, 1, A.mac), bytes(1, 1, A.mac, 14, 1, 9, 9, 9, 9, 9, 9)]) {
    const { frame } = sendFromPod(discovery({ type: TYPE.solicitation, option }))
    const ends = { source: ip('fd00:10:244::1').bytes, destination: A[6] }
    const body = bytes(0x60, 0, 0, 0, ends.source, 2, 1, HOST_MAC)
    const want = ethernet(
      { source: HOST_MAC, destination: A.mac, type: ETHERTYPE.ipv6 },
      ipPacket(6, { ...ends, timeToLive: 255 }, PROTOCOL.icmpv6, icmp(ends, TYPE.advertisement, 0, body)),
    )
    assert.deepEqual([...frame], [...want])
  }
})

test('IPv6 discovery towards a pod: the node’s own passes, a forwarded one is judged', { skip: needsRoot }, () => {
  node().reset({ a: [] })
  const frame = discovery({ type: TYPE.solicitation, from: 'fe80::1', to: formatIp(A[6]), target: OWN })
  const toPod = (ingressIfindex: number) => node().send({ hook: 'to_pod', frame, ifindex: A.ifindex, ingressIfindex })
  assert.equal(toPod(0).action, 'pass')
  assert.equal(toPod(UPLINK).action, 'drop')
})
