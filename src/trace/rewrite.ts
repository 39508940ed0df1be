// Frames as they leave the datapath: one hop further, straight into a pod; or turned
// into the answer to an ARP request or a neighbour solicitation.

import { ETHERNET_HEADER, PROTOCOL } from './dissect.ts'

const IPV6_HEADER = 40
/** Flags "solicited" and "override" of an advertisement (RFC 4861 section 4.4). */
const SOLICITED_OVERRIDE = 0x60
const ARP_REPLY = 2
const ADVERTISEMENT = 136
const TARGET_LINK_LAYER = 2

/** To another pod of this node, as a router would hand it on. */
export function forwarded(frame: Uint8Array, family: 4 | 6, hostMac: Uint8Array, mac: Uint8Array): Uint8Array {
  const out = frame.slice()
  out.set(mac, 0)
  out.set(hostMac, 6)
  const ip = out.subarray(ETHERNET_HEADER)
  if (family === 6) {
    ip[7] = (ip[7] ?? 0) - 1
    return out
  }
  const before = ((ip[8] ?? 0) << 8) | (ip[9] ?? 0)
  ip[8] = (ip[8] ?? 0) - 1
  // RFC 1624, equation 3. A wrong checksum stays wrong by the same amount: it is the receiver that checks it.
  const header = new DataView(ip.buffer, ip.byteOffset)
  const after = ((ip[8] ?? 0) << 8) | (ip[9] ?? 0)
  header.setUint16(10, fold((~header.getUint16(10) & 0xffff) + (~before & 0xffff) + after) ^ 0xffff)
  return out
}

/** The answer to an ARP request: the address asked for is at the host's MAC. */
export function arpReply(frame: Uint8Array, hostMac: Uint8Array): Uint8Array {
  const out = frame.slice()
  const asker = frame.slice(22, 28)
  out.set(asker, 0)
  out.set(hostMac, 6)
  out.set([0, ARP_REPLY], 20)
  out.set(hostMac, 22)
  out.set(frame.subarray(38, 42), 28)
  out.set(asker, 32)
  out.set(frame.subarray(28, 32), 38)
  return out
}

/** The advertisement that answers a solicitation: ever the same length, whatever options the question had. */
export function neighbourAdvertisement(frame: Uint8Array, hostMac: Uint8Array): Uint8Array {
  const icmp = ETHERNET_HEADER + IPV6_HEADER
  const out = new Uint8Array(icmp + 32)
  const target = frame.subarray(icmp + 8, icmp + 24)
  const asker = frame.subarray(22, 38)
  out.set(frame.subarray(0, icmp))
  out.set(frame.subarray(6, 12), 0)
  out.set(hostMac, 6)
  out.set([0, 32], 18)
  out.set(target, 22)
  out.set(asker, 38)
  out.set([ADVERTISEMENT, 0, 0, 0, SOLICITED_OVERRIDE], icmp)
  out.set(target, icmp + 8)
  out.set([TARGET_LINK_LAYER, 1, ...hostMac], icmp + 24)
  new DataView(out.buffer).setUint16(icmp + 2, icmpv6Checksum(out))
  return out
}

/** RFC 4443 section 2.3, over a frame whose checksum field is zero. */
function icmpv6Checksum(frame: Uint8Array): number {
  const payload = frame.subarray(ETHERNET_HEADER + IPV6_HEADER)
  const sum = wordSum(frame.subarray(22, 54)) + wordSum(payload) + payload.length + PROTOCOL.icmpv6
  return ~fold(sum) & 0xffff
}

function wordSum(bytes: Uint8Array): number {
  let sum = 0
  for (let index = 0; index < bytes.length; index += 2) sum += ((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0)
  return sum
}

function fold(sum: number): number {
  let folded = sum
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16)
  return folded
}
