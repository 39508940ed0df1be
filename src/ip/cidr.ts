// CIDR prefixes: strict text, containment, first and last address, splitting of a
// range. A prefix length counts in the prefix's own family (0-32 or 0-128); maps and
// the trie use `mappedLength`, which counts in the 16-byte form. Pure.

import { ADDRESS_BITS, AddressSyntaxError, type Family, formatIp, type IpAddress, parseIp } from './address.ts'

/** A prefix. `bytes` are 16 (IPv4 mapped) with the host bits zeroed; `text` is canonical, such as `10.0.0.0/8`. */
export type Cidr = {
  readonly family: Family
  readonly bytes: Uint8Array
  readonly prefixLength: number
  readonly text: string
}

/** `hadHostBits`: the text named an address inside the network, such as `10.1.2.3/8`. */
export type ParsedCidr = Cidr & { readonly hadHostBits: boolean }

/** Strict as `parseIp`, and the length without leading zeros. Host bits are zeroed and told. */
export function parseCidr(text: string): ParsedCidr | undefined {
  const parts = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text)
  const address = parseIp(parts?.[1] ?? '')
  const length = Number(parts?.[2])
  if (!address || length > ADDRESS_BITS[address.family]) return undefined
  const cidr = cidrOf(address, length)
  return { ...cidr, hadHostBits: cidr.bytes.some((byte, i) => byte !== address.bytes[i]) }
}

/** As `parseCidr`, for text that must be right. @throws AddressSyntaxError */
export function cidr(text: string): ParsedCidr {
  const prefix = parseCidr(text)
  if (!prefix) throw new AddressSyntaxError(`"${text}" is not a CIDR prefix`)
  return prefix
}

/** The prefix of `prefixLength` bits around an address; without a length, the address alone (/32 or /128). */
export function cidrOf(address: IpAddress, prefixLength: number = ADDRESS_BITS[address.family]): Cidr {
  const { family } = address
  const bits = ADDRESS_BITS[family]
  if (!Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > bits)
    throw new RangeError(`a prefix length of IPv${family} is 0 to ${bits}, not ${prefixLength}`)
  const bytes = maskBytes(address.bytes, prefixLength + 128 - bits, 0)
  return { family, bytes, prefixLength, text: `${formatIp(bytes)}/${prefixLength}` }
}

/** Length in bits of the 16-byte form: an IPv4 prefix is 96 bits longer there. */
export function mappedLength(prefix: Pick<Cidr, 'family' | 'prefixLength'>): number {
  return prefix.family === 4 ? prefix.prefixLength + 96 : prefix.prefixLength
}

/** Whether `outer` covers the address or the whole of the inner prefix. Families never mix: `::/0` covers no IPv4. */
export function cidrContains(outer: Cidr, inner: IpAddress | Cidr): boolean {
  if (outer.family !== inner.family) return false
  if ('prefixLength' in inner && inner.prefixLength < outer.prefixLength) return false
  const length = mappedLength(outer)
  return commonBits(outer.bytes, inner.bytes, length) === length
}

/** Lowest address of the prefix: the network address. */
export function firstAddress(prefix: Cidr): IpAddress {
  return { family: prefix.family, bytes: prefix.bytes }
}

/** Highest address of the prefix. */
export function lastAddress(prefix: Cidr): IpAddress {
  return { family: prefix.family, bytes: maskBytes(prefix.bytes, mappedLength(prefix), 0xff) }
}

/** How many addresses the prefix holds. */
export function addressCount(prefix: Cidr): bigint {
  return 1n << BigInt(ADDRESS_BITS[prefix.family] - prefix.prefixLength)
}

/** The address `offset` places after the first, or undefined past the end. For address pools. */
export function addressAt(prefix: Cidr, offset: number | bigint): IpAddress | undefined {
  const place = BigInt(offset)
  if (place < 0n || place >= addressCount(prefix)) return undefined
  return { family: prefix.family, bytes: bytesOf(numberOf(prefix.bytes) + place) }
}

/** The fewest prefixes that together hold exactly `first` to `last`. @throws RangeError unless one family and in order */
export function cidrsOfRange(first: IpAddress, last: IpAddress): Cidr[] {
  let next = numberOf(first.bytes)
  const end = numberOf(last.bytes)
  if (first.family !== last.family || next > end) throw new RangeError('a range has one family and is in order')
  const bits = ADDRESS_BITS[first.family]
  // A block may not reach outside the family, so 0.0.0.0's many trailing zeros count no further than 32.
  const prefixes: Cidr[] = []
  while (next <= end) {
    let hostBits = 0
    while (hostBits < bits && (next >> BigInt(hostBits)) % 2n === 0n && next + (2n << BigInt(hostBits)) - 1n <= end)
      hostBits++
    prefixes.push(cidrOf({ family: first.family, bytes: bytesOf(next) }, bits - hostBits))
    next += 1n << BigInt(hostBits)
  }
  return prefixes
}

/** How many leading bits two 16-byte keys share, at most `limit`. */
export function commonBits(a: Uint8Array, b: Uint8Array, limit: number): number {
  for (let i = 0; i * 8 < limit; i++) {
    const difference = (a[i] ?? 0) ^ (b[i] ?? 0)
    if (difference !== 0) return Math.min(limit, i * 8 + Math.clz32(difference) - 24)
  }
  return limit
}

/** Copy with every bit after the first `length` set to those of `fill` (0 or 0xff). */
function maskBytes(bytes: Uint8Array, length: number, fill: 0 | 0xff): Uint8Array {
  const masked = Uint8Array.from(bytes)
  const boundary = length >> 3
  if (boundary < 16) {
    const kept = 0xff00 >> (length & 7)
    masked[boundary] = ((bytes[boundary] ?? 0) & kept) | (fill & ~kept)
    masked.fill(fill, boundary + 1)
  }
  return masked
}

function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
}

function bytesOf(number: bigint): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, i) => Number((number >> BigInt(8 * (15 - i))) & 0xffn))
}
