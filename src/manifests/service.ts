// Services: what users declare, as far as load balancing needs it. Core v1.

import type { TransportProtocol } from './pod.ts'

export type ServicePort = {
  /** Empty where the service has one port and does not name it. */
  readonly name: string
  readonly protocol: TransportProtocol
  readonly port: number
  /** Number or name of the backends' port; EndpointSlices have resolved it already. */
  readonly targetPort: number | string
  readonly nodePort?: number
  readonly appProtocol?: string
}

/** An address that a load balancer has given to the service. */
export type LoadBalancerAddress = {
  readonly ip: string
  /** Proxy: packets come with the address of something else, so the node does not answer for it. */
  readonly mode: 'VIP' | 'Proxy'
}

export type ServiceManifest = {
  readonly namespace: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  /** RFC 3339; of two services that claim one address and port, the older has it. */
  readonly createdAt?: string
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName'
  /** `clusterIP: None`, or the label service.kubernetes.io/headless: nothing to translate. */
  readonly headless: boolean
  /** Canonical, at most one of each family; none of a headless service. */
  readonly clusterIps: readonly string[]
  readonly ports: readonly ServicePort[]
  readonly selector?: Readonly<Record<string, string>>
  readonly externalIps: readonly string[]
  readonly loadBalancerAddresses: readonly LoadBalancerAddress[]
  /** Canonical prefixes; none: everybody. */
  readonly loadBalancerSourceRanges: readonly string[]
  readonly internalTrafficPolicy: 'Cluster' | 'Local'
  readonly externalTrafficPolicy: 'Cluster' | 'Local'
  /** Of `sessionAffinity: ClientIP`, seconds. */
  readonly affinitySeconds?: number
  readonly healthCheckNodePort?: number
  readonly publishNotReadyAddresses: boolean
  readonly trafficDistribution?: string
  /** Label service.kubernetes.io/service-proxy-name: somebody else's business. */
  readonly proxyName?: string
}
