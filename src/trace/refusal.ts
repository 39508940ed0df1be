// The refusal that a packet becomes when the service that it asks for has no backend: a
// TCP reset (RFC 9293 section 3.10.7.1), or ICMP's port unreachable.

import { ETHERNET_HEADER, type Packet, PROTOCOL, TCP } from './dissect.ts'

const TTL = 64
const QUOTED_AT_MOST = { 4: 576 - 28, 6: 1280 - 48 } as const
const TCP_HEADER = 20

/** As it leaves, back to who asked. undefined: nothing is said to a fragment, to a reset, to an ICMP message */
export function refusal(frame: Uint8Array, packet: Packet): Uint8Array | undefined {
  if (packet.fragment || packet.icmp) return undefined
  const out = packet.protocol === PROTOCOL.tcp ? reset(frame, packet) : unreachable(frame, packet)
  out?.set(frame.subarray(6, 12), 0)
  out?.set(frame.subarray(0, 6), 6)
  return out
}

function reset(frame: Uint8Array, packet: Packet): Uint8Array | undefined {
  if (packet.tcpFlags & TCP.rst) return undefined
  const at = packet.transportOffset
  const asked = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const out = frame.slice(0, at + TCP_HEADER).fill(0, at)
  const view = new DataView(out.buffer)
  const hasAck = (packet.tcpFlags & TCP.ack) !== 0
  const flags = [TCP.syn, TCP.fin].filter(flag => packet.tcpFlags & flag).length
  const text = packet.end - at - (asked.getUint8(at + 12) >> 4) * 4 + flags
  view.setUint16(at, packet.destinationPort)
  view.setUint16(at + 2, packet.sourcePort)
  if (hasAck) view.setUint32(at + 4, asked.getUint32(at + 8))
  else view.setUint32(at + 8, asked.getUint32(at + 4) + text)
  view.setUint8(at + 12, 0x50)
  view.setUint8(at + 13, hasAck ? TCP.rst : TCP.rst | TCP.ack)
  view.setUint16(at + 16, checksum(out.subarray(at), packet, PROTOCOL.tcp))
  turnHeader(out, packet)
  return out
}

/** The IP header in its place, with what stands in it that is not the answer's business. */
function turnHeader(out: Uint8Array, packet: Packet): void {
  const view = new DataView(out.buffer)
  const ip = ETHERNET_HEADER
  if (packet.family === 6) {
    out.set(packet.destination, ip + 8)
    out.set(packet.source, ip + 24)
    view.setUint8(ip + 7, TTL)
    view.setUint16(ip + 4, out.length - ip - 40)
    return
  }
  const before = sum(out.subarray(ip, ip + 20))
  out.set(packet.destination.subarray(12), ip + 12)
  out.set(packet.source.subarray(12), ip + 16)
  view.setUint8(ip + 1, 0)
  view.setUint8(ip + 8, TTL)
  view.setUint16(ip + 2, out.length - ip)
  // By the difference: a wrong checksum stays wrong.
  const difference = fold(sum(out.subarray(ip, ip + 20)) + 0xffff - fold(before)) || 0xffff
  view.setUint16(ip + 10, ~fold((~view.getUint16(ip + 10) & 0xffff) + difference) & 0xffff)
}

function unreachable(frame: Uint8Array, packet: Packet): Uint8Array {
  const { family } = packet
  const quoted = frame.slice(ETHERNET_HEADER, Math.min(packet.end, ETHERNET_HEADER + QUOTED_AT_MOST[family]))
  const header = family === 4 ? 20 : 40
  const out = new Uint8Array(ETHERNET_HEADER + header + 8 + quoted.length)
  const view = new DataView(out.buffer)
  const ip = ETHERNET_HEADER
  const icmp = ip + header
  out.set(frame.subarray(12, 14), 12)
  out.set(family === 4 ? [3, 3] : [1, 4], icmp)
  out.set(quoted, icmp + 8)
  if (family === 4) {
    out[ip] = 0x45
    view.setUint16(ip + 2, out.length - ip)
    out.set([0x40, 0, TTL, PROTOCOL.icmp], ip + 6)
    out.set(packet.destination.subarray(12), ip + 12)
    out.set(packet.source.subarray(12), ip + 16)
    view.setUint16(ip + 10, ~fold(sum(out.subarray(ip, ip + 20))) & 0xffff)
    view.setUint16(icmp + 2, ~fold(sum(out.subarray(icmp))) & 0xffff)
    return out
  }
  out[ip] = 0x60
  view.setUint16(ip + 4, out.length - icmp)
  out.set([PROTOCOL.icmpv6, TTL], ip + 6)
  out.set(packet.destination, ip + 8)
  out.set(packet.source, ip + 24)
  view.setUint16(icmp + 2, checksum(out.subarray(icmp), packet, PROTOCOL.icmpv6))
  return out
}

/** Over a transport header whose checksum field is zero; the prefix of mapped addresses adds nothing. */
function checksum(segment: Uint8Array, { source, destination }: Packet, protocol: number): number {
  return ~fold(sum(source) + sum(destination) + segment.length + protocol + sum(segment)) & 0xffff
}

function sum(bytes: Uint8Array): number {
  let total = 0
  for (let index = 0; index < bytes.length; index += 2) total += ((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0)
  return total
}

function fold(total: number): number {
  let folded = total
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000)
  return folded
}
