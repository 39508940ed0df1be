// bpf/lib/ipcache.h: from an address to its security identity, longest prefix first.

import { type Cidr, cidr, type IpAddress, mappedLength } from '../ip/index.ts'
import { type EnumTable, enumeration, type StructValue, struct } from './layout.ts'

export const reservedIdentityShape = enumeration('reserved_identity', 'IDENTITY_', [
  'UNKNOWN',
  'HOST',
  'WORLD',
  'WORLD_IPV4',
  'WORLD_IPV6',
])
export type ReservedIdentity = (typeof reservedIdentityShape.names)[number]

export const ipcacheFlagsShape = enumeration('ipcache_flags', 'IPCACHE_', ['HOST'])
export type IpcacheFlag = (typeof ipcacheFlagsShape.names)[number]

export const ipcacheKeyShape = struct('ipcache_key', { prefix_length: 'number', address: 'bytes' })
export type IpcacheKey = StructValue<typeof ipcacheKeyShape>

export const ipcacheEntryShape = struct('ipcache_entry', { identity: 'number', flags: 'number' })
export type IpcacheEntry = StructValue<typeof ipcacheEntryShape>

/** Key of a prefix. The length counts in the 16-byte form. */
export const ipcacheKey = (prefix: Cidr): IpcacheKey => ({ prefix_length: mappedLength(prefix), address: prefix.bytes })

/** The question that the datapath asks of an address. */
export const ipcacheQuestion = (address: IpAddress): IpcacheKey => ({ prefix_length: 128, address: address.bytes })

/**
 * The two entries that must always be there: without `::ffff:0:0/96` an IPv4 address would match `::/0` and the
 * identity of the other family.
 */
export function worldEntries(identity: EnumTable<ReservedIdentity>): readonly (readonly [IpcacheKey, IpcacheEntry])[] {
  return [
    [ipcacheKey(cidr('0.0.0.0/0')), { identity: identity.number.WORLD_IPV4, flags: 0 }],
    [ipcacheKey(cidr('::/0')), { identity: identity.number.WORLD_IPV6, flags: 0 }],
  ]
}
