// bpf/lib/service.h: frontends, the slots that they choose backends from, and what
// clients are remembered by.

import { addressShape } from './address.ts'
import { enumeration, pairOf, type StructValue, struct } from './layout.ts'

export const slotPagesShape = enumeration('slot_pages', 'SLOT_', ['PAGE_LENGTH', 'PAGES'])
export const frontendFlagsShape = enumeration('frontend_flags', 'FRONTEND_', [
  'HASHED',
  'OUTSIDE',
  'SOURCE_RANGES',
  'NODE_ONLY',
  'RESERVATION',
  'DIRECT_RETURN',
])
export type FrontendFlag = (typeof frontendFlagsShape.names)[number]
export const withoutBackendShape = enumeration('without_backend', 'WITHOUT_', ['REJECT', 'DROP'])
export const clientKindShape = enumeration('client_kind', 'CLIENT_', ['CLUSTER', 'OUTSIDE'])

export const frontendKeyShape = struct('frontend_key', { address: addressShape, port: 'number', protocol: 'number' })
/** A reservation has the address `::`. */
export type FrontendKey = StructValue<typeof frontendKeyShape>

export const backendRangeShape = struct('backend_range', { first: 'number', count: 'number' })
/** Numbers of slots: page * `PAGE_LENGTH` + index in the page; all of one page. */
export type BackendRange = StructValue<typeof backendRangeShape>

export const frontendShape = struct('frontend', {
  backends: pairOf(backendRangeShape),
  service: 'number',
  affinity_seconds: 'number',
  without: 'bytes',
  flags: 'number',
})
/** `backends` and `without` are indexed by the kind of client. */
export type Frontend = StructValue<typeof frontendShape>

export const backendShape = struct('backend', {
  address: addressShape,
  port: 'number',
  protocol: 'number',
  service: 'number',
})
export type Backend = StructValue<typeof backendShape>

export const affinityKeyShape = struct('affinity_key', { client: addressShape, service: 'number' })
export type AffinityKey = StructValue<typeof affinityKeyShape>

export const affinityShape = struct('affinity', { used_ns: 'bigint', backend: 'number' })
export type Affinity = StructValue<typeof affinityShape>

export const affinityBackendShape = struct('affinity_backend', { service: 'number', backend: 'number' })
/** A backend that a service with affinity gives to new clients; the value is a bit for each kind of client. */
export type AffinityBackend = StructValue<typeof affinityBackendShape>

export const sourceRangeKeyShape = struct('source_range_key', {
  prefix_length: 'number',
  service: 'number',
  address: 'bytes',
})
/** The prefix covers 32 bits of the service and 128 of the address. */
export type SourceRangeKey = StructValue<typeof sourceRangeKeyShape>
