// The Internet checksum (RFC 1071), with the pseudo-headers of IPv4 (RFC 793) and IPv6
// (RFC 8200 section 8.1), and the CRC32c of SCTP (RFC 9260 appendix A). Pure.

import { pack, u8, u16, u32 } from './bytes.ts'

/** Source and destination of the IP packet around a transport header, as they stand on the wire (4 or 16 bytes each). */
export type Addresses = { readonly source: Uint8Array; readonly destination: Uint8Array }

/** One's complement of the one's-complement sum. 0 over data that contains its own correct checksum. */
export function internetChecksum(...parts: readonly Uint8Array[]): number {
  const bytes = parts.length === 1 && parts[0] ? parts[0] : pack(...parts)
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] ?? 0) * 0x100 + (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000)
  return 0xffff - sum
}

/** Checksum of a transport header and its data inside an IP packet. Without addresses, as for ICMPv4, of the data alone. */
export function transportChecksum(protocol: number, segment: Uint8Array, addresses: Addresses | undefined): number {
  if (!addresses) return internetChecksum(segment)
  const { source, destination } = addresses
  const pseudoHeader =
    source.length === 4
      ? pack(source, destination, u8(0), u8(protocol), u16(segment.length % 0x10000))
      : pack(source, destination, u32(segment.length), [0, 0, 0], u8(protocol))
  return internetChecksum(pseudoHeader, segment)
}

const CRC32C_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte
  for (let bit = 0; bit < 8; bit++) remainder = remainder & 1 ? (remainder >>> 1) ^ 0x82f63b78 : remainder >>> 1
  return remainder >>> 0
})

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (crc >>> 8) ^ (CRC32C_TABLE[(crc ^ byte) & 0xff] ?? 0)
  return (crc ^ 0xffffffff) >>> 0
}
