// IP addresses: strict text to bytes and back. Inside the product an address is 16
// bytes, IPv4 in its mapped form (::ffff:a.b.c.d, RFC 4291 2.5.5.2), as in every map
// of the datapath; at the edges it is canonical text. Pure: runs in a browser.

export type Family = 4 | 6

/** An address: `bytes` are always 16, IPv4 as ::ffff:a.b.c.d. Treat the bytes as frozen. */
export type IpAddress = { readonly family: Family; readonly bytes: Uint8Array }

/** Bits of an address in its own family. */
export const ADDRESS_BITS: Readonly<Record<Family, 32 | 128>> = { 4: 32, 6: 128 }

/** Text that had to be an IP or MAC address or a prefix, and is not. */
export class AddressSyntaxError extends Error {
  override readonly name = 'AddressSyntaxError'
  readonly code = 'INVALID_ADDRESS'
}

/**
 * Strict: no leading zeros (`010.0.0.1` is octal to some readers), no zone, no brackets, no spaces, and no IPv4-mapped
 * IPv6, which would be a second spelling of an IPv4 address.
 */
export function parseIp(text: string): IpAddress | undefined {
  const four = parseIpv4(text)
  if (four) return { family: 4, bytes: mapIpv4(four) }
  const bytes = parseIpv6(text)
  return bytes && !isMapped(bytes) ? { family: 6, bytes } : undefined
}

/** As `parseIp`, for text that must be right. @throws AddressSyntaxError */
export function ip(text: string): IpAddress {
  const address = parseIp(text)
  if (!address) throw new AddressSyntaxError(`"${text}" is not an IP address`)
  return address
}

/** Canonical text of 16 bytes: dotted for the mapped form, RFC 5952 for the rest. The inverse of `parseIp`. */
export function formatIp(bytes: Uint8Array): string {
  return isMapped(bytes) ? formatIpv4(bytes.subarray(12)) : formatIpv6(bytes)
}

/** Canonical text of text, so that two spellings of an address compare equal. */
export function canonicalIp(text: string): string | undefined {
  const address = parseIp(text)
  return address && formatIp(address.bytes)
}

/** Whether 16 bytes are an IPv4 address in mapped form. */
export function isMapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false
  return bytes[10] === 0xff && bytes[11] === 0xff
}

/** 4 bytes as they stand on the wire to the 16-byte form. */
export function mapIpv4(four: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16)
  bytes[10] = bytes[11] = 0xff
  bytes.set(four, 12)
  return bytes
}

/** The address of 4 or 16 bytes in network order. 16 mapped bytes are IPv4. */
export function ipFromBytes(wire: Uint8Array): IpAddress {
  if (wire.length === 4) return { family: 4, bytes: mapIpv4(wire) }
  if (wire.length !== 16) throw new RangeError(`an IP address has 4 or 16 bytes, not ${wire.length}`)
  return { family: isMapped(wire) ? 4 : 6, bytes: Uint8Array.from(wire) }
}

/** The 4 or 16 bytes of an address as packets and netlink carry them. */
export function wireBytes(address: IpAddress): Uint8Array {
  return address.family === 4 ? address.bytes.subarray(12) : address.bytes
}

/** Order of two addresses by number; every mapped IPv4 address stands inside ::/32. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < 16; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

const DOTTED = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/

/** Dotted decimal to 4 bytes; strict. */
export function parseIpv4(text: string): Uint8Array | undefined {
  const octets = DOTTED.exec(text)?.slice(1).map(Number)
  return octets?.every(octet => octet <= 255) ? Uint8Array.from(octets) : undefined
}

/** 4 bytes to dotted decimal. */
export function formatIpv4(four: Uint8Array): string {
  return `${four[0]}.${four[1]}.${four[2]}.${four[3]}`
}

/** RFC 4291 section 2.2 text to 16 bytes, without a zone. Takes the mapped form too: for packet tools, not for users' input. */
export function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head, tail] = halves.map((half, i) => parseGroups(half, i === halves.length - 1))
  if (!head) return undefined
  if (halves.length === 1) return head.length === 16 ? Uint8Array.from(head) : undefined
  // "::" stands for at least one group.
  if (!tail || head.length + tail.length > 14) return undefined
  const bytes = new Uint8Array(16)
  bytes.set(head, 0)
  bytes.set(tail, 16 - tail.length)
  return bytes
}

/** Groups on one side of "::" as bytes. Only the last of all groups may be dotted decimal. */
function parseGroups(text: string, isLast: boolean): number[] | undefined {
  if (text === '') return []
  const bytes: number[] = []
  const groups = text.split(':')
  for (const [i, group] of groups.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16)
      bytes.push(value >> 8, value & 0xff)
      continue
    }
    const dotted = isLast && i === groups.length - 1 ? parseIpv4(group) : undefined
    if (!dotted) return undefined
    bytes.push(...dotted)
  }
  return bytes
}

/** 16 bytes to RFC 5952 text, the mapped form as `::ffff:a.b.c.d`. */
export function formatIpv6(bytes: Uint8Array): string {
  if (isMapped(bytes)) return `::ffff:${formatIpv4(bytes.subarray(12))}`
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0))
  const zeros = longestZeroRun(groups)
  const text = (part: number[]): string => part.map(group => group.toString(16)).join(':')
  if (zeros.length < 2) return text(groups)
  return `${text(groups.slice(0, zeros.start))}::${text(groups.slice(zeros.start + zeros.length))}`
}

/** The first of the longest runs, as RFC 5952 section 4.2.3 asks. */
function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  let length = 0
  for (const [i, group] of groups.entries()) {
    length = group === 0 ? length + 1 : 0
    if (length > best.length) best = { start: i + 1 - length, length }
  }
  return best
}
