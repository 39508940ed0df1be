// bpf/lib/translation.h: connections whose packets are translated one by one.

import { addressShape } from './address.ts'
import { enumeration, type StructValue, struct } from './layout.ts'

export const translationFlagsShape = enumeration('translation_flags', 'TRANSLATION_', [
  'REPLY',
  'SOURCE',
  'DIRECT',
  'PORT',
])

export const tupleShape = struct('tuple', {
  source: addressShape,
  destination: addressShape,
  source_port: 'number',
  destination_port: 'number',
  protocol: 'number',
})
/** As a packet has it. */
export type Tuple = StructValue<typeof tupleShape>

export const translationShape = struct('translation', {
  target: tupleShape,
  expires_ns: 'bigint',
  backend: 'number',
  service: 'number',
  tcp_flags: 'bytes',
  flags: 'number',
})
/** `target` is what the packet has afterwards; `tcp_flags` are [client's, backend's]. */
export type Translation = StructValue<typeof translationShape>
