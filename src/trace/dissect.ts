// From the bytes of a frame to what the datapath knows of it: addresses, ports, what
// kind of packet it is, or why it cannot be described safely. Written from the
// documented behaviour and the RFCs, not from the C, so that the two check each
// other. Pure; decides nothing about policy.

import { isMapped, mapIpv4 } from '../ip/index.ts'
import type { DropReason, IcmpKind } from '../maps/index.ts'

/** What names a conversation, from the sender's side. Addresses are 16 bytes. */
export type Tuple = {
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly sourcePort: number
  readonly destinationPort: number
  readonly protocol: number
}

/** `offset` and `headersEnd` count bytes of the part that was cut into fragments. */
export type Fragment =
  | { readonly place: 'first'; readonly id: number; readonly headersEnd: number }
  | { readonly place: 'later'; readonly id: number; readonly offset: number }

export type Packet = Tuple & {
  readonly family: 4 | 6
  readonly timeToLive: number
  /** 0 where there is no TCP header. */
  readonly tcpFlags: number
  /** An ERROR quotes the packet it is about; NEIGHBOUR is discovery and multicast listener reports. */
  readonly icmp?: { readonly kind: IcmpKind; readonly type: number; readonly code: number }
  readonly fragment?: Fragment
  /** Bytes of the frame. */
  readonly length: number
  /** Where the transport header begins in the frame. */
  readonly transportOffset: number
  /** Where the IP packet ends in the frame. */
  readonly end: number
}

export type Refusal = { readonly refused: Exclude<DropReason, 'NONE'>; readonly because: string }

export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 } as const
export const TCP = { fin: 1, syn: 2, rst: 4, ack: 16 } as const
export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const
const VLAN_ETHERTYPES: readonly number[] = [0x8100, 0x88a8]

export const ETHERNET_HEADER = 14
const IPV4_HEADER = 20
const IPV6_HEADER = 40
/** More than this many extension headers are not followed. */
const EXTENSION_HEADERS_MAX = 8
/** RFC 791: loose and strict source route. */
const SOURCE_ROUTES: readonly number[] = [131, 137]
const EXTENSION = { hopByHop: 0, routing: 43, fragment: 44, authentication: 51, none: 59, destination: 60 } as const
/** Bytes that a transport header has at least; a packet must bring them whole. */
const TRANSPORT_HEADER: Readonly<Record<number, number>> = {
  [PROTOCOL.icmp]: 8,
  [PROTOCOL.icmpv6]: 8,
  [PROTOCOL.tcp]: 20,
  [PROTOCOL.udp]: 8,
  [PROTOCOL.sctp]: 12,
}

export const ethertypeOf = (frame: Uint8Array): number => word(frame, 12)

/** The IP packet in an untagged frame. */
export function dissect(frame: Uint8Array): Packet | Refusal {
  const ethertype = ethertypeOf(frame)
  if (VLAN_ETHERTYPES.includes(ethertype)) return { refused: 'VLAN_FILTERED', because: 'a VLAN tag' }
  if (ethertype === ETHERTYPE.ipv4) return dissectIpv4(frame)
  if (ethertype === ETHERTYPE.ipv6) return dissectIpv6(frame)
  return { refused: 'UNSUPPORTED_L3', because: `ethertype 0x${ethertype.toString(16).padStart(4, '0')}` }
}

const invalid = (because: string): Refusal => ({ refused: 'INVALID_PACKET', because })

function dissectIpv4(frame: Uint8Array): Packet | Refusal {
  const ip = frame.subarray(ETHERNET_HEADER)
  const header = (byte(ip, 0) & 15) * 4
  const total = word(ip, 2)
  if (ip.length < IPV4_HEADER) return invalid('the IPv4 header is cut short')
  if (byte(ip, 0) >> 4 !== 4) return invalid('not IPv4 inside')
  if (header < IPV4_HEADER) return invalid(`an IPv4 header of ${header} bytes`)
  if (total < header || total > ip.length) return invalid(`a total length of ${total} in ${ip.length} bytes`)
  if (hasSourceRoute(ip.subarray(IPV4_HEADER, header))) return invalid('a source route')

  const protocol = byte(ip, 9)
  if (protocol === PROTOCOL.icmpv6) return { refused: 'UNKNOWN_L4', because: 'ICMPv6 in IPv4' }
  const fragmentation = word(ip, 6)
  const offset = (fragmentation & 0x1fff) * 8
  const base: Base = {
    family: 4,
    source: mapIpv4(ip.subarray(12, 16)),
    destination: mapIpv4(ip.subarray(16, 20)),
    timeToLive: byte(ip, 8),
    length: frame.length,
  }
  const place =
    fragmentation & 0x3fff ? { id: littleEndian(ip, 4, 2), offset, start: ETHERNET_HEADER + header } : undefined
  return dissectTransport(frame, base, protocol, ETHERNET_HEADER + header, ETHERNET_HEADER + total, place)
}

/** RFC 791 options: end of list and no-operation are one byte, all others carry their length. */
function hasSourceRoute(options: Uint8Array): boolean {
  for (let at = 0; at < options.length; ) {
    const kind = byte(options, at)
    if (kind === 0) return false
    if (SOURCE_ROUTES.includes(kind)) return true
    at += kind === 1 ? 1 : Math.max(byte(options, at + 1), 2)
  }
  return false
}

type Base = Pick<Packet, 'family' | 'source' | 'destination' | 'timeToLive' | 'length'>
/** `start`: where in the frame the fragmented part begins. */
type Place = { readonly id: number; readonly offset: number; readonly start: number }

function dissectIpv6(frame: Uint8Array): Packet | Refusal {
  const ip = frame.subarray(ETHERNET_HEADER)
  if (ip.length < IPV6_HEADER) return invalid('the IPv6 header is cut short')
  if (byte(ip, 0) >> 4 !== 6) return invalid('not IPv6 inside')
  const payload = word(ip, 4)
  if (payload > ip.length - IPV6_HEADER) return invalid(`a payload length of ${payload} in ${ip.length} bytes`)
  const base: Base = {
    family: 6,
    source: ip.slice(8, 24),
    destination: ip.slice(24, 40),
    timeToLive: byte(ip, 7),
    length: frame.length,
  }
  if (isMapped(base.source) || isMapped(base.destination))
    return { refused: 'IPV4_MAPPED_ADDRESS', because: 'an IPv4-mapped address in an IPv6 packet' }

  // A jumbogram (RFC 2675) has length 0 here and its real one in a hop-by-hop option.
  const jumbo = payload === 0 && byte(ip, 6) === EXTENSION.hopByHop
  const end = jumbo ? frame.length : ETHERNET_HEADER + IPV6_HEADER + payload
  let next = byte(ip, 6)
  let at = ETHERNET_HEADER + IPV6_HEADER
  let place: Place | undefined
  let fragmentHeaders = 0
  for (let count = 0; count <= EXTENSION_HEADERS_MAX; count++) {
    if (next === EXTENSION.none) return { refused: 'UNKNOWN_L4', because: 'no transport header' }
    if (next === PROTOCOL.icmp) return { refused: 'UNKNOWN_L4', because: 'ICMPv4 in IPv6' }
    const length = extensionLength(frame, next, at)
    if (length === undefined) return dissectTransport(frame, base, next, at, end, place)
    if (at + length > end) return invalid('an extension header is cut short')
    if (next === EXTENSION.routing && byte(frame, at + 3) > 0) return invalid('a routing header with segments left')
    if (next === EXTENSION.fragment) {
      if (++fragmentHeaders > 1) return invalid('a second fragment header')
      const start = at + length
      const offset = word(frame, at + 2) & 0xfff8
      const more = (word(frame, at + 2) & 1) === 1
      // RFC 6946: neither an offset nor more to come is a whole packet.
      if (offset > 0 || more) place = { id: littleEndian(frame, at + 4, 4), offset, start }
      if (offset > 0) return dissectTransport(frame, base, byte(frame, at), start, end, place)
    }
    next = byte(frame, at)
    at += length
  }
  return { refused: 'UNKNOWN_L4', because: `more than ${EXTENSION_HEADERS_MAX} extension headers` }
}

/** Bytes of an extension header, undefined for what is none (RFC 8200 section 4, RFC 4302 section 2.2). */
function extensionLength(frame: Uint8Array, kind: number, at: number): number | undefined {
  switch (kind) {
    case EXTENSION.hopByHop:
    case EXTENSION.routing:
    case EXTENSION.destination:
      return (byte(frame, at + 1) + 1) * 8
    case EXTENSION.authentication:
      return (byte(frame, at + 1) + 2) * 4
    case EXTENSION.fragment:
      return 8
    default:
      return undefined
  }
}

function dissectTransport(
  frame: Uint8Array,
  base: Base,
  protocol: number,
  at: number,
  end: number,
  place: Place | undefined,
): Packet | Refusal {
  const packet = { ...base, protocol, sourcePort: 0, destinationPort: 0, tcpFlags: 0, transportOffset: at, end }
  if (place && place.offset > 0) return { ...packet, fragment: { place: 'later', id: place.id, offset: place.offset } }
  const header = TRANSPORT_HEADER[protocol] ?? 0
  if (at + header > end) return invalid('the transport header is cut short')
  const fragment: Fragment | undefined = place && {
    place: 'first',
    id: place.id,
    headersEnd: at + header - place.start,
  }
  return { ...packet, ...readTransport(frame, protocol, at), ...(fragment ? { fragment } : {}) }
}

function readTransport(frame: Uint8Array, protocol: number, at: number): Partial<Packet> {
  switch (protocol) {
    case PROTOCOL.tcp:
      return { sourcePort: word(frame, at), destinationPort: word(frame, at + 2), tcpFlags: byte(frame, at + 13) }
    case PROTOCOL.udp:
    case PROTOCOL.sctp:
      return { sourcePort: word(frame, at), destinationPort: word(frame, at + 2) }
    case PROTOCOL.icmp:
    case PROTOCOL.icmpv6: {
      const type = byte(frame, at)
      const kind = icmpKind(protocol, type)
      return { icmp: { kind, type, code: byte(frame, at + 1) }, ...echoPorts(kind, word(frame, at + 4)) }
    }
    default:
      return {}
  }
}

const ICMP_KINDS: Readonly<Record<number, IcmpKind>> = {
  0: 'ECHO_REPLY',
  3: 'ERROR',
  8: 'ECHO_REQUEST',
  11: 'ERROR',
  12: 'ERROR',
}
const ICMPV6_KINDS: Readonly<Record<number, IcmpKind>> = {
  1: 'ERROR',
  2: 'ERROR',
  3: 'ERROR',
  4: 'ERROR',
  128: 'ECHO_REQUEST',
  129: 'ECHO_REPLY',
  131: 'NEIGHBOUR',
  132: 'NEIGHBOUR',
  133: 'NEIGHBOUR',
  135: 'NEIGHBOUR',
  136: 'NEIGHBOUR',
  143: 'NEIGHBOUR',
}

const icmpKind = (protocol: number, type: number): IcmpKind =>
  (protocol === PROTOCOL.icmp ? ICMP_KINDS : ICMPV6_KINDS)[type] ?? 'OTHER'

/** An echo's identifier stands in for the port of the side that asks. */
function echoPorts(kind: IcmpKind, identifier: number): Pick<Tuple, 'sourcePort' | 'destinationPort'> {
  return {
    sourcePort: kind === 'ECHO_REQUEST' ? identifier : 0,
    destinationPort: kind === 'ECHO_REPLY' ? identifier : 0,
  }
}

/** The packet that an ICMP error quotes, as far as it names a conversation (RFC 792, RFC 4443: at least 8 bytes of its payload). */
export function dissectQuoted(frame: Uint8Array, error: Packet): Tuple | undefined {
  const ip = frame.subarray(error.transportOffset + 8)
  return error.family === 4 ? quotedIpv4(ip) : quotedIpv6(ip)
}

function quotedIpv4(ip: Uint8Array): Tuple | undefined {
  const header = (byte(ip, 0) & 15) * 4
  if (ip.length < IPV4_HEADER || byte(ip, 0) >> 4 !== 4 || header < IPV4_HEADER) return undefined
  if (word(ip, 6) & 0x1fff) return undefined
  const ends = { source: mapIpv4(ip.subarray(12, 16)), destination: mapIpv4(ip.subarray(16, 20)) }
  return quotedTransport(ip.subarray(header), ends, byte(ip, 9))
}

function quotedIpv6(ip: Uint8Array): Tuple | undefined {
  if (ip.length < IPV6_HEADER || byte(ip, 0) >> 4 !== 6) return undefined
  const ends = { source: ip.slice(8, 24), destination: ip.slice(24, 40) }
  if (isMapped(ends.source) || isMapped(ends.destination)) return undefined
  if (byte(ip, 6) !== EXTENSION.fragment) return quotedTransport(ip.subarray(IPV6_HEADER), ends, byte(ip, 6))
  if (ip.length < IPV6_HEADER + 8 || word(ip, IPV6_HEADER + 2) & 0xfff8) return undefined
  return quotedTransport(ip.subarray(IPV6_HEADER + 8), ends, byte(ip, IPV6_HEADER))
}

function quotedTransport(
  transport: Uint8Array,
  ends: Pick<Tuple, 'source' | 'destination'>,
  protocol: number,
): Tuple | undefined {
  if (transport.length < 8) return undefined
  const { icmp, sourcePort = 0, destinationPort = 0 } = readTransport(transport, protocol, 0)
  if (icmp && icmp.kind !== 'ECHO_REQUEST' && icmp.kind !== 'ECHO_REPLY') return undefined
  return { ...ends, protocol, sourcePort, destinationPort }
}

const byte = (bytes: Uint8Array, at: number): number => bytes[at] ?? 0
const word = (bytes: Uint8Array, at: number): number => (byte(bytes, at) << 8) | byte(bytes, at + 1)

/** An identification as the maps keep it: its bytes as they stand in the packet. */
function littleEndian(bytes: Uint8Array, at: number, size: number): number {
  let value = 0
  for (let index = size - 1; index >= 0; index--) value = value * 256 + byte(bytes, at + index)
  return value
}
