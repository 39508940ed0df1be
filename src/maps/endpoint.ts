// bpf/lib/endpoint.h: the pods of this node, by address.

import type { Address } from './address.ts'
import { type StructValue, struct } from './layout.ts'

export const endpointShape = struct('endpoint', {
  ifindex: 'number',
  id: 'number',
  identity: 'number',
  policy: 'number',
  mac: 'bytes',
  flags: 'number',
})
export type EndpointKey = Address
/** `policy` is a key of `policy_maps`; `mac` is the pod's; `ifindex` is the host side of its veth pair. */
export type Endpoint = StructValue<typeof endpointShape>
