// Frames with other addresses and ports: whole packets, fragments, and ICMP errors with
// what they quote. Checksums change by the difference (RFC 1624), so that a wrong one
// stays wrong by the same amount: it is the receiver that checks it.

import { isMapped } from '../ip/index.ts'
import { ETHERNET_HEADER, type Packet, PROTOCOL, type Tuple } from './dissect.ts'

const CHECKSUM: Readonly<Record<number, number>> = { [PROTOCOL.tcp]: 16, [PROTOCOL.udp]: 6 }
const SCTP_CRC = 8
const ICMP_CHECKSUM = 2
const ICMP_HEADER = 8
const FRAGMENT_HEADER = 44

/** The packet with `to` instead of `from`. undefined: its checksum cannot follow (SCTP in fragments) */
export function translatedFrame(frame: Uint8Array, packet: Packet, from: Tuple, to: Tuple): Uint8Array | undefined {
  if (packet.icmp?.kind === 'ERROR') return translatedError(frame, packet, from, to)
  const out = new DataView(frame.slice().buffer)
  const at = packet.transportOffset
  const [addresses, ports] = differences(from, to)
  if (packet.fragment?.place !== 'later') {
    if (from.protocol === PROTOCOL.sctp) {
      if (samePorts(from, to)) {
        // Its CRC is of the ports, not of the addresses.
      } else if (packet.fragment) return undefined
      else changeCrc(out, at, packet.end - at, from, to)
    } else {
      const optional = from.protocol === PROTOCOL.udp
      for (const difference of [addresses, ports]) grow(out, at + (CHECKSUM[from.protocol] ?? 0), difference, optional)
    }
    out.setUint16(at, to.sourcePort)
    out.setUint16(at + 2, to.destinationPort)
  }
  storeAddresses(out, ETHERNET_HEADER, packet.family, to.source, to.destination)
  if (packet.family === 4) grow(out, ETHERNET_HEADER + 10, addresses, false)
  return new Uint8Array(out.buffer)
}

/** `from` goes the way of the error: the other way round of what it quotes. */
function translatedError(frame: Uint8Array, packet: Packet, from: Tuple, to: Tuple): Uint8Array {
  const out = new DataView(frame.slice().buffer)
  const quoted = packet.transportOffset + ICMP_HEADER
  const [addresses, ports] = differences(from, to)
  let sum = addresses + ports
  if (packet.family === 4) sum += growQuoted(out, packet, quoted + 10, addresses, false)
  const transport = transportOfQuoted(frame, packet, quoted)
  const checksum = CHECKSUM[from.protocol]
  if (checksum !== undefined)
    sum += growQuoted(out, packet, transport + checksum, addresses + ports, from.protocol === PROTOCOL.udp)
  storeAddresses(out, quoted, packet.family, to.destination, to.source)
  out.setUint16(transport, to.destinationPort)
  out.setUint16(transport + 2, to.sourcePort)

  const source = equal(packet.source, from.source) ? to.source : packet.source
  const destination = equal(packet.destination, from.destination) ? to.destination : packet.destination
  const outer = difference([packet.source, packet.destination], [source, destination])
  if (packet.family === 6) sum += outer
  grow(out, packet.transportOffset + ICMP_CHECKSUM, sum, false)
  storeAddresses(out, ETHERNET_HEADER, packet.family, source, destination)
  if (packet.family === 4) grow(out, ETHERNET_HEADER + 10, outer, false)
  return new Uint8Array(out.buffer)
}

function transportOfQuoted(frame: Uint8Array, { family }: Packet, quoted: number): number {
  if (family === 4) return quoted + ((frame[quoted] ?? 0) & 15) * 4
  return quoted + 40 + (frame[quoted + 6] === FRAGMENT_HEADER ? 8 : 0)
}

/** A checksum in the quotation, where it has got that far. @return what it adds to the sum of what covers it */
function growQuoted(out: DataView, packet: Packet, at: number, difference: number, optional: boolean): number {
  if (at + 2 > packet.end) return 0
  const old = out.getUint16(at)
  if (optional && old === 0) return 0
  grow(out, at, difference, optional)
  return (~old & 0xffff) + out.getUint16(at)
}

/** RFC 1624, equation 3. An optional checksum of zero is none, and stays none. */
function grow(out: DataView, at: number, difference: number, optional: boolean): void {
  const old = out.getUint16(at)
  if (optional && old === 0) return
  const sum = ~fold((~old & 0xffff) + difference) & 0xffff
  out.setUint16(at, optional && sum === 0 ? 0xffff : sum)
}

function storeAddresses(out: DataView, ip: number, family: 4 | 6, source: Uint8Array, destination: Uint8Array): void {
  const bytes = new Uint8Array(out.buffer)
  const [at, skip] = family === 4 ? [ip + 12, 12] : [ip + 8, 0]
  bytes.set(source.subarray(skip), at)
  bytes.set(destination.subarray(skip), at + 16 - skip)
}

/** Of addresses, and of ports. */
function differences(from: Tuple, to: Tuple): readonly [number, number] {
  return [
    difference([from.source, from.destination], [to.source, to.destination]),
    difference([portsOf(from)], [portsOf(to)]),
  ]
}

const portsOf = ({ sourcePort, destinationPort }: Tuple): Uint8Array =>
  Uint8Array.of(sourcePort >> 8, sourcePort, destinationPort >> 8, destinationPort)

const samePorts = (a: Tuple, b: Tuple): boolean => equal(portsOf(a), portsOf(b))

/** By what the sum of these words grows; never zero, which one's complement has twice. */
const difference = (from: readonly Uint8Array[], to: readonly Uint8Array[]): number =>
  fold(wordSum(to) + 0xffff - fold(wordSum(from))) || 0xffff

function wordSum(parts: readonly Uint8Array[]): number {
  let sum = 0
  for (const part of parts)
    for (let index = isMapped(part) ? 10 : 0; index < part.length; index += 2)
      sum += ((part[index] ?? 0) << 8) | (part[index + 1] ?? 0)
  return sum
}

function fold(sum: number): number {
  let folded = sum
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000)
  return folded
}

/** A CRC is linear: it changes by the CRC, begun with zero, of the change and of zeroes to the end. */
function changeCrc(out: DataView, at: number, length: number, from: Tuple, to: Tuple): void {
  const old = out.getUint32(at + SCTP_CRC, true)
  if (old === 0) return
  const [before, after] = [portsOf(from), portsOf(to)]
  let crc = 0
  for (let index = 0; index < length; index++) {
    crc ^= (before[index] ?? 0) ^ (after[index] ?? 0)
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  out.setUint32(at + SCTP_CRC, (old ^ crc) >>> 0, true)
}

const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i])
