// ICMP types as people ask for them: by number, or by name in any case, with dashes or
// without.

import { PROTOCOLS } from '../../labels/index.ts'
import { type IcmpFamily, icmpType, icmpTypeNames } from '../kinds/cilium/icmp-types.ts'

const FAMILIES: ReadonlyMap<number, IcmpFamily> = new Map([
  [PROTOCOLS.ICMP, 'IPv4'],
  [PROTOCOLS.ICMPv6, 'IPv6'],
])

/** The family of an ICMP protocol, undefined for other protocols. */
export function icmpFamily(protocol: number): IcmpFamily | undefined {
  return FAMILIES.get(protocol)
}

/** Undefined when there is no such type. */
export function askedIcmpType(family: IcmpFamily, text: string): number | undefined {
  const plain = (name: string): string => name.toLowerCase().replaceAll(/[-_ ]/g, '')
  const name = icmpTypeNames(family).find(known => plain(known) === plain(text))
  return icmpType(family, name ?? text)
}
