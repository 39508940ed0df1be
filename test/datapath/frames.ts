// Frames for the tests of the datapath, byte by byte, whole or broken on purpose.
// src/packet builds packets by what they mean; here lengths, versions and headers may
// be given that no meaning has. What is not given is right.

import { isMapped } from '../../src/ip/index.ts'
import { internetChecksum } from '../../src/packet/index.ts'

export const PROTOCOL = { icmp: 1, igmp: 2, tcp: 6, udp: 17, gre: 47, icmpv6: 58, sctp: 132 } as const
export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, qinq: 0x88a8, ipv6: 0x86dd } as const
export const FIN = 1
export const SYN = 2
export const RST = 4
export const PSH = 8
export const ACK = 16

export const bytes = (...parts: readonly (number | Uint8Array)[]): Uint8Array =>
  Uint8Array.from(parts.flatMap(part => (typeof part === 'number' ? [part] : [...part])))

const u16 = (value: number): Uint8Array => Uint8Array.of((value >> 8) & 0xff, value & 0xff)
const u32 = (value: number): Uint8Array => bytes(u16(value >>> 16), u16(value & 0xffff))

export function ethernet(header: { source: Uint8Array; destination: Uint8Array; type: number }, payload: Uint8Array) {
  return bytes(header.destination, header.source, u16(header.type), payload)
}

export type IpFields = {
  readonly source: Uint8Array
  readonly destination: Uint8Array
  readonly timeToLive?: number
  /** Bytes: of this fragment in the whole. Multiple of 8. */
  readonly fragment?: { readonly id: number; readonly offset: number; readonly more: boolean; readonly next?: number }
  /** IPv4 options, padded by the caller; IPv6 extension headers before the fragment header. */
  readonly options?: Uint8Array
  readonly extensions?: readonly Extension[]
  /** Extension headers behind the fragment header. */
  readonly inner?: readonly Extension[]
  /** Instead of what is right. */
  readonly version?: number
  readonly headerWords?: number
  readonly length?: number
}

/** `body` begins after the next-header field; its length is a whole number of the header's units, less one byte. */
export type Extension = { readonly kind: number; readonly body: Uint8Array }

/** A header of 8 × `units` bytes whose body says nothing. */
export const padding = (kind: number, units = 1): Extension => ({
  kind,
  body: bytes(units - 1, 1, units * 8 - 4, new Uint8Array(units * 8 - 4)),
})

/** Addresses are 16 bytes, IPv4 mapped. */
export function ip(family: 4 | 6, fields: IpFields, protocol: number, payload: Uint8Array): Uint8Array {
  return family === 4 ? ipv4(fields, protocol, payload) : ipv6(fields, protocol, payload)
}

function ipv4(fields: IpFields, protocol: number, payload: Uint8Array): Uint8Array {
  const options = fields.options ?? new Uint8Array(0)
  const words = fields.headerWords ?? 5 + options.length / 4
  const flags = fields.fragment ? (fields.fragment.offset >> 3) | (fields.fragment.more ? 0x2000 : 0) : 0x4000
  const head = (sum: number): Uint8Array =>
    bytes(
      ((fields.version ?? 4) << 4) | words,
      0,
      u16(fields.length ?? 20 + options.length + payload.length),
      u16(fields.fragment?.id ?? 0),
      u16(flags),
      fields.timeToLive ?? 64,
      protocol,
      u16(sum),
      fields.source.subarray(12),
      fields.destination.subarray(12),
      options,
    )
  return bytes(head(internetChecksum(head(0))), payload)
}

function ipv6(fields: IpFields, protocol: number, payload: Uint8Array): Uint8Array {
  const { fragment } = fields
  const inner = fields.inner ?? []
  const fragmentHeader: readonly Extension[] = fragment
    ? [{ kind: 44, body: bytes(0, u16(fragment.offset | (fragment.more ? 1 : 0)), u32(fragment.id)) }]
    : []
  const chain = [...(fields.extensions ?? []), ...fragmentHeader, ...inner]
  const last = fragment?.next ?? protocol
  const headers = chain.map(({ kind, body }, index) => {
    const follows = kind === 44 && fragment?.next !== undefined ? fragment.next : (chain[index + 1]?.kind ?? last)
    return bytes(follows, body)
  })
  const length = headers.reduce((total, header) => total + header.length, payload.length)
  return bytes(
    (fields.version ?? 6) << 4,
    new Uint8Array(3),
    u16(fields.length ?? length),
    chain[0]?.kind ?? protocol,
    fields.timeToLive ?? 64,
    fields.source,
    fields.destination,
    ...headers,
    payload,
  )
}

type Ends = { readonly source: Uint8Array; readonly destination: Uint8Array }

/** Over a transport header whose checksum field is zero. */
function transportChecksum({ source, destination }: Ends, protocol: number, segment: Uint8Array): number {
  const pseudo = isMapped(source) ? [source.subarray(12), destination.subarray(12)] : [source, destination]
  return internetChecksum(bytes(...pseudo, u32(segment.length), u32(protocol)), segment)
}

function withChecksum(segment: Uint8Array, at: number, sum: number): Uint8Array {
  const copy = segment.slice()
  copy.set(u16(sum), at)
  return copy
}

export type Ports = { readonly sourcePort: number; readonly destinationPort: number }

export type TcpFields = {
  readonly sequence?: number
  readonly acknowledgment?: number
  readonly window?: number
  /** Padded by the caller. */
  readonly options?: Uint8Array
  readonly payload?: Uint8Array
}

export function tcp(ends: Ends, ports: Ports, flags: number, fields: TcpFields = {}): Uint8Array {
  const options = fields.options ?? new Uint8Array(0)
  const segment = bytes(
    u16(ports.sourcePort),
    u16(ports.destinationPort),
    u32(fields.sequence ?? 1),
    u32(fields.acknowledgment ?? 1),
    0x50 + (options.length << 2),
    flags,
    u16(fields.window ?? 0xffff),
    u32(0),
    options,
    fields.payload ?? new Uint8Array(0),
  )
  return withChecksum(segment, 16, transportChecksum(ends, PROTOCOL.tcp, segment))
}

export function udp(ends: Ends, ports: Ports, payload = new Uint8Array(0)): Uint8Array {
  const segment = bytes(u16(ports.sourcePort), u16(ports.destinationPort), u16(8 + payload.length), u16(0), payload)
  return withChecksum(segment, 6, transportChecksum(ends, PROTOCOL.udp, segment))
}

/** A common header without chunks; its CRC is not looked at by anybody here. */
export const sctp = (ports: Ports): Uint8Array =>
  bytes(u16(ports.sourcePort), u16(ports.destinationPort), u32(7), u32(0))

/** `rest` is what follows the checksum: of an echo, identifier and sequence number. */
export function icmp(ends: Ends, type: number, code: number, rest: Uint8Array): Uint8Array {
  const message = bytes(type, code, 0, 0, rest)
  const v4 = isMapped(ends.source)
  return withChecksum(message, 2, v4 ? internetChecksum(message) : transportChecksum(ends, PROTOCOL.icmpv6, message))
}

export const echoBody = (id: number, sequence = 1): Uint8Array => bytes(u16(id), u16(sequence), new Uint8Array(8))

export type ArpFields = {
  readonly operation: number
  readonly senderMac: Uint8Array
  /** 4 bytes. */
  readonly senderIp: Uint8Array
  readonly targetMac?: Uint8Array
  readonly targetIp: Uint8Array
  readonly hardware?: number
  readonly protocol?: number
  readonly addressLengths?: readonly [number, number]
}

export function arp(fields: ArpFields): Uint8Array {
  return bytes(
    u16(fields.hardware ?? 1),
    u16(fields.protocol ?? ETHERTYPE.ipv4),
    ...(fields.addressLengths ?? [6, 4]),
    u16(fields.operation),
    fields.senderMac,
    fields.senderIp,
    fields.targetMac ?? new Uint8Array(6),
    fields.targetIp,
  )
}
