// The link message (struct ifinfomsg, IFLA_*) and the part of it that is each kind's
// own, declared once for links, their creation and their events.
// Source: include/uapi/linux/if_link.h.

import {
  attributes,
  bool8,
  bool32,
  flag,
  i32,
  ipAddress,
  macAddress,
  message,
  rawBytes,
  text,
  u8,
  u16,
  u16be,
  u32,
} from './wire.ts'

export const LINK_NEW = 16
export const LINK_DELETE = 17
export const LINK_GET = 18
export const LINK_SET = 19

/** IFF_* */
export const LINK_FLAG = { up: 0x1, running: 0x40, promiscuous: 0x100, lowerUp: 0x10000 } as const

/** RTEXT_FILTER_SKIP_STATS: leaves out the counters, most of a link message's bytes. */
export const SKIP_STATISTICS = 8

export const linkMessage = message(
  16,
  { family: [0, u8], deviceType: [2, u16], index: [4, i32], flags: [8, u32], changedFlags: [12, u32] },
  {
    mac: [1, macAddress],
    name: [3, text],
    mtu: [4, u32],
    peerIndex: [5, u32],
    master: [10, u32],
    transmitQueueLength: [13, u32],
    operationalState: [16, u8],
    kindInfo: [18, attributes({ kind: [1, text], data: [2, rawBytes] })],
    namespacePid: [19, u32],
    alias: [20, text],
    namespaceFd: [28, u32],
    extendedMask: [29, u32],
    promiscuity: [30, u32],
    transmitQueues: [31, u32],
    receiveQueues: [32, u32],
    carrier: [33, bool8],
    peerNamespaceId: [37, i32],
  },
)

export const vethData = attributes({ peer: [1, linkMessage] })

export const bridgeData = attributes({
  ageingTime: [4, u32],
  spanningTree: [5, bool32],
  vlanFiltering: [7, bool8],
  multicastSnooping: [23, bool8],
})

export const vxlanData = attributes({
  id: [1, u32],
  remote: [2, ipAddress],
  underlyingIndex: [3, u32],
  local: [4, ipAddress],
  ttl: [5, u8],
  learning: [7, bool8],
  port: [15, u16be],
  remote6: [16, ipAddress],
  local6: [17, ipAddress],
  udpChecksum: [18, bool8],
  udpZeroChecksum6Transmit: [19, bool8],
  udpZeroChecksum6Receive: [20, bool8],
  collectMetadata: [25, bool8],
  // Group policy: carries 16 bits of mark beside the network identifier.
  groupPolicy: [23, flag],
})
