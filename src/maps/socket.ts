// bpf/lib/socket.h: the network namespaces whose packets pass the pod program.

import { addressShape } from './address.ts'
import { enumeration, pairOf, type StructValue, struct } from './layout.ts'

export const podNamespaceFlagsShape = enumeration('pod_namespace_flags', 'POD_NAMESPACE_', ['BY_PACKET'])

export const podNamespaceShape = struct('pod_namespace', {
  address: pairOf(addressShape),
  flags: 'number',
  endpoint: 'number',
})
/** `address` is [IPv4, IPv6], zero where the pod has none. */
export type PodNamespace = StructValue<typeof podNamespaceShape>
