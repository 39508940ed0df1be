// The pods of this node that have a network interface from us. Rows are written when
// an interface is asked for (agent/endpoints.ts) and survive a restart of the agent.

import { defineTable } from '../state/index.ts'
import { objectKey } from './intent.ts'

export type Endpoint = {
  /** Small, unique on this node while in use. */
  readonly id: number
  /** Of the container runtime: one endpoint per container id. */
  readonly containerId: string
  readonly podNamespace: string
  readonly podName: string
  /** File of the pod's network namespace. */
  readonly networkNamespace: string
  /** Inode of that namespace: another one at the same path is another pod. */
  readonly networkNamespaceInode: number
  /** The number by which BPF programs know it; the kernel gives none twice. */
  readonly networkNamespaceCookie: string
  /** Name of the interface inside the pod. */
  readonly interface: string
  /** Name and index of its other end, in the node's namespace. */
  readonly hostInterface: string
  readonly ifindex: number
  readonly mac: string
  /** Canonical; at most one of each family. */
  readonly addresses: readonly string[]
}

export const endpointTable = defineTable({
  name: 'endpoints',
  key: (endpoint: Endpoint) => endpoint.containerId,
  indexes: {
    id: endpoint => [String(endpoint.id)],
    pod: endpoint => [objectKey({ namespace: endpoint.podNamespace, name: endpoint.podName })],
    address: endpoint => endpoint.addresses,
    ifindex: endpoint => [String(endpoint.ifindex)],
  },
  columns: {
    ID: endpoint => String(endpoint.id),
    POD: endpoint => `${endpoint.podNamespace}/${endpoint.podName}`,
    ADDRESSES: endpoint => endpoint.addresses.join(' '),
    INTERFACE: endpoint => endpoint.hostInterface,
    MAC: endpoint => endpoint.mac,
    CONTAINER: endpoint => endpoint.containerId,
  },
})
