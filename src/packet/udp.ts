// UDP datagrams (RFC 768): header and checksum, both ways.

import { pack, Reader, u16, with16 } from './bytes.ts'
import { type Addresses, transportChecksum } from './checksum.ts'
import type { Inside, Parsed, Resolved } from './layer.ts'

export type Udp = {
  readonly kind: 'udp'
  readonly sourcePort: number
  readonly destinationPort: number
  readonly length?: number
  /** 0 means that there is none (IPv4 only). */
  readonly checksum?: number
}

export function udp(fields: Omit<Udp, 'kind'>): Udp {
  return { kind: 'udp', ...fields }
}

export const UDP = 17
const HEADER = 8

export function encodeUdp(layer: Udp, { body }: Inside, addresses: Addresses | undefined): Uint8Array {
  const length = u16(layer.length ?? HEADER + body.length)
  const datagram = pack(u16(layer.sourcePort), u16(layer.destinationPort), length, u16(0), body)
  // A sum that comes out as 0 is sent as its other spelling, as 0 would mean "none".
  return with16(datagram, 6, layer.checksum ?? (transportChecksum(UDP, datagram, addresses) || 0xffff))
}

export function decodeUdp(bytes: Uint8Array): Parsed<Resolved<Udp>> {
  const reader = new Reader(bytes)
  const sourcePort = reader.u16()
  const destinationPort = reader.u16()
  const length = reader.u16()
  const checksum = reader.u16()
  return {
    layer: { kind: 'udp', sourcePort, destinationPort, length, checksum },
    body: reader.rest(),
    next: undefined,
    truncated: length > bytes.length,
  }
}
