// Packets: build whole frames from layers, read frames into layers, tell them in one
// line. Pure; used by tests of the datapath, flows and the sandbox.

export { PacketError } from './bytes.ts'
export { crc32c, internetChecksum } from './checksum.ts'
export {
  badChecksums,
  type Decoded,
  type DecodedHeader,
  type DecodedLayer,
  decode,
  layerOf,
} from './decode.ts'
export { type Arp, arp, type Ethernet, ethernet, type Vlan, vlan } from './ethernet.ts'
export { fragment } from './fragment.ts'
export {
  frame,
  type Header,
  type Layer,
  type LayerKind,
  type Padding,
  type Payload,
  padding,
  payload,
  type Unparsed,
} from './frame.ts'
export { type Icmpv4, icmpv4 } from './icmpv4.ts'
export { type Icmpv6, icmpv6 } from './icmpv6.ts'
export { type Ipv4, ipv4 } from './ipv4.ts'
export {
  type Ipv6,
  type Ipv6Extension,
  type Ipv6Fragment,
  ipv6,
  ipv6Extension,
  ipv6Fragment,
  routerAlert,
} from './ipv6.ts'
export type { NeighbourOption } from './neighbour-options.ts'
export { type Sctp, type SctpChunk, sctp, sctpInit } from './sctp.ts'
export { summary } from './summary.ts'
export { type Tcp, type TcpFlag, type TcpOption, tcp } from './tcp.ts'
export { type Udp, udp } from './udp.ts'
