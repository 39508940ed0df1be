// The agent's own API, declared once: what is asked and answered on its unix socket.
// HTTP/1.1 with JSON, so that curl can speak it; streams are one JSON object a line.
// Server and client both take their types from here.

import { z } from 'zod'
import type { CidrGroup, EnforcementMode, Policy, PolicyService } from '../policy/index.ts'
import type { Namespace, Node, Pod } from '../tables/index.ts'
import type { ProxyStatus } from './proxy-schema.ts'

/** Wants a pod's interface, as a CNI ADD does. Answered when the pod's policy is enforced on its packets. */
export const endpointRequest = z.strictObject({
  containerId: z.string().min(1).max(253),
  /** File of the pod's network namespace. */
  netns: z.string().startsWith('/'),
  /** Name of the interface to make in it. */
  interface: z.string().regex(/^(?!\.{1,2}$)[a-zA-Z0-9_.-]{1,15}$/),
  pod: z.strictObject({ namespace: z.string().min(1), name: z.string().min(1) }),
})

export type EndpointRequest = z.infer<typeof endpointRequest>

export type EndpointAnswer = {
  readonly id: number
  readonly addresses: readonly string[]
  readonly mac: string
  readonly hostInterface: string
}

export type ReconcilerState = {
  readonly name: string
  readonly done: number
  readonly pending: number
  readonly failed: readonly { readonly key: string; readonly error: string; readonly attempts: number }[]
}

/** Services of a node, and how full the maps are that hold them. */
export type ServiceCounts = {
  readonly services: number
  readonly frontends: number
  /** Addresses and ports, each once. */
  readonly backends: number
  /** Services that the kernel did not take. */
  readonly failed: number
  readonly maps: readonly MapFill[]
}

export type MapFill = {
  readonly name: string
  /** As counted so long ago: of a large map it is not counted anew each time. */
  readonly entries: number
  readonly ageMs: number
  readonly maxEntries: number
}

export type AgentStatus = {
  readonly node: string
  readonly version: string
  readonly pid: number
  readonly startedAt: string
  /** Every source has delivered, and all that was wanted then is in the kernel. */
  readonly ready: boolean
  readonly readyAfterMs?: number
  readonly kernel: string
  /** Who is isolated where no policy says so: default, always or never. */
  readonly policyEnforcement: string
  readonly revision: number
  readonly counts: Readonly<Record<string, number>>
  readonly services: ServiceCounts
  /** Of the node's proxy; absent where none was named to the agent. */
  readonly proxy?: ProxyStatus | { readonly ready: false; readonly waitsFor: string }
  readonly reconcilers: readonly ReconcilerState[]
  readonly problems: readonly { readonly severity: string; readonly text: string }[]
  readonly events: { readonly received: string; readonly lost: string }
  readonly requests: RequestStatus
  readonly memoryBytes: number
}

/** What proxies have told of requests since the agent started. */
export type RequestStatus = {
  readonly received: number
  /** Before they came to the agent. */
  readonly lost: number
  readonly counts: readonly { readonly protocol: string; readonly verdict: string; readonly count: number }[]
}

/** What is declared, as the agent has it in force: pods that live at their addresses, policies in the rule model. */
export type ClusterAnswer = {
  readonly pods: readonly Omit<Pod, 'origin'>[]
  /** The agent's own node first. */
  readonly nodes: readonly Omit<Node, 'origin'>[]
  readonly namespaces: readonly Omit<Namespace, 'origin'>[]
  readonly policies: readonly Policy[]
  readonly cidrGroups: readonly CidrGroup[]
  readonly services: readonly PolicyService[]
  readonly enforcement: EnforcementMode
  /** Names of DNS, canonical, with the addresses that they were answered with. */
  readonly learntNames: readonly { readonly name: string; readonly address: string }[]
}

/** An address that a DNS name was answered with. */
export type KnownName = {
  readonly name: string
  readonly address: string
  /** Of its time to live. 0: it is over, and the address is known for a moment longer, or connections use it still. */
  readonly secondsLeft: number
  readonly state: 'valid' | 'in-use'
  /** Addresses of who asked last, and of who answered. */
  readonly client: string
  readonly server: string
  /** Selectors of policies that mean a name of the address. */
  readonly selectors: readonly string[]
  /** Of the address; absent where no policy tells it from the prefix around it. */
  readonly identity?: number
  /** Who of the cluster has the address, so that it has no label of a name: `pod shop/web`. */
  readonly owner?: string
}

export type TableSummary = { readonly name: string; readonly rows: number; readonly initialized: boolean }

export type PrintedTable = {
  readonly name: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

export type MapInfo = {
  readonly name: string
  readonly type: string
  readonly keyBytes: number
  readonly valueBytes: number
  readonly entries: number | null
  readonly maxEntries: number
}

export type ProgramInfo = {
  readonly name: string
  readonly id: number
  readonly tag: string
  readonly translatedBytes: number
  readonly jitedBytes: number
  /** Devices that it is to be on. */
  readonly attached: number
}

export type DropCount = {
  /** AUDIT: forwarded, and the reason is what an audited policy would have dropped it for. */
  readonly verdict: 'FORWARDED' | 'DROPPED' | 'AUDIT'
  readonly reason: string
  readonly direction: string
  readonly packets: string
  readonly bytes: string
}

/** What every failed request answers. */
export type ApiErrorBody = { readonly error: { readonly code: string; readonly message: string } }
