// Builds packets from layers, outermost first:
//   frame(ethernet(), ipv4({ source, destination }), tcp({ ... }), payload('x'))
// Lengths, protocol numbers and checksums follow from what stands inside, unless a layer
// names its own: so a test can build any broken packet too.

import { PacketError, pack } from './bytes.ts'
import type { Addresses } from './checksum.ts'
import { type Arp, ETHER_TYPE, type Ethernet, encodeArp, encodeEthernet, encodeVlan, type Vlan } from './ethernet.ts'
import { encodeIcmpv4, ICMPV4, type Icmpv4 } from './icmpv4.ts'
import { encodeIcmpv6, ICMPV6, type Icmpv6 } from './icmpv6.ts'
import { encodeIpv4, type Ipv4, ipv4Addresses } from './ipv4.ts'
import {
  EXTENSION,
  encodeIpv6,
  encodeIpv6Extension,
  encodeIpv6Fragment,
  FRAGMENT_HEADER,
  type Ipv6,
  type Ipv6Extension,
  type Ipv6Fragment,
  ipv6Addresses,
} from './ipv6.ts'
import type { Inside } from './layer.ts'
import { encodeSctp, SCTP, type Sctp } from './sctp.ts'
import { encodeTcp, TCP, type Tcp } from './tcp.ts'
import { encodeUdp, UDP, type Udp } from './udp.ts'

/** Bytes without a structure of their own. */
export type Payload = { readonly kind: 'payload'; readonly content: Uint8Array }

/** Bytes that should have been a header of the kind `of`, and why they were not. */
export type Unparsed = {
  readonly kind: 'unparsed'
  readonly of: LayerKind
  readonly reason: string
  readonly content: Uint8Array
}

/** Bytes after the end of the packet at index `after`: the outermost one unless given. Stands last. */
export type Padding = { readonly kind: 'padding'; readonly content: Uint8Array; readonly after?: number }

export type Header =
  | Ethernet
  | Vlan
  | Arp
  | Ipv4
  | Ipv6
  | Ipv6Extension
  | Ipv6Fragment
  | Tcp
  | Udp
  | Sctp
  | Icmpv4
  | Icmpv6

export type LayerKind = Header['kind']
export type Layer = Header | Payload | Unparsed | Padding

export function payload(content: string | Uint8Array): Payload {
  return { kind: 'payload', content: typeof content === 'string' ? new TextEncoder().encode(content) : content }
}

/** Zeros, or the given bytes, after the end of the packet: as in Ethernet frames shorter than 60 bytes. */
export function padding(content: number | Uint8Array): Padding {
  return { kind: 'padding', content: typeof content === 'number' ? new Uint8Array(content) : content }
}

/**
 * The bytes of the layers. They may start anywhere: with IP for a packet without a link header. Takes decoded layers too.
 * @throws PacketError for a value that does not fit its field; AddressSyntaxError for a MAC address that is none
 */
export function frame(...layers: readonly Layer[]): Uint8Array {
  return encodeFrom(layers, 0, undefined)
}

const PACKETS: readonly Layer['kind'][] = ['ipv4', 'ipv6', 'arp']

function encodeFrom(layers: readonly Layer[], index: number, around: Addresses | undefined): Uint8Array {
  const layer = layers[index]
  if (!layer || layer.kind === 'padding') return new Uint8Array(0)
  const addresses = addressesOf(layer) ?? around
  const next = layers[index + 1]
  const inside = {
    body: encodeFrom(layers, index + 1, addresses),
    etherType: next && etherTypeOf(next),
    protocol: next && protocolOf(next),
  }
  const outermost = layers.findIndex(each => PACKETS.includes(each.kind))
  const after = layers.filter(each => each.kind === 'padding' && (each.after ?? Math.max(outermost, 0)) === index)
  return pack(encodeLayer(layer, inside, addresses), ...after.map(each => (each as Padding).content))
}

function encodeLayer(layer: Exclude<Layer, Padding>, inside: Inside, addresses: Addresses | undefined): Uint8Array {
  switch (layer.kind) {
    case 'ethernet':
      return encodeEthernet(layer, inside)
    case 'vlan':
      return encodeVlan(layer, inside)
    case 'arp':
      return last(layer, inside, encodeArp(layer))
    case 'ipv4':
      return encodeIpv4(layer, inside)
    case 'ipv6':
      return encodeIpv6(layer, inside)
    case 'ipv6Extension':
      return encodeIpv6Extension(layer, inside)
    case 'ipv6Fragment':
      return encodeIpv6Fragment(layer, inside)
    case 'tcp':
      return encodeTcp(layer, inside, addresses)
    case 'udp':
      return encodeUdp(layer, inside, addresses)
    case 'sctp':
      return last(layer, inside, encodeSctp(layer))
    case 'icmpv4':
      return encodeIcmpv4(layer, inside)
    case 'icmpv6':
      return encodeIcmpv6(layer, inside, addresses)
    case 'payload':
    case 'unparsed':
      return last(layer, inside, layer.content)
  }
}

function last(layer: Layer, { body }: Inside, bytes: Uint8Array): Uint8Array {
  if (body.length > 0) throw new PacketError(`nothing can follow ${layer.kind}`)
  return bytes
}

function addressesOf(layer: Layer): Addresses | undefined {
  if (layer.kind === 'ipv4') return ipv4Addresses(layer)
  return layer.kind === 'ipv6' ? ipv6Addresses(layer) : undefined
}

function etherTypeOf(layer: Layer): number | undefined {
  if (layer.kind === 'vlan') return layer.service ? ETHER_TYPE.serviceVlan : ETHER_TYPE.vlan
  return layer.kind === 'ipv4' || layer.kind === 'ipv6' || layer.kind === 'arp' ? ETHER_TYPE[layer.kind] : undefined
}

const PROTOCOL: Readonly<Partial<Record<Layer['kind'], number>>> = {
  ipv4: 4,
  ipv6: 41,
  ipv6Fragment: FRAGMENT_HEADER,
  tcp: TCP,
  udp: UDP,
  sctp: SCTP,
  icmpv4: ICMPV4,
  icmpv6: ICMPV6,
}

function protocolOf(layer: Layer): number | undefined {
  return layer.kind === 'ipv6Extension' ? EXTENSION[layer.type] : PROTOCOL[layer.kind]
}
