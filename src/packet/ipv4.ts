// IPv4 headers (RFC 791): options, fragments.

import { formatIpv4, parseIpv4 } from '../ip/index.ts'
import { bits, PacketError, pack, Reader, UnparsedError, u8, u16, with16, zerosTo } from './bytes.ts'
import { type Addresses, internetChecksum } from './checksum.ts'
import type { Inside, Parsed, Resolved } from './layer.ts'

export type Ipv4 = {
  readonly kind: 'ipv4'
  readonly source: string
  readonly destination: string
  readonly ttl: number
  /** The whole byte: DSCP and ECN. */
  readonly typeOfService: number
  readonly identification: number
  readonly dontFragment: boolean
  readonly moreFragments: boolean
  /** In bytes; a multiple of 8. */
  readonly fragmentOffset: number
  /** As they stand in the header; filled up with zeros to a multiple of 4. At most 40 bytes. */
  readonly options: Uint8Array
  /** These follow from what the packet carries unless given. */
  readonly protocol?: number
  readonly totalLength?: number
  readonly checksum?: number
}

export function ipv4(fields: Partial<Omit<Ipv4, 'kind'>> & Pick<Ipv4, 'source' | 'destination'>): Ipv4 {
  return {
    kind: 'ipv4',
    ttl: 64,
    typeOfService: 0,
    identification: 0,
    dontFragment: false,
    moreFragments: false,
    fragmentOffset: 0,
    options: new Uint8Array(0),
    ...fields,
  }
}

const MIN_HEADER = 20
const MAX_OPTIONS = 40
const DONT_FRAGMENT = 0x4000
const MORE_FRAGMENTS = 0x2000

export function ipv4Addresses({ source, destination }: Ipv4): Addresses {
  return { source: address(source), destination: address(destination) }
}

export function encodeIpv4(layer: Ipv4, inside: Inside): Uint8Array {
  const protocol = layer.protocol ?? inside.protocol
  if (protocol === undefined) throw new PacketError('ipv4 needs a protocol when a plain payload follows')
  if (layer.fragmentOffset % 8 !== 0)
    throw new PacketError(`fragment offset ${layer.fragmentOffset} is no multiple of 8`)
  if (layer.options.length > MAX_OPTIONS) throw new PacketError(`${layer.options.length} bytes of IPv4 options`)
  const options = pack(layer.options, zerosTo(layer.options.length, 4))
  const fragment =
    (layer.dontFragment ? DONT_FRAGMENT : 0) +
    (layer.moreFragments ? MORE_FRAGMENTS : 0) +
    bits(layer.fragmentOffset / 8, 13)
  const { source, destination } = ipv4Addresses(layer)
  const header = pack(
    u8(0x40 + (MIN_HEADER + options.length) / 4),
    u8(layer.typeOfService),
    u16(layer.totalLength ?? MIN_HEADER + options.length + inside.body.length),
    u16(layer.identification),
    u16(fragment),
    u8(layer.ttl),
    u8(protocol),
    u16(0),
    source,
    destination,
    options,
  )
  return pack(with16(header, 10, layer.checksum ?? internetChecksum(header)), inside.body)
}

export function decodeIpv4(bytes: Uint8Array): Parsed<Resolved<Ipv4>> {
  const reader = new Reader(bytes)
  const first = reader.u8()
  const headerLength = (first & 0xf) * 4
  if (first >> 4 !== 4) throw new UnparsedError(`IP version ${first >> 4}`)
  if (headerLength < MIN_HEADER) throw new UnparsedError(`a header length of ${headerLength}`)
  const typeOfService = reader.u8()
  const totalLength = reader.u16()
  // 0 is how the kernel hands over a packet that segmentation offload will cut.
  if (totalLength !== 0 && totalLength < headerLength) throw new UnparsedError(`a total length of ${totalLength}`)
  const identification = reader.u16()
  const fragment = reader.u16()
  const ttl = reader.u8()
  const protocol = reader.u8()
  const checksum = reader.u16()
  const source = formatIpv4(reader.take(4))
  const destination = formatIpv4(reader.take(4))
  const options = reader.take(headerLength - MIN_HEADER)
  const fragmentOffset = (fragment & 0x1fff) * 8
  const bodyLength = totalLength === 0 ? reader.left : Math.min(reader.left, totalLength - headerLength)
  return {
    layer: {
      kind: 'ipv4',
      source,
      destination,
      ttl,
      typeOfService,
      identification,
      dontFragment: (fragment & DONT_FRAGMENT) !== 0,
      moreFragments: (fragment & MORE_FRAGMENTS) !== 0,
      fragmentOffset,
      options,
      protocol,
      totalLength,
      checksum,
    },
    truncated: totalLength > bytes.length,
    body: reader.take(bodyLength),
    surplus: reader.rest(),
    next: fragmentOffset > 0 ? undefined : { by: 'protocol', value: protocol },
  }
}

function address(text: string): Uint8Array {
  const bytes = parseIpv4(text)
  if (!bytes) throw new PacketError(`"${text}" is not an IPv4 address`)
  return bytes
}
