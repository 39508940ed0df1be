// EndpointSlices: the backends of a service, as the cluster's endpoint controller (or
// somebody by hand) says. discovery.k8s.io/v1.

import type { TransportProtocol } from './pod.ts'

export type SliceEndpoint = {
  /** Canonical, of the slice's family. */
  readonly addresses: readonly string[]
  /** As they stand: what is left out means yes, yes and no. */
  readonly ready: boolean
  readonly serving: boolean
  readonly terminating: boolean
  readonly node?: string
  readonly zone?: string
  /** Zones and nodes that this endpoint is meant for; absent: no hint. */
  readonly forZones?: readonly string[]
  readonly forNodes?: readonly string[]
  /** `namespace/name` of the pod behind it. */
  readonly pod?: string
}

export type SlicePort = {
  readonly name: string
  readonly protocol: TransportProtocol
  /** Absent: all ports, which nothing can be translated to. */
  readonly port?: number
}

export type EndpointSliceManifest = {
  readonly namespace: string
  readonly name: string
  /** Of the label kubernetes.io/service-name; a slice without one is nobody's. */
  readonly service?: string
  readonly family: 4 | 6
  readonly ports: readonly SlicePort[]
  readonly endpoints: readonly SliceEndpoint[]
  /** Of the annotation service.axoneme.io/weight: share of each of its endpoints, 1 where it says nothing; 0: none. */
  readonly weight: number
}
