// What a service comes to on one node: which addresses stand for it, which backends
// new connections may get, and why each of the others is not one of them.

export type FrontendKind = 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalIP' | 'HostPort'

/** Who finds the service under an address: the cluster, everybody, or only processes of the node itself (a loopback address). */
export type FrontendReach = 'cluster' | 'everybody' | 'node'

export type ServiceFrontend = {
  /** Canonical. */
  readonly address: string
  readonly port: number
  readonly kind: FrontendKind
  readonly reach: FrontendReach
}

/** Why a backend gets no new connections; absent: it does. */
export type NotChosen =
  | 'not ready'
  | 'terminating'
  | 'not on this node'
  | 'meant for another zone'
  | 'meant for another node'
  | 'weight 0'

export type ServiceBackend = {
  readonly address: string
  readonly port: number
  readonly node?: string
  readonly zone?: string
  readonly pod?: string
  readonly ready: boolean
  readonly serving: boolean
  readonly terminating: boolean
  readonly weight: number
  readonly notForCluster?: NotChosen
  readonly notForOutside?: NotChosen
}

/** A traffic policy may leave each kind of client other backends. */
export type ClientKind = 'cluster' | 'outside'

/** Why clients of that kind do not get the backend; undefined: they do. */
export const notChosenOf = (
  { notForCluster, notForOutside }: Pick<ServiceBackend, 'notForCluster' | 'notForOutside'>,
  kind: ClientKind,
): NotChosen | undefined => (kind === 'cluster' ? notForCluster : notForOutside)

/** What becomes of a client for whom there is no backend: told at once, or (the traffic policy wants one of this node) not at all. */
export type WithoutBackend = 'reject' | 'drop'

/** One port of a service in one family: what is translated as one. */
export type ServicePortEntry = {
  /**
   * `NAMESPACE/NAME:PORT/PROTOCOL/FAMILY`; stays the same while the service has the port. With `/external` behind it, the entry
   * of the addresses that are not the cluster's own, where a traffic policy parts the two.
   */
  readonly id: string
  readonly portName: string
  readonly port: number
  readonly protocol: number
  readonly family: 4 | 6
  readonly frontends: readonly ServiceFrontend[]
  /** All that the slices name, in canonical order: by address, then port. */
  readonly backends: readonly ServiceBackend[]
  readonly without: { readonly cluster: WithoutBackend; readonly outside: WithoutBackend }
  readonly algorithm: 'random' | 'maglev'
  /** 0: no affinity. */
  readonly affinitySeconds: number
  /** Canonical prefixes of both families that outside clients of a LoadBalancer frontend must come from; none: everybody. */
  readonly sourceRanges: readonly string[]
  /** How backends on other nodes answer clients outside. */
  readonly forwarding: 'snat' | 'dsr'
}

/** Something that is not as its author meant it; the rest of the service works. */
export type ServiceProblem = {
  readonly severity: 'error' | 'warning'
  /** In the Service, such as `spec.ports[0].nodePort`; empty: of the whole. */
  readonly path: string
  readonly message: string
}

export type ResolvedService = {
  readonly namespace: string
  readonly name: string
  readonly ports: readonly ServicePortEntry[]
  /** Of externalTrafficPolicy Local: where load balancers ask whether this node has backends, and how many it has. */
  readonly healthCheck?: { readonly port: number; readonly localBackends: number }
  readonly problems: readonly ServiceProblem[]
}
