import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatIpv4, formatIpv6, formatMac } from '../ip/index.ts'
import {
  arp,
  badChecksums,
  crc32c,
  type DecodedLayer,
  decode,
  ethernet,
  fragment,
  frame,
  icmpv4,
  icmpv6,
  internetChecksum,
  ipv4,
  ipv6,
  ipv6Extension,
  ipv6Fragment,
  type Layer,
  layerOf,
  PacketError,
  padding,
  payload,
  routerAlert,
  sctp,
  sctpInit,
  summary,
  tcp,
  udp,
  vlan,
} from './index.ts'

const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(model, { noNullPrototype: true })
const bytes = (constraints: { minLength?: number; maxLength: number }) => fc.uint8Array(constraints)
/** Bytes whose number is `extra` more than a multiple of `unit`. */
const bytesInUnits = (unit: number, maxUnits: number, extra = 0) =>
  fc.nat(maxUnits).chain(units => fc.uint8Array({ minLength: units * unit + extra, maxLength: units * unit + extra }))
const u8 = fc.nat(0xff)
const u16 = fc.nat(0xffff)
const u32 = fc.nat(0xffffffff)
const port = u16
const macText = bytes({ minLength: 6, maxLength: 6 }).map(formatMac)
const four = bytes({ minLength: 4, maxLength: 4 }).map(formatIpv4)
const six = bytes({ minLength: 16, maxLength: 16 }).map(formatIpv6)
const someData = bytes({ minLength: 1, maxLength: 40 }).map(content => payload(content))
const maybeData = fc.option(someData, { nil: undefined }).map((data): Layer[] => (data ? [data] : []))
const kept = <T, K extends string>(kind: K, arbitrary: fc.Arbitrary<T>) =>
  arbitrary.map(fields => ({ kind, ...fields }))

const tcpOption = fc.oneof(
  record({ option: fc.constant('noOperation' as const) }),
  record({ option: fc.constant('maximumSegmentSize' as const), bytes: u16 }),
  record({ option: fc.constant('windowScale' as const), shift: u8 }),
  record({ option: fc.constant('selectiveAckPermitted' as const) }),
  record({ option: fc.constant('timestamps' as const), value: u32, echo: u32 }),
  record({ option: fc.constant('selectiveAck' as const), blocks: fc.array(fc.tuple(u32, u32), { maxLength: 2 }) }),
  record({
    option: fc.constant('other' as const),
    type: fc.integer({ min: 20, max: 255 }),
    content: bytes({ maxLength: 5 }),
  }),
)
const FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr', 'ae'] as const
const tcpLayer = kept(
  'tcp' as const,
  record({
    sourcePort: port,
    destinationPort: port,
    sequence: u32,
    acknowledgement: u32,
    window: u16,
    urgentPointer: u16,
    flags: fc.subarray([...FLAGS]),
    options: fc.array(tcpOption, { maxLength: 2 }),
  }),
)
const udpLayer = kept('udp' as const, record({ sourcePort: port, destinationPort: port }))
const chunk = fc.oneof(
  record({
    chunk: fc.constantFrom('init' as const, 'initAck' as const),
    initiateTag: u32,
    receiverWindow: u32,
    outboundStreams: u16,
    inboundStreams: u16,
    initialSequence: u32,
    parameters: bytes({ maxLength: 9 }),
  }),
  record({
    chunk: fc.constant('other' as const),
    type: fc.integer({ min: 3, max: 255 }),
    flags: u8,
    content: bytes({ maxLength: 9 }),
  }),
)
const sctpLayer = kept(
  'sctp' as const,
  record({ sourcePort: port, destinationPort: port, verificationTag: u32, chunks: fc.array(chunk, { maxLength: 3 }) }),
)

const quotedFour = record({ source: four, destination: four }).map(fields => [
  ipv4(fields),
  udp({ sourcePort: 1, destinationPort: 2 }),
])
const quotedSix = record({ source: six, destination: six }).map(fields => [
  ipv6(fields),
  udp({ sourcePort: 1, destinationPort: 2 }),
])
const icmpv4Layers = fc.oneof(
  fc
    .tuple(
      kept(
        'icmpv4' as const,
        record({
          message: fc.constantFrom('echoRequest' as const, 'echoReply' as const),
          identifier: u16,
          sequence: u16,
        }),
      ),
      maybeData,
    )
    .map(([head, data]) => [head, ...data]),
  fc
    .tuple(
      fc.oneof(
        kept(
          'icmpv4' as const,
          record({ message: fc.constant('destinationUnreachable' as const), code: u8, mtu: u16 }),
        ),
        kept('icmpv4' as const, record({ message: fc.constant('redirect' as const), code: u8, gateway: four })),
        kept('icmpv4' as const, record({ message: fc.constant('timeExceeded' as const), code: u8 })),
        kept('icmpv4' as const, record({ message: fc.constant('parameterProblem' as const), code: u8, pointer: u8 })),
      ),
      quotedFour,
    )
    .map(([head, quoted]) => [head, ...quoted]),
  kept(
    'icmpv4' as const,
    record({ message: fc.constant('other' as const), type: fc.integer({ min: 13, max: 255 }), code: u8, word: u32 }),
  ).map(head => [head]),
)

const neighbourOption = fc.oneof(
  record({ option: fc.constantFrom('sourceLinkAddress' as const, 'targetLinkAddress' as const), mac: macText }),
  record({ option: fc.constant('mtu' as const), mtu: u32 }),
  record({
    option: fc.constant('prefix' as const),
    prefix: six,
    prefixLength: u8,
    onLink: fc.boolean(),
    autonomous: fc.boolean(),
    validSeconds: u32,
    preferredSeconds: u32,
  }),
  record({
    option: fc.constant('other' as const),
    type: fc.integer({ min: 14, max: 255 }),
    content: bytesInUnits(8, 2, 6),
  }),
)
const options = fc.array(neighbourOption, { maxLength: 3 })
const icmpv6Message = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => kept('icmpv6' as const, record(model))
const icmpv6Layers = fc.oneof(
  fc
    .tuple(
      icmpv6Message({
        message: fc.constantFrom('echoRequest' as const, 'echoReply' as const),
        identifier: u16,
        sequence: u16,
      }),
      maybeData,
    )
    .map(([head, data]) => [head, ...data]),
  fc
    .tuple(
      fc.oneof(
        icmpv6Message({
          message: fc.constantFrom('destinationUnreachable' as const, 'timeExceeded' as const),
          code: u8,
        }),
        icmpv6Message({ message: fc.constant('packetTooBig' as const), mtu: u32 }),
        icmpv6Message({ message: fc.constant('parameterProblem' as const), code: u8, pointer: u32 }),
      ),
      quotedSix,
    )
    .map(([head, quoted]) => [head, ...quoted]),
  fc
    .oneof(
      icmpv6Message({ message: fc.constant('routerSolicitation' as const), options }),
      icmpv6Message({ message: fc.constant('neighbourSolicitation' as const), target: six, options }),
      icmpv6Message({
        message: fc.constant('neighbourAdvertisement' as const),
        target: six,
        router: fc.boolean(),
        solicited: fc.boolean(),
        override: fc.boolean(),
        options,
      }),
      icmpv6Message({
        message: fc.constant('routerAdvertisement' as const),
        hopLimit: u8,
        managed: fc.boolean(),
        otherConfiguration: fc.boolean(),
        lifetimeSeconds: u16,
        reachableTimeMs: u32,
        retransmitTimerMs: u32,
        options,
      }),
      icmpv6Message({
        message: fc.constantFrom('listenerQuery' as const, 'listenerReport' as const, 'listenerDone' as const),
        maximumDelayMs: u16,
        group: six,
      }),
      icmpv6Message({
        message: fc.constant('listenerReport2' as const),
        records: fc.array(record({ type: u8, group: six, sources: fc.array(six, { maxLength: 2 }) }), { maxLength: 2 }),
      }),
      icmpv6Message({ message: fc.constant('other' as const), type: fc.integer({ min: 144, max: 255 }), code: u8 }),
    )
    .map(head => [head]),
)

const withData = (head: fc.Arbitrary<Layer>) =>
  fc.tuple(head, maybeData).map(([first, data]): Layer[] => [first, ...data])
const transport = fc.oneof(
  withData(tcpLayer),
  withData(udpLayer),
  sctpLayer.map((head): Layer[] => [head]),
)

const ipv4Fields = {
  source: four,
  destination: four,
  ttl: u8,
  typeOfService: u8,
  identification: u16,
  dontFragment: fc.boolean(),
  options: bytesInUnits(4, 10),
}
const ipv4Stack: fc.Arbitrary<Layer[]> = fc.oneof(
  fc
    .tuple(
      kept('ipv4' as const, record({ ...ipv4Fields, moreFragments: fc.boolean(), fragmentOffset: fc.constant(0) })),
      fc.oneof(transport, icmpv4Layers),
    )
    .map(([head, rest]): Layer[] => [head, ...rest]),
  fc
    .tuple(
      kept(
        'ipv4' as const,
        record({
          ...ipv4Fields,
          moreFragments: fc.boolean(),
          fragmentOffset: fc.integer({ min: 1, max: 8191 }).map(n => n * 8),
          protocol: u8,
        }),
      ),
      someData,
    )
    .map(([head, data]): Layer[] => [head, data]),
)
const extension = fc.oneof(
  kept(
    'ipv6Extension' as const,
    record({
      type: fc.constantFrom('hopByHop' as const, 'routing' as const, 'destination' as const, 'mobility' as const),
      content: bytesInUnits(8, 2, 6),
    }),
  ),
  kept(
    'ipv6Extension' as const,
    record({ type: fc.constant('authentication' as const), content: bytesInUnits(4, 3, 6) }),
  ),
)
const ipv6Head = kept(
  'ipv6' as const,
  record({ source: six, destination: six, hopLimit: u8, trafficClass: u8, flowLabel: fc.nat(0xfffff) }),
)
const ipv6Stack: fc.Arbitrary<Layer[]> = fc.oneof(
  fc
    .tuple(
      ipv6Head,
      fc.array(extension, { maxLength: 2 }),
      fc.option(
        kept(
          'ipv6Fragment' as const,
          record({ fragmentOffset: fc.constant(0), moreFragments: fc.boolean(), identification: u32 }),
        ),
        { nil: undefined },
      ),
      fc.oneof(transport, icmpv6Layers),
    )
    .map(([head, extensions, first, rest]): Layer[] => [head, ...extensions, ...(first ? [first] : []), ...rest]),
  fc
    .tuple(
      ipv6Head,
      kept(
        'ipv6Fragment' as const,
        record({
          fragmentOffset: fc.integer({ min: 1, max: 8191 }).map(n => n * 8),
          moreFragments: fc.boolean(),
          identification: u32,
          nextHeader: u8,
        }),
      ),
      // A later fragment that says "nothing follows" and carries something would be read as nothing known: the same.
      someData,
    )
    .map((layers): Layer[] => layers),
)
const arpStack = kept(
  'arp' as const,
  record({ operation: u16, senderMac: macText, senderIp: four, targetMac: macText, targetIp: four }),
).map((head): Layer[] => [head])

const link = fc
  .tuple(
    kept('ethernet' as const, record({ source: macText, destination: macText })),
    fc.array(
      kept(
        'vlan' as const,
        record({ id: fc.nat(4095), priority: fc.nat(7), dropEligible: fc.boolean(), service: fc.boolean() }),
      ),
      { maxLength: 2 },
    ),
  )
  .map(([head, tags]): Layer[] => [head, ...tags])
const stack = fc
  .tuple(link, fc.oneof(ipv4Stack, ipv6Stack, arpStack))
  .map(([outer, inner]): Layer[] => [...outer, ...inner])

/** The decoded layers with only those fields that the given ones have. */
function restrictedTo(given: readonly Layer[], decoded: readonly DecodedLayer[]): unknown[] {
  return decoded.map((layer, i) => {
    const fields = Object.keys(given[i] ?? layer)
    return Object.fromEntries(Object.entries(layer).filter(([name]) => fields.includes(name)))
  })
}

test('what is built is read back, with right checksums, and builds the same bytes again', () => {
  fc.assert(
    fc.property(stack, layers => {
      const built = frame(...layers)
      const decoded = decode(built)
      assert.deepEqual(restrictedTo(layers, decoded.layers), layers)
      assert.equal(decoded.truncated, false)
      assert.deepEqual(badChecksums(decoded), [])
      assert.deepEqual(frame(...decoded.layers), built)
    }),
    { numRuns: 1000 },
  )
})

test('padding stays apart from the packet', () => {
  fc.assert(
    fc.property(stack, bytes({ minLength: 1, maxLength: 30 }), (layers, rest) => {
      const built = frame(...layers, padding(rest))
      const decoded = decode(built)
      assert.deepEqual(decoded.layers.at(-1), {
        kind: 'padding',
        content: rest,
        after: layers.findIndex(layer => /^ip|arp/.test(layer.kind)),
      })
      assert.deepEqual(restrictedTo(layers, decoded.layers.slice(0, -1)), layers)
      assert.deepEqual(frame(...decoded.layers), built)
    }),
  )
})

test('a packet cut anywhere is told to be truncated, and what is there is kept', () => {
  fc.assert(
    fc.property(stack, fc.nat(), (layers, n) => {
      const whole = frame(...layers)
      const cut = whole.subarray(0, n % whole.length)
      const decoded = decode(cut)
      assert.equal(decoded.truncated, true)
      assert.deepEqual(frame(...decoded.layers), Uint8Array.from(cut))
    }),
    { numRuns: 1000 },
  )
})

const damaged = fc
  .tuple(
    stack,
    fc.array(fc.tuple(fc.nat(), u8), { maxLength: 6 }),
    bytes({ maxLength: 12 }),
    fc.option(fc.nat(), { nil: undefined }),
  )
  .map(([layers, changes, tail, cut]) => {
    const damaged = Uint8Array.from([...frame(...layers), ...tail])
    for (const [at, value] of changes) damaged[at % damaged.length] = value
    return cut === undefined ? damaged : damaged.subarray(0, cut % damaged.length)
  })

test('any bytes are read, told in one line, and can be built again to be read the same', () => {
  fc.assert(
    fc.property(fc.oneof(bytes({ maxLength: 120 }), damaged), anything => {
      const decoded = decode(anything)
      const again = frame(...decoded.layers)
      assert.equal(again.length, anything.length)
      assert.deepEqual(decode(again), decoded)
      assert.match(summary(anything), /^[^\n]+$/)
      badChecksums(decoded)
    }),
    { numRuns: 5000 },
  )
})

test('a changed bit under a checksum is noticed', () => {
  fc.assert(
    fc.property(stack, fc.nat(), (layers, n) => {
      const decoded = decode(frame(...layers))
      const summed = decoded.layers.flatMap((layer, i) => ('checksum' in layer ? [{ layer, i }] : []))
      fc.pre(summed.length > 0)
      const chosen = summed[n % summed.length]
      assert.ok(chosen)
      const broken = decoded.layers.map((layer, i) =>
        i === chosen.i ? { ...chosen.layer, checksum: (chosen.layer.checksum ^ 0x0100) >>> 0 } : layer,
      )
      // A transport checksum covers the whole packet, of which a fragment has only a part.
      const packet = decoded.layers.findLastIndex((layer, i) => i < chosen.i && /^ipv[46]$/.test(layer.kind))
      const isFragment = decoded.layers
        .slice(packet, chosen.i)
        .some(layer => 'moreFragments' in layer && layer.moreFragments)
      const isJudged = chosen.layer.kind === 'ipv4' || !isFragment
      assert.equal(badChecksums(decode(frame(...broken))).includes(chosen.layer.kind), isJudged)
    }),
  )
})

test('checksums of published examples', () => {
  const header = Uint8Array.from(Buffer.from('450000730000400040110000c0a80001c0a800c7', 'hex'))
  assert.equal(internetChecksum(header), 0xb861)
  assert.equal(crc32c(new TextEncoder().encode('123456789')), 0xe3069283)
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa)
})

const pod = { source: '10.0.0.1', destination: '10.0.0.2' }
const pod6 = { source: 'fd00::1', destination: 'fd00::2' }
const toWeb = { sourcePort: 4000, destinationPort: 80 }
const quote = [ipv4({ source: '10.0.0.2', destination: '10.0.0.1' }), udp({ sourcePort: 53, destinationPort: 4000 })]

test('one line for each kind of packet', async t => {
  const cases: readonly { given: readonly Layer[]; want: string }[] = [
    {
      given: [ipv4(pod), tcp({ ...toWeb, flags: ['syn'], sequence: 1 })],
      want: '10.0.0.1:4000 → 10.0.0.2:80 TCP SYN seq 1',
    },
    {
      given: [ipv4(pod), tcp({ ...toWeb, flags: ['psh', 'ack'], acknowledgement: 7 }), payload('hello')],
      want: '10.0.0.1:4000 → 10.0.0.2:80 TCP PSH ACK seq 0 ack 7, 5 bytes',
    },
    { given: [ipv6(pod6), udp(toWeb), payload('x')], want: '[fd00::1]:4000 → [fd00::2]:80 UDP, 1 bytes' },
    { given: [ipv4(pod), sctp({ ...toWeb, chunks: [sctpInit()] })], want: '10.0.0.1:4000 → 10.0.0.2:80 SCTP INIT' },
    {
      given: [ipv4(pod), icmpv4({ message: 'echoRequest', identifier: 1, sequence: 2 }), payload('ping')],
      want: '10.0.0.1 → 10.0.0.2 ICMP echo request id 1 seq 2, 4 bytes',
    },
    {
      given: [ipv4(pod), icmpv4({ message: 'destinationUnreachable', code: 3 }), ...quote],
      want: '10.0.0.1 → 10.0.0.2 ICMP destination unreachable code 3 about 10.0.0.2:53 → 10.0.0.1:4000 UDP',
    },
    {
      given: [ipv6(pod6), icmpv6({ message: 'packetTooBig', mtu: 1280 }), ipv6(pod6), udp(toWeb)],
      want: 'fd00::1 → fd00::2 ICMPv6 packet too big mtu 1280 about [fd00::1]:4000 → [fd00::2]:80 UDP',
    },
    {
      given: [ipv6(pod6), icmpv6({ message: 'neighbourSolicitation', target: 'fd00::2', options: [] })],
      want: 'fd00::1 → fd00::2 ICMPv6 neighbour solicitation for fd00::2',
    },
    {
      given: [
        ipv6(pod6),
        routerAlert(),
        icmpv6({ message: 'listenerReport2', records: [{ type: 4, group: 'ff02::fb', sources: [] }] }),
      ],
      want: 'fd00::1 → fd00::2 ICMPv6 listener report 2 of ff02::fb',
    },
    {
      given: [ipv4({ ...pod, fragmentOffset: 1480, identification: 7, protocol: 17 }), payload('rest')],
      want: '10.0.0.1 → 10.0.0.2 fragment at 1480, the last, of id 7 UDP, 4 bytes',
    },
    {
      given: [ipv6(pod6), ipv6Fragment({ moreFragments: true, identification: 9 }), udp(toWeb)],
      want: '[fd00::1]:4000 → [fd00::2]:80 fragment at 0 of id 9 UDP',
    },
    { given: [ipv4({ ...pod, protocol: 47 }), payload('gre')], want: '10.0.0.1 → 10.0.0.2 protocol 47, 3 bytes' },
    { given: [ipv4(pod), ipv4(pod), udp(toWeb)], want: '10.0.0.1 → 10.0.0.2 carrying 10.0.0.1:4000 → 10.0.0.2:80 UDP' },
    { given: [vlan({ id: 5 }), ipv6(pod6)], want: 'vlan 5 fd00::1 → fd00::2 nothing' },
    {
      given: [
        arp({ operation: 'request', senderMac: '02:00:00:00:00:01', senderIp: '10.0.0.1', targetIp: '10.0.0.2' }),
      ],
      want: 'ARP who has 10.0.0.2, tell 10.0.0.1',
    },
    {
      given: [
        arp({ operation: 'reply', senderMac: '02:00:00:00:00:02', senderIp: '10.0.0.2', targetIp: '10.0.0.1' }),
        padding(18),
      ],
      want: 'ARP 10.0.0.2 is at 02:00:00:00:00:02',
    },
  ]
  for (const { given, want } of cases)
    await t.test(want, () => assert.equal(summary(frame(ethernet(), ...given)), want))
  assert.equal(
    summary(frame(ethernet({ etherType: 0x88cc }), payload('lldp'))),
    '02:00:00:00:00:01 → 02:00:00:00:00:02 ethertype 0x88cc, 4 bytes',
  )
  assert.equal(summary(new Uint8Array(3)), 'Ethernet cut short')
  const short = frame(ethernet(), ipv4(pod), tcp({ ...toWeb, flags: [] })).subarray(0, 42)
  assert.equal(summary(short), '10.0.0.1:4000 → 10.0.0.2:80 TCP cut short')
  const eightBytes = payload(frame(ipv4(pod), tcp({ ...toWeb, flags: ['syn'] })).subarray(0, 28))
  const error = frame(
    ethernet(),
    ipv4({ ...pod, protocol: 1 }),
    icmpv4({ message: 'timeExceeded', code: 0 }),
    eightBytes,
  )
  assert.equal(summary(error), '10.0.0.1 → 10.0.0.2 ICMP time exceeded about 10.0.0.1:4000 → 10.0.0.2:80 TCP cut short')
  assert.equal(decode(error).truncated, false)
  const broken = Uint8Array.from(frame(ethernet(), ipv4(pod), udp(toWeb)))
  broken[14] = 0x41
  assert.equal(summary(broken), 'IPv4 malformed: a header length of 4')
})

test('every field can be given a wrong value', () => {
  const built = frame(
    ethernet({ etherType: 0x86dd }),
    ipv4({ ...pod, protocol: 99, totalLength: 9999, checksum: 1 }),
    tcp({ ...toWeb, flags: ['syn', 'rst'], checksum: 2 }),
  )
  assert.equal(built.length, 14 + 20 + 20)
  assert.deepEqual(built.subarray(12, 14), Uint8Array.of(0x86, 0xdd))
  assert.partialDeepStrictEqual(decode(built).layers.at(-1), { kind: 'unparsed', of: 'ipv6', reason: 'IP version 4' })
  const bad = decode(frame(ethernet(), ipv4({ ...pod, checksum: 1 }), udp({ ...toWeb, checksum: 2, length: 8 })))
  assert.deepEqual(badChecksums(bad), ['ipv4', 'udp'])
  assert.deepEqual(badChecksums(decode(frame(ethernet(), ipv4(pod), udp({ ...toWeb, checksum: 0 })))), [])
  assert.deepEqual(badChecksums(decode(frame(ethernet(), ipv6(pod6), udp({ ...toWeb, checksum: 0 })))), ['udp'])
})

test('what cannot be a packet is a PacketError', async t => {
  const cases: readonly { name: string; build: () => unknown }[] = [
    { name: 'port', build: () => frame(ipv4(pod), udp({ sourcePort: 65536, destinationPort: 1 })) },
    { name: 'fraction', build: () => frame(ipv4({ ...pod, ttl: 1.5 }), udp(toWeb)) },
    { name: 'negative', build: () => frame(ipv4(pod), tcp({ ...toWeb, flags: [], sequence: -1 })) },
    { name: 'IPv4 address', build: () => frame(ipv4({ ...pod, source: 'fd00::1' }), udp(toWeb)) },
    { name: 'IPv6 address', build: () => frame(ipv6({ ...pod6, source: '10.0.0.1' }), udp(toWeb)) },
    { name: 'vlan', build: () => frame(vlan({ id: 4096 }), ipv4(pod), udp(toWeb)) },
    { name: 'offset', build: () => frame(ipv4({ ...pod, fragmentOffset: 7 }), udp(toWeb)) },
    { name: 'options', build: () => frame(ipv4({ ...pod, options: new Uint8Array(41) }), udp(toWeb)) },
    { name: 'protocol', build: () => frame(ipv4(pod), payload('?')) },
    { name: 'etherType', build: () => frame(ethernet(), payload('?')) },
    { name: 'after the last', build: () => frame(payload('a'), payload('b')) },
  ]
  for (const { name, build } of cases) await t.test(name, () => assert.throws(build, PacketError))
})

test('fragments fit, follow each other, and hold the packet', () => {
  const stacks: readonly (readonly Layer[])[] = [
    [ethernet(), ipv4({ ...pod, identification: 77, options: Uint8Array.of(1, 1, 1, 1) })],
    [
      ethernet(),
      vlan({ id: 3 }),
      ipv6(pod6),
      ipv6Extension({ type: 'hopByHop' }),
      ipv6Extension({ type: 'destination' }),
    ],
  ]
  fc.assert(
    fc.property(
      fc.constantFrom(...stacks),
      bytes({ minLength: 1, maxLength: 3000 }),
      fc.integer({ min: 100, max: 1500 }),
      (headers, data, mtu) => {
        const whole = frame(...headers, udp(toWeb), payload(data))
        const linkLength = headers.some(layer => layer.kind === 'vlan') ? 18 : 14
        const parts = fragment(whole, mtu, 77)
        if (whole.length - linkLength <= mtu) {
          assert.deepEqual(parts, [whole])
          return
        }
        let expected = 0
        const pieces = parts.map((part, i) => {
          assert.ok(part.length - linkLength <= mtu)
          const decoded = decode(part)
          const header = layerOf(decoded, 'ipv4') ?? layerOf(decoded, 'ipv6Fragment')
          assert.partialDeepStrictEqual(header, {
            fragmentOffset: expected,
            moreFragments: i < parts.length - 1,
            identification: 77,
          })
          assert.deepEqual(
            badChecksums(decoded).filter(kind => kind === 'ipv4'),
            [],
          )
          const at = decoded.layers.indexOf(header as DecodedLayer)
          const piece = part.subarray(frame(...decoded.layers.slice(0, at + 1)).length)
          expected += piece.length
          return piece
        })
        const body = whole.subarray(whole.length - expected)
        assert.deepEqual(Uint8Array.from(pieces.flatMap(piece => [...piece])), Uint8Array.from(body))
      },
    ),
  )
  assert.throws(
    () =>
      fragment(
        frame(
          ethernet(),
          arp({ operation: 1, senderMac: '02:00:00:00:00:01', senderIp: '10.0.0.1', targetIp: '10.0.0.2' }),
        ),
        100,
      ),
    PacketError,
  )
  assert.throws(() => fragment(frame(ethernet(), ipv4(pod), udp(toWeb), payload('abc')), 27), PacketError)
})
