// Addresses that no name outside the cluster can have, whoever answers so: a label there
// would open something else than the name. Addresses that pods and nodes have at the
// moment are not here; these are looked at when labels are given.

import { type Cidr, cidr, cidrContains, type IpAddress, parseIp } from '../ip/index.ts'

const SPECIAL: readonly (readonly [prefix: Cidr, what: string])[] = [
  [cidr('0.0.0.0/8'), 'is this host itself'],
  [cidr('127.0.0.0/8'), 'is a loopback address'],
  [cidr('224.0.0.0/4'), 'is a multicast address'],
  [cidr('240.0.0.0/4'), 'is no address of a host'],
  [cidr('::/127'), 'is a loopback address, or none'],
  [cidr('fe80::/10'), 'is of a link'],
  [cidr('ff00::/8'), 'is a multicast address'],
]

/** Why an address is no one of the world; undefined where it may be. @param own prefixes of pods, addresses of the node */
export function whyNotOutside(address: IpAddress | undefined, own: readonly Cidr[]): string | undefined {
  if (!address) return 'is no address'
  const special = SPECIAL.find(([prefix]) => cidrContains(prefix, address))
  if (special) return special[1]
  return own.some(prefix => cidrContains(prefix, address)) ? 'is of this cluster' : undefined
}

/** As `whyNotOutside`, of a text; only the canonical text of an address is one. */
export function whyNotOutsideText(text: string, own: readonly Cidr[]): string | undefined {
  return whyNotOutside(parseIp(text), own)
}
