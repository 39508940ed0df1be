// bpf/lib/packet.h: what of a packet's description is kept in maps.

import { enumeration } from './layout.ts'

export const icmpKindShape = enumeration('icmp_kind', 'KIND_', [
  'NOT_ICMP',
  'ECHO_REQUEST',
  'ECHO_REPLY',
  'ERROR',
  'NEIGHBOUR',
  'OTHER',
])
export type IcmpKind = (typeof icmpKindShape.names)[number]
