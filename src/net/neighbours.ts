// Neighbours: which MAC address answers for an IP address on a link, and for which
// addresses the link answers on behalf of others (struct ndmsg, NDA_*; source:
// include/uapi/linux/neighbour.h). Functions describe requests; a NetlinkSocket carries
// them out.

import { isIPv6 } from 'node:net'
import type { Family } from '../ip/index.ts'
import { AF_INET, AF_INET6 } from './addresses.ts'
import { FLAG, type Message } from './message.ts'
import type { Query, Request } from './netlink-socket.ts'
import { i32, ipAddress, macAddress, message, u8, u16 } from './wire.ts'

const STATE = {
  none: 0,
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noArp: 0x40,
  permanent: 0x80,
} as const
export type NeighbourState = keyof typeof STATE

export type NeighbourKey = { readonly index: number; readonly address: string }

export type Neighbour = {
  readonly index: number
  readonly family: Family
  readonly address: string
  readonly mac: string | undefined
  readonly state: NeighbourState | number
  /** Taught from outside: aged by whoever taught it, not by the kernel. */
  readonly external: boolean
}

const NEIGHBOUR_NEW = 28
const NEIGHBOUR_DELETE = 29
const NEIGHBOUR_GET = 30
const NEIGHBOUR_FLAG = { proxy: 0x08, external: 0x10 } as const

const neighbourMessage = message(
  12,
  { family: [0, u8], index: [4, i32], state: [8, u16], flags: [10, u8], type: [11, u8] },
  { address: [1, ipAddress], mac: [2, macAddress] },
)

/** A permanent entry; takes the place of what was learnt. */
export function replaceNeighbour(entry: NeighbourKey & { readonly mac: string }): Request {
  const operation = `replace neighbour ${entry.address} on link ${entry.index}`
  return change(operation, NEIGHBOUR_NEW, FLAG.create | FLAG.replace, entry, { mac: entry.mac, state: STATE.permanent })
}

/** ENOENT when there is none. */
export function deleteNeighbour(key: NeighbourKey): Request {
  return change(`delete neighbour ${key.address} of link ${key.index}`, NEIGHBOUR_DELETE, 0, key)
}

/** The link answers ARP or neighbour solicitations for the address. For IPv6 the sysctl `proxy_ndp` must be set too. */
export function addProxyNeighbour(key: NeighbourKey): Request {
  const operation = `add proxy neighbour ${key.address} to link ${key.index}`
  return change(operation, NEIGHBOUR_NEW, FLAG.create, key, { flags: NEIGHBOUR_FLAG.proxy })
}

/** ENOENT when there is none. */
export function deleteProxyNeighbour(key: NeighbourKey): Request {
  const operation = `delete proxy neighbour ${key.address} of link ${key.index}`
  return change(operation, NEIGHBOUR_DELETE, 0, key, { flags: NEIGHBOUR_FLAG.proxy })
}

/** Learnt and permanent entries, without proxies. */
export function allNeighbours(of: { readonly index?: number; readonly family?: Family } = {}): Query<Neighbour> {
  return query('list neighbours', of, 0)
}

export function allProxyNeighbours(of: { readonly index?: number; readonly family?: Family } = {}): Query<Neighbour> {
  return query('list proxy neighbours', of, NEIGHBOUR_FLAG.proxy)
}

/** @returns undefined for other families, such as a bridge's forwarding entries. @throws NetlinkFormatError */
export function decodeNeighbour({ body }: Message): Neighbour | undefined {
  const { family, index, state, flags, address, mac } = neighbourMessage.decode(body)
  if ((family !== AF_INET && family !== AF_INET6) || address === undefined) return undefined
  return {
    index,
    family: family === AF_INET ? 4 : 6,
    address,
    mac,
    state: (Object.keys(STATE) as NeighbourState[]).find(name => STATE[name] === state) ?? state,
    external: (flags & NEIGHBOUR_FLAG.external) !== 0,
  }
}

function query(operation: string, of: { index?: number; family?: Family }, flags: number): Query<Neighbour> {
  const family = of.family === undefined ? 0 : of.family === 4 ? AF_INET : AF_INET6
  return {
    operation,
    type: NEIGHBOUR_GET,
    flags: 0,
    body: neighbourMessage.encode({ family, flags }),
    decode: reply => {
      const neighbour = decodeNeighbour(reply)
      return neighbour && (of.index === undefined || neighbour.index === of.index) ? neighbour : undefined
    },
  }
}

function change(
  operation: string,
  type: number,
  requestFlags: number,
  { index, address }: NeighbourKey,
  more: { mac?: string; state?: number; flags?: number } = {},
): Request {
  const family = isIPv6(address) ? AF_INET6 : AF_INET
  return { operation, type, flags: requestFlags, body: neighbourMessage.encode({ family, index, address, ...more }) }
}
