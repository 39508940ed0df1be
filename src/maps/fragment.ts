// bpf/lib/fragment.h: ports of first fragments, for the fragments behind them.

import { addressShape } from './address.ts'
import { type StructValue, struct } from './layout.ts'

export const fragmentKeyShape = struct('fragment_key', {
  source: addressShape,
  destination: addressShape,
  id: 'number',
  protocol: 'number',
  family: 'number',
})
export type FragmentKey = StructValue<typeof fragmentKeyShape>

export const fragmentPortsShape = struct('fragment_ports', {
  source_port: 'number',
  destination_port: 'number',
  headers_end: 'number',
  protocol: 'number',
  icmp_kind: 'number',
  icmp_type: 'number',
})
export type FragmentPorts = StructValue<typeof fragmentPortsShape>
