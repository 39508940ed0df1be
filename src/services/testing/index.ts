// Services and slices for tests: what a table does not name is as Kubernetes defaults it.

import type { EndpointSliceManifest, ServiceManifest, SliceEndpoint } from '../../manifests/index.ts'
import type { ServiceContext } from '../resolve.ts'
import type { ServiceFrontend } from '../resolved.ts'

/** shop/web: 10.96.0.1, port 80. */
export const service = (given: Partial<ServiceManifest> = {}): ServiceManifest => ({
  namespace: 'shop',
  name: 'web',
  labels: {},
  annotations: {},
  type: 'ClusterIP',
  headless: false,
  clusterIps: ['10.96.0.1'],
  ipFamilies: [],
  ports: [{ name: '', protocol: 'TCP', port: 80, targetPort: 8080 }],
  externalIps: [],
  loadBalancerAddresses: [],
  loadBalancerSourceRanges: [],
  allocateNodePorts: true,
  internalTrafficPolicy: 'Cluster',
  externalTrafficPolicy: 'Cluster',
  publishNotReadyAddresses: false,
  ...given,
})

/** IPv4, port 8080. */
export const slice = (given: Partial<EndpointSliceManifest> = {}): EndpointSliceManifest => ({
  namespace: 'shop',
  name: 'web-1',
  service: 'web',
  family: 4,
  ports: [{ name: '', protocol: 'TCP', port: 8080 }],
  endpoints: [],
  weight: 1,
  ...given,
})

/** Ready and on node1. */
export const backend = (address: string, given: Partial<SliceEndpoint> = {}): SliceEndpoint => ({
  addresses: [address],
  ready: true,
  serving: true,
  terminating: false,
  node: 'node1',
  ...given,
})

/** node1 of zone a. */
export const context = (given: Partial<ServiceContext> = {}): ServiceContext => ({
  nodeName: 'node1',
  zone: 'a',
  nodeAddresses: ['172.30.0.2', 'fd00:172:30::2'],
  nodePortAddresses: ['172.30.0.2', 'fd00:172:30::2'],
  externalIpRanges: [],
  algorithm: 'random',
  forwarding: 'snat',
  clusterIpsFromOutside: false,
  ...given,
})

export const frontendTexts = (frontends: readonly ServiceFrontend[]): string[] =>
  frontends.map(({ kind, address, port, reach }) => `${kind} ${address}:${port} ${reach}`)
