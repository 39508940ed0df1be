// Rows of tables for tests, each whole and plain; a test names what it is about.

import type { Endpoint, NumberedPort, Pod, ServiceEntry } from '../index.ts'

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
    networkNamespaceCookie: String(id),
    interface: 'eth0',
    hostInterface: `axo${id}`,
    ifindex: id,
    mac: '0a:00:00:00:00:01',
    addresses: [],
    ...more,
  }
}

/** Port 80/TCP of IPv4, named `http`, at the ClusterIP 10.96.0.10, without backends. */
export function servicePortRow(number: number, more: Partial<NumberedPort> = {}): NumberedPort {
  const { port = 80, protocol = 6, family = 4 } = more
  return {
    id: `shop/web:${port}/${protocol}/${family}`,
    number,
    portName: 'http',
    port,
    protocol,
    family,
    frontends: [{ address: '10.96.0.10', port, kind: 'ClusterIP', reach: 'cluster' }],
    backends: [],
    without: { cluster: 'reject', outside: 'reject' },
    algorithm: 'random',
    affinitySeconds: 0,
    sourceRanges: [],
    forwarding: 'snat',
    ...more,
  }
}

/** A service of namespace `shop`. */
export function serviceEntryRow(name: string, ...ports: readonly NumberedPort[]): ServiceEntry {
  return { namespace: 'shop', name, ports }
}
