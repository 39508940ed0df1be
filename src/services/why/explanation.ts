// What is told of an address and port that somebody wants to reach, as data: which
// frontend it is or why none, what becomes of which client, and every backend with
// why it is used or not. Made by why.ts; the words for people are the command line's.

import type { EndpointSliceManifest, ServiceManifest } from '../../manifests/index.ts'
import type { FrontendDifference, LiveFrontend } from '../frontend-content.ts'
import type { ClientKind, FrontendKind, ServiceBackend, ServiceFrontend, ServicePortEntry } from '../resolved.ts'

/** What is known of services where the question is asked. */
export type ServiceWorld = {
  readonly node: { readonly name: string; readonly addresses: readonly string[] }
  readonly services: readonly KnownService[]
  readonly slices: readonly EndpointSliceManifest[]
  readonly pods: readonly KnownPod[]
  /** Whether sockets are translated on the node; absent: nobody knows, as of files. */
  readonly sockets?: boolean
}

/** A service as it is declared, and what it comes to on this node: no ports where nothing is translated. */
export type KnownService = {
  readonly namespace: string
  readonly name: string
  /** Absent for the host ports of a pod. */
  readonly manifest?: ServiceManifest
  readonly ports: readonly ServicePortEntry[]
}

export type KnownPod = {
  readonly namespace: string
  readonly name: string
  readonly addresses: readonly string[]
  readonly hostNetwork: boolean
  /** Its connections are translated by the packet, not in sockets. */
  readonly byPacket: boolean
}

/** `namespace/name` of a service, and its port where one is meant. */
export type ServiceName = { readonly service: string }

/** Who asks. */
export type ServiceClient =
  | { readonly kind: 'pod'; readonly pod: KnownPod }
  /** A process of the node. */
  | { readonly kind: 'host' }
  | { readonly kind: 'outside'; readonly address: string }

export type ServiceQuestion = {
  /** A service by its name stands for one that nothing is translated for: it has no address. */
  readonly target: AskedAddress | { readonly service: KnownService }
  /** Absent: everybody. */
  readonly client?: ServiceClient
}

/** Canonical address, port, IP protocol number. */
export type AskedAddress = { readonly address: string; readonly port: number; readonly protocol: number }

export type ServiceExplanation = {
  /** `10.96.0.10:80/TCP`, or `namespace/name`. */
  readonly asked: string
  /** The frontend that matches. */
  readonly match?: MatchedFrontend
  /** Without a frontend what comes near, the nearest first; with one, who else claims it. */
  readonly near: readonly Near[]
  /** For the client that is named, or for each kind of client. */
  readonly clients: readonly ClientOutcome[]
  readonly backends: readonly BackendView[]
  /** What the kernel holds of it; absent where no kernel was asked. */
  readonly kernel?: KernelView
}

export type MatchedFrontend = ServiceFrontend &
  ServiceName &
  Pick<ServicePortEntry, 'portName' | 'algorithm' | 'affinitySeconds' | 'sourceRanges' | 'forwarding'> & {
    /** `TCP`. */
    readonly protocol: string
    /** The service's port. */
    readonly servicePort: number
  }

/**
 * Why the packet is not translated to a backend.
 * - `NO_SERVICE`, `IS_CLUSTER_IP`, `NOT_IN_SOURCE_RANGE`: as the drop reasons
 * - `NODE_ONLY`: a loopback address, which is there for processes of the node alone
 * - `NO_ADDRESS`: the client has no address of this family
 * - `NO_SOCKETS`: translation in sockets is off, and nothing else translates for the node's own processes
 * - `NO_SCTP`: it is on, and does not do SCTP
 */
export type WhyNot =
  | 'NO_SERVICE'
  | 'IS_CLUSTER_IP'
  | 'NOT_IN_SOURCE_RANGE'
  | 'NODE_ONLY'
  | 'NO_ADDRESS'
  | 'NO_SOCKETS'
  | 'NO_SCTP'

export type ClientOutcome = {
  /** Whose choice of backends it gets. */
  readonly kind: ClientKind
  /** `pod shop/client`, `the node`, `outside 192.0.2.1`, `pods and the node`, `outside`. */
  readonly who: string
  /** `rejected`: told at once; `dropped`: without a word; `untouched`: goes on as if there were no service. */
  readonly result: 'translated' | 'rejected' | 'dropped' | 'untouched'
  readonly because?: WhyNot
  /** Where: at connect and sendmsg, by the packet at the pod, or by the packet at the node's device. */
  readonly where: 'socket' | 'packet' | 'device'
  /** Backends that it may get. */
  readonly usable: number
  /** Of the source ranges, the one that lets it in. */
  readonly sourceRange?: string
  /** The client is itself one of them. */
  readonly mayBeItself: boolean
}

/** A backend, and for each kind of client why it is not used; absent: it is. */
export type BackendView = ServiceBackend

export type Near =
  /** Claims the address and port too, and another service has it. */
  | (ServiceName & { readonly kind: 'lost'; readonly to: string })
  | (ServiceName & { readonly kind: 'other-proxy'; readonly proxy: string })
  /** Declares it, but it does not come to a frontend here: its problems say why. */
  | (ServiceName & { readonly kind: 'not-in-force' })
  /** Names the address as a backend: clients get it from DNS. */
  | (ServiceName & { readonly kind: 'headless' })
  | (ServiceName & { readonly kind: 'external-name' })
  /** The address is that of a load balancer that answers there itself (ipMode Proxy). */
  | (ServiceName & { readonly kind: 'load-balancer' })
  /** The address and port are themselves a backend. */
  | (ServiceName & { readonly kind: 'backend' })
  | (ServiceName & { readonly kind: 'other-protocol'; readonly protocol: string })
  | (ServiceName & { readonly kind: 'other-ports'; readonly ports: readonly string[] })
  | (ServiceName & { readonly kind: 'other-address'; readonly address: string; readonly frontend: FrontendKind })
  | { readonly kind: 'pod'; readonly pod: string }
  | { readonly kind: 'node' }

/** What the kernel has against what is wanted. */
export type KernelView = {
  /** `absent`: nothing at that address and port. */
  readonly state: 'same' | 'different' | 'absent'
  readonly differences: readonly FrontendDifference[]
  /** Why it may differ: how the service stands, where it is not in force as it is wanted. */
  readonly standing?: string
  readonly content?: LiveFrontend
  readonly affinity?: LiveAffinity
  readonly connection?: LiveConnection
}

/** The backend that a client had last. `isInForce`: a new connection goes there again. */
export type LiveAffinity = {
  readonly client: string
  readonly backend: string
  readonly usedSecondsAgo: number
  readonly isInForce: boolean
}

/** What the kernel does with a connection that is open. */
export type LiveConnection =
  | { readonly kind: 'none'; readonly source: string }
  | {
      readonly kind: 'packet' | 'socket'
      readonly source: string
      /** Where it goes. */
      readonly backend: string
      /** Other than the client's own where the node hides it. */
      readonly sourceAfter: string
      /** The backend is still known. */
      readonly isKnown: boolean
      readonly secondsLeft: number
    }
