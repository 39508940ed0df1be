// A small world of services for tests, each part whole; a test names what it is about.

import type { ServiceManifest } from '../../manifests/index.ts'
import type { ServiceBackend, ServiceFrontend, ServicePortEntry } from '../resolved.ts'
import type { KnownPod, KnownService, ServiceWorld } from '../why/index.ts'

/** ClusterIP service `shop/NAME` with port 80. */
export function declaredService(name: string, more: Partial<ServiceManifest> = {}): ServiceManifest {
  return {
    namespace: 'shop',
    name,
    labels: {},
    annotations: {},
    type: 'ClusterIP',
    headless: false,
    clusterIps: [],
    ipFamilies: [],
    ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 }],
    externalIps: [],
    loadBalancerAddresses: [],
    loadBalancerSourceRanges: [],
    allocateNodePorts: true,
    internalTrafficPolicy: 'Cluster',
    externalTrafficPolicy: 'Cluster',
    publishNotReadyAddresses: false,
    ...more,
  }
}

export const knownService = (
  manifest: ServiceManifest,
  ports: readonly ServicePortEntry[] = [],
): KnownService & { readonly manifest: ServiceManifest } => ({
  namespace: manifest.namespace,
  name: manifest.name,
  manifest,
  ports,
})

export function resolvedPort(more: Partial<ServicePortEntry> = {}): ServicePortEntry {
  const { port = 80, protocol = 6, family = 4 } = more
  return {
    id: `shop/x:${port}/${protocol}/${family}`,
    portName: 'http',
    port,
    protocol,
    family,
    frontends: [],
    backends: [],
    without: { cluster: 'reject', outside: 'reject' },
    algorithm: 'random',
    affinitySeconds: 0,
    sourceRanges: [],
    forwarding: 'snat',
    ...more,
  }
}

export const clusterIp = (address: string, port = 80): ServiceFrontend => ({
  address,
  port,
  kind: 'ClusterIP',
  reach: 'cluster',
})

/** Ready, with weight 1, of pod `shop/POD`. */
export function backend(address: string, pod: string, more: Partial<ServiceBackend> = {}): ServiceBackend {
  return {
    address,
    port: 8080,
    pod: `shop/${pod}`,
    ready: true,
    serving: true,
    terminating: false,
    weight: 1,
    ...more,
  }
}

export const knownPod = (name: string, ...addresses: readonly string[]): KnownPod => ({
  namespace: 'shop',
  name,
  addresses,
  hostNetwork: false,
  byPacket: false,
})

/** Node 172.30.0.2 with pod shop/client at 10.0.0.2 and these services. */
export function worldOf(services: readonly KnownService[], more: Partial<ServiceWorld> = {}): ServiceWorld {
  return {
    node: { name: 'node1', addresses: ['172.30.0.2', 'fd00:172:30::2'] },
    services,
    slices: [],
    pods: [knownPod('client', '10.0.0.2', 'fd00::2')],
    sockets: true,
    ...more,
  }
}
