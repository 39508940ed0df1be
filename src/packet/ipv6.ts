// IPv6 headers (RFC 8200): the fixed header, extension headers, fragments. Addresses may
// be IPv4-mapped (`::ffff:10.0.0.1`): no such packet is legitimate, so tests need them.

import { formatIpv6, parseIpv6 } from '../ip/index.ts'
import { bits, PacketError, pack, Reader, UnparsedError, u8, u16, u32, zerosTo } from './bytes.ts'
import type { Addresses } from './checksum.ts'
import type { Inside, Parsed, Resolved } from './layer.ts'

export type Ipv6 = {
  readonly kind: 'ipv6'
  readonly source: string
  readonly destination: string
  readonly hopLimit: number
  readonly trafficClass: number
  readonly flowLabel: number
  /** These follow from what the packet carries unless given. */
  readonly nextHeader?: number
  readonly payloadLength?: number
}

export function ipv6(fields: Partial<Omit<Ipv6, 'kind'>> & Pick<Ipv6, 'source' | 'destination'>): Ipv6 {
  return { kind: 'ipv6', hopLimit: 64, trafficClass: 0, flowLabel: 0, ...fields }
}

export const FRAGMENT_HEADER = 44
export const NO_NEXT_HEADER = 59
const HEADER = 40

export function ipv6Addresses({ source, destination }: Ipv6): Addresses {
  return { source: ipv6Address(source), destination: ipv6Address(destination) }
}

export function encodeIpv6(layer: Ipv6, inside: Inside): Uint8Array {
  const { source, destination } = ipv6Addresses(layer)
  return pack(
    u32(0x60000000 + bits(layer.trafficClass, 8) * 0x100000 + bits(layer.flowLabel, 20)),
    u16(layer.payloadLength ?? inside.body.length),
    u8(nextHeaderOf(layer, inside)),
    u8(layer.hopLimit),
    source,
    destination,
    inside.body,
  )
}

export function decodeIpv6(bytes: Uint8Array): Parsed<Resolved<Ipv6>> {
  const reader = new Reader(bytes)
  const first = reader.u32()
  const version = Math.floor(first / 0x10000000)
  if (version !== 6) throw new UnparsedError(`IP version ${version}`)
  const payloadLength = reader.u16()
  const nextHeader = reader.u8()
  const hopLimit = reader.u8()
  const source = formatIpv6(reader.take(16))
  const destination = formatIpv6(reader.take(16))
  // 0 with something after it: a packet that segmentation offload will cut, or a jumbogram.
  const isOffloaded = payloadLength === 0 && nextHeader !== NO_NEXT_HEADER
  return {
    layer: {
      kind: 'ipv6',
      source,
      destination,
      hopLimit,
      trafficClass: (first >>> 20) & 0xff,
      flowLabel: first & 0xfffff,
      nextHeader,
      payloadLength,
    },
    truncated: HEADER + payloadLength > bytes.length,
    body: reader.take(isOffloaded ? reader.left : Math.min(reader.left, payloadLength)),
    surplus: reader.rest(),
    next: nextHeader === NO_NEXT_HEADER ? undefined : { by: 'protocol', value: nextHeader },
  }
}

/** Protocol numbers of the extension headers that share one layout. */
export const EXTENSION = { hopByHop: 0, routing: 43, authentication: 51, destination: 60, mobility: 135 } as const

export type Ipv6Extension = {
  readonly kind: 'ipv6Extension'
  readonly type: keyof typeof EXTENSION
  /** What follows the next header and the length; filled up with zeros to the header's unit (8 bytes; authentication: 4). */
  readonly content: Uint8Array
  readonly nextHeader?: number
}

export function ipv6Extension(
  fields: Omit<Ipv6Extension, 'kind' | 'content'> & { readonly content?: Uint8Array },
): Ipv6Extension {
  return { kind: 'ipv6Extension', content: new Uint8Array(6), ...fields }
}

/** The hop-by-hop header that MLD messages must carry (RFC 2711, RFC 3810 section 5). */
export function routerAlert(): Ipv6Extension {
  return ipv6Extension({ type: 'hopByHop', content: Uint8Array.of(5, 2, 0, 0, 1, 0) })
}

export function encodeIpv6Extension(layer: Ipv6Extension, inside: Inside): Uint8Array {
  // Authentication counts in units of 4 bytes and leaves out two of them (RFC 4302); the others in 8, leaving out one.
  const unit = layer.type === 'authentication' ? 4 : 8
  const content = pack(layer.content, zerosTo(layer.content.length + 2, unit))
  return pack(u8(nextHeaderOf(layer, inside)), u8(lengthField(layer.type, content.length + 2)), content, inside.body)
}

const lengthField = (type: Ipv6Extension['type'], length: number): number =>
  type === 'authentication' ? Math.max(length / 4 - 2, 0) : length / 8 - 1

export function decodeIpv6Extension(bytes: Uint8Array, type: Ipv6Extension['type']): Parsed<Resolved<Ipv6Extension>> {
  const reader = new Reader(bytes)
  const nextHeader = reader.u8()
  const field = reader.u8()
  const content = reader.take((type === 'authentication' ? (field + 2) * 4 : (field + 1) * 8) - 2)
  return {
    layer: { kind: 'ipv6Extension', type, content, nextHeader },
    body: reader.rest(),
    next: nextHeader === NO_NEXT_HEADER ? undefined : { by: 'protocol', value: nextHeader },
  }
}

export type Ipv6Fragment = {
  readonly kind: 'ipv6Fragment'
  /** In bytes; a multiple of 8. */
  readonly fragmentOffset: number
  readonly moreFragments: boolean
  readonly identification: number
  readonly nextHeader?: number
}

export function ipv6Fragment(fields: Partial<Omit<Ipv6Fragment, 'kind'>> = {}): Ipv6Fragment {
  return { kind: 'ipv6Fragment', fragmentOffset: 0, moreFragments: false, identification: 0, ...fields }
}

export function encodeIpv6Fragment(layer: Ipv6Fragment, inside: Inside): Uint8Array {
  if (layer.fragmentOffset % 8 !== 0)
    throw new PacketError(`fragment offset ${layer.fragmentOffset} is no multiple of 8`)
  const field = bits(layer.fragmentOffset, 16) + (layer.moreFragments ? 1 : 0)
  return pack(u8(nextHeaderOf(layer, inside)), u8(0), u16(field), u32(layer.identification), inside.body)
}

export function decodeIpv6Fragment(bytes: Uint8Array): Parsed<Resolved<Ipv6Fragment>> {
  const reader = new Reader(bytes)
  const nextHeader = reader.u8()
  reader.u8()
  const field = reader.u16()
  const identification = reader.u32()
  const fragmentOffset = field & 0xfff8
  return {
    layer: { kind: 'ipv6Fragment', fragmentOffset, moreFragments: (field & 1) !== 0, identification, nextHeader },
    body: reader.rest(),
    next: fragmentOffset > 0 || nextHeader === NO_NEXT_HEADER ? undefined : { by: 'protocol', value: nextHeader },
  }
}

/** @throws PacketError */
export function ipv6Address(text: string): Uint8Array {
  const bytes = parseIpv6(text)
  if (!bytes) throw new PacketError(`"${text}" is not an IPv6 address`)
  return bytes
}

function nextHeaderOf(layer: Ipv6 | Ipv6Extension | Ipv6Fragment, inside: Inside): number {
  const nextHeader = layer.nextHeader ?? inside.protocol ?? (inside.body.length === 0 ? NO_NEXT_HEADER : undefined)
  if (nextHeader === undefined) throw new PacketError(`${layer.kind} needs a nextHeader when a plain payload follows`)
  return nextHeader
}
