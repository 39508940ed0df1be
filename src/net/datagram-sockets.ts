// UDP sockets that are connected: list them, and end what they wait for (struct
// inet_diag_req_v2 and inet_diag_msg; source: include/uapi/linux/inet_diag.h). Functions
// describe requests; a NetlinkSocket of the protocol NETLINK_SOCK_DIAG carries them out.

import { type Family, mapIpv4 } from '../ip/index.ts'
import { NetlinkFormatError } from './errors.ts'
import type { Query, Request } from './netlink-socket.ts'

export const NETLINK_SOCK_DIAG = 4

const SOCK_DIAG_BY_FAMILY = 20
const SOCK_DESTROY = 21
const AF: Readonly<Record<Family, number>> = { 4: 2, 6: 10 }
const IPPROTO_UDP = 17
/** UDP sockets that are connected have TCP's state for it. */
const ESTABLISHED = 1
const REQUEST_BYTES = 56
const ANSWER_BYTES = 72
/** struct inet_diag_sockid, in requests at byte 8, in answers at byte 4. */
const ID = { bytes: 48, inRequest: 8, inAnswer: 4, remotePort: 2, remote: 20, cookie: 40 } as const

export type DatagramSocket = {
  /** Of the socket, not of its peer: an IPv6 socket may speak IPv4. */
  readonly family: Family
  /** Unique in the kernel, never given again. */
  readonly cookie: bigint
  /** 16 bytes: IPv4 in mapped form. */
  readonly remote: Uint8Array
  readonly remotePort: number
  /** What names the socket to the kernel. */
  readonly id: Buffer
}

/** Sockets of one family, in the namespace of the NetlinkSocket. ENOENT where the kernel cannot list them (CONFIG_INET_UDP_DIAG). */
export function connectedDatagramSockets(family: Family): Query<DatagramSocket> {
  return {
    operation: 'list connected UDP sockets',
    type: SOCK_DIAG_BY_FAMILY,
    flags: 0,
    body: request(family, 1 << ESTABLISHED),
    decode: ({ body }) => {
      if (body.length < ANSWER_BYTES) throw new NetlinkFormatError(`a socket of ${body.length} bytes`)
      const id = Buffer.from(body.subarray(ID.inAnswer, ID.inAnswer + ID.bytes))
      const remote = id.subarray(ID.remote, ID.remote + 16)
      return {
        family,
        cookie: id.readBigUInt64LE(ID.cookie),
        remote: family === 4 ? mapIpv4(remote.subarray(0, 4)) : new Uint8Array(remote),
        remotePort: id.readUInt16BE(ID.remotePort),
        id,
      }
    },
  }
}

/**
 * Ends the socket's connection: whatever its program does with it next fails with ECONNABORTED. ENOENT when it is gone,
 * EOPNOTSUPP where the kernel cannot (CONFIG_INET_DIAG_DESTROY).
 */
export function destroyDatagramSocket({ family, id }: Pick<DatagramSocket, 'family' | 'id'>): Request {
  const body = request(family, -1)
  id.copy(body, ID.inRequest)
  return { operation: 'destroy a UDP socket', type: SOCK_DESTROY, flags: 0, body }
}

function request(family: Family, states: number): Buffer {
  const body = Buffer.alloc(REQUEST_BYTES)
  body.writeUInt8(AF[family], 0)
  body.writeUInt8(IPPROTO_UDP, 1)
  body.writeInt32LE(states, 4)
  return body
}
