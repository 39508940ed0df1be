// Addresses of links: add, replace, delete, list (struct ifaddrmsg, IFA_*; source:
// include/uapi/linux/if_addr.h). Functions describe requests; a NetlinkSocket carries
// them out.

import { isIPv6 } from 'node:net'
import { FLAG, type Message } from './message.ts'
import type { Query, Request } from './netlink-socket.ts'
import { ipAddress, message, text, u8, u32 } from './wire.ts'

export type AddressSpec = {
  readonly index: number
  readonly address: string
  /** 32 or 128 unless given. */
  readonly prefixLength?: number
  /** The other end of a point-to-point link. */
  readonly peer?: string
  /** IPv6: use at once, without asking the link whether another host has the address (RFC 4862 section 5.4). */
  readonly noDad?: boolean
  /** Do not add the route to the prefix. */
  readonly noPrefixRoute?: boolean
  readonly scope?: AddressScope
}

export type AddressScope = 'global' | 'link' | 'host'

export type LinkAddress = {
  readonly index: number
  readonly family: 4 | 6
  readonly address: string
  readonly prefixLength: number
  readonly peer: string | undefined
  readonly scope: AddressScope | undefined
  /** Duplicate address detection has not ended: the address cannot be used yet. */
  readonly tentative: boolean
  readonly permanent: boolean
  readonly noDad: boolean
  readonly noPrefixRoute: boolean
}

const ADDRESS_NEW = 20
const ADDRESS_DELETE = 21
const ADDRESS_GET = 22
export const AF_INET = 2
export const AF_INET6 = 10
const ADDRESS_FLAG = { noDad: 0x02, tentative: 0x40, permanent: 0x80, noPrefixRoute: 0x200 } as const
const SCOPE: Readonly<Record<AddressScope, number>> = { global: 0, link: 253, host: 254 }

const addressMessage = message(
  8,
  { family: [0, u8], prefixLength: [1, u8], headerFlags: [2, u8], scope: [3, u8], index: [4, u32] },
  { address: [1, ipAddress], local: [2, ipAddress], label: [3, text], flags: [8, u32] },
)

/** EEXIST when the link has the address. */
export function addAddress(spec: AddressSpec): Request {
  return change('add', ADDRESS_NEW, FLAG.create | FLAG.exclusive, spec)
}

/** Adds the address, or changes its flags where the link has it. */
export function replaceAddress(spec: AddressSpec): Request {
  return change('replace', ADDRESS_NEW, FLAG.create | FLAG.replace, spec)
}

/** EADDRNOTAVAIL when the link does not have the address. */
export function deleteAddress(spec: Pick<AddressSpec, 'index' | 'address' | 'prefixLength' | 'peer'>): Request {
  return change('delete', ADDRESS_DELETE, 0, spec)
}

/** Of one link or of all; of one family or of both. */
export function allAddresses(of: { readonly index?: number; readonly family?: 4 | 6 } = {}): Query<LinkAddress> {
  const family = of.family === undefined ? 0 : of.family === 4 ? AF_INET : AF_INET6
  const { index } = of
  return {
    operation: index === undefined ? 'list addresses' : `list addresses of link ${index}`,
    type: ADDRESS_GET,
    flags: 0,
    // Filtering by link is up to us where both families are asked: not every one of them knows the filter.
    body: addressMessage.encode({ family }),
    decode: reply => {
      const address = decodeAddress(reply)
      return address && (index === undefined || address.index === index) ? address : undefined
    },
  }
}

/** @returns undefined for a family other than IPv4 and IPv6. @throws NetlinkFormatError */
export function decodeAddress({ body }: Message): LinkAddress | undefined {
  const fields = addressMessage.decode(body)
  // IPv4 names its own end in `local`, IPv6 only when there is a peer; the other attribute is then the peer.
  const address = fields.local ?? fields.address
  if (address === undefined || (fields.family !== AF_INET && fields.family !== AF_INET6)) return undefined
  const flags = fields.flags ?? fields.headerFlags
  return {
    index: fields.index,
    family: fields.family === AF_INET ? 4 : 6,
    address,
    prefixLength: fields.prefixLength,
    peer: fields.address === address ? undefined : fields.address,
    scope: (Object.keys(SCOPE) as AddressScope[]).find(name => SCOPE[name] === fields.scope),
    tentative: (flags & ADDRESS_FLAG.tentative) !== 0,
    permanent: (flags & ADDRESS_FLAG.permanent) !== 0,
    noDad: (flags & ADDRESS_FLAG.noDad) !== 0,
    noPrefixRoute: (flags & ADDRESS_FLAG.noPrefixRoute) !== 0,
  }
}

function change(verb: string, type: number, flags: number, spec: AddressSpec): Request {
  const isSix = isIPv6(spec.address)
  const { index, address, peer, prefixLength = isSix ? 128 : 32 } = spec
  const addressFlags = (spec.noDad ? ADDRESS_FLAG.noDad : 0) | (spec.noPrefixRoute ? ADDRESS_FLAG.noPrefixRoute : 0)
  return {
    operation: `${verb} address ${address}/${prefixLength} ${verb === 'delete' ? 'of' : 'to'} link ${index}`,
    type,
    flags,
    body: addressMessage.encode({
      family: isSix ? AF_INET6 : AF_INET,
      prefixLength,
      scope: SCOPE[spec.scope ?? 'global'],
      index,
      address: peer ?? address,
      local: address,
      flags: addressFlags || undefined,
    }),
  }
}
