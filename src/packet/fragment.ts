// Cuts a packet into IP fragments, as a sender (IPv6) or a router (IPv4) would.

import { PacketError } from './bytes.ts'
import { type DecodedLayer, decode } from './decode.ts'
import { frame, type Layer, payload } from './frame.ts'
import { FRAGMENT_HEADER, ipv6Fragment } from './ipv6.ts'

const FRAGMENT_HEADER_LENGTH = 8

/**
 * The fragments of an Ethernet frame, first to last; the frame itself when it fits.
 * @param mtu most bytes of an IP packet
 * @param identification of the IPv6 fragment header; IPv4 keeps that of the packet
 * @throws PacketError for a frame without IP, or when the MTU leaves no room
 */
export function fragment(bytes: Uint8Array, mtu: number, identification = 1): Uint8Array[] {
  const { layers } = decode(bytes)
  const last = lastUnfragmentable(layers)
  const headers = layers.slice(0, last + 1)
  const body = bytes.subarray(frame(...headers).length, bytes.length - paddingLength(layers))
  const ipHeaderLength = frame(...headers.filter(isIpHeader)).length
  if (ipHeaderLength + body.length <= mtu) return [bytes]
  const isSix = layers[last]?.kind !== 'ipv4'
  const room = (mtu - ipHeaderLength - (isSix ? FRAGMENT_HEADER_LENGTH : 0)) & ~7
  if (room <= 0) throw new PacketError(`an MTU of ${mtu} leaves no room for a fragment`)
  const offsets = Array.from({ length: Math.ceil(body.length / room) }, (_, i) => i * room)
  return offsets.map(offset => {
    const part = { fragmentOffset: offset, moreFragments: offset + room < body.length }
    const content = payload(body.slice(offset, offset + room))
    return isSix
      ? frame(...sixHeaders(headers, { ...part, identification }), content)
      : frame(...headers.map(layer => fourHeader(layer, part)), content)
  })
}

type Part = { readonly fragmentOffset: number; readonly moreFragments: boolean }

const isIpHeader = (layer: DecodedLayer): boolean => layer.kind.startsWith('ip')

const paddingLength = (layers: readonly DecodedLayer[]): number =>
  layers.reduce((sum, layer) => sum + (layer.kind === 'padding' ? layer.content.length : 0), 0)

/** Index of the header after which the packet may be cut: IPv4's own, or the last that routers read (RFC 8200 section 4.5). */
function lastUnfragmentable(layers: readonly DecodedLayer[]): number {
  let last = layers.findIndex(layer => layer.kind === 'ipv4' || layer.kind === 'ipv6')
  if (last < 0) throw new PacketError('only IP packets have fragments')
  for (let i = last + 1; layers[last]?.kind !== 'ipv4' && i < layers.length; i++) {
    const layer = layers[i]
    if (layer?.kind !== 'ipv6Extension') break
    if (layer.type === 'hopByHop' || layer.type === 'routing') last = i
  }
  return last
}

function fourHeader(layer: DecodedLayer, part: Part): Layer {
  if (layer.kind !== 'ipv4') return layer
  const { totalLength: _length, checksum: _checksum, ...rest } = layer
  return { ...rest, ...part }
}

function sixHeaders(headers: readonly DecodedLayer[], part: Part & { readonly identification: number }) {
  const last = headers.at(-1)
  const nextHeader = last && 'nextHeader' in last ? last.nextHeader : 0
  const changed = headers.map((layer, i): Layer => {
    const named = i === headers.length - 1 && 'nextHeader' in layer ? { ...layer, nextHeader: FRAGMENT_HEADER } : layer
    if (named.kind !== 'ipv6') return named
    const { payloadLength: _, ...rest } = named
    return rest
  })
  return [...changed, ipv6Fragment({ ...part, nextHeader })]
}
