// Rows of tables for tests, each whole and plain; a test names what it is about.

import type { Endpoint, Pod } from '../index.ts'

/** A pod of namespace `shop`, without labels, addresses or ports. */
export function podRow(name: string, more: Partial<Pod> = {}): Pod {
  return {
    namespace: 'shop',
    name,
    labels: {},
    serviceAccount: 'default',
    hostNetwork: false,
    addresses: [],
    ports: [],
    origin: { file: '', line: 0 },
    ...more,
  }
}

/** An endpoint of a pod of namespace `shop`, in container `cID` behind device `axoID` with the index ID. */
export function endpointRow(id: number, podName: string, more: Partial<Endpoint> = {}): Endpoint {
  return {
    id,
    containerId: `c${id}`,
    podNamespace: 'shop',
    podName,
    networkNamespace: '/run/netns/x',
    networkNamespaceInode: 1,
    interface: 'eth0',
    hostInterface: `axo${id}`,
    ifindex: id,
    mac: '0a:00:00:00:00:01',
    addresses: [],
    ...more,
  }
}
