// Random packets for property tests: of the codecs here, and of whatever judges packets.
// Every frame is valid (lengths, checksums) unless it is a damaged one.

import * as fc from 'fast-check'
import { formatIpv4, formatIpv6, formatMac } from '../../ip/index.ts'
import { frame, ipv4, ipv6, type Layer, payload, udp } from '../index.ts'

const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(model, { noNullPrototype: true })
export const bytes = (constraints: { minLength?: number; maxLength: number }) => fc.uint8Array(constraints)
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
/** Layers of any frame, as given to `frame`: link, tags, then IPv4, IPv6 with all they can carry, or ARP. */
export const anyStack: fc.Arbitrary<Layer[]> = fc
  .tuple(link, fc.oneof(ipv4Stack, ipv6Stack, arpStack))
  .map(([outer, inner]): Layer[] => [...outer, ...inner])

/** Bytes of frames that were changed, lengthened or cut. */
export const damagedFrame: fc.Arbitrary<Uint8Array> = fc
  .tuple(
    anyStack,
    fc.array(fc.tuple(fc.nat(), u8), { maxLength: 6 }),
    bytes({ maxLength: 12 }),
    fc.option(fc.nat(), { nil: undefined }),
  )
  .map(([layers, changes, tail, cut]) => {
    const damaged = Uint8Array.from([...frame(...layers), ...tail])
    for (const [at, value] of changes) damaged[at % damaged.length] = value
    return cut === undefined ? damaged : damaged.subarray(0, cut % damaged.length)
  })
