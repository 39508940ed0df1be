// What a prediction is made from: the content of the datapath's maps, its
// constants, one frame, and the time. Any map with `get` will do.

import {
  type Address,
  type Affinity,
  type AffinityBackend,
  type AffinityKey,
  type Backend,
  constantOf,
  type DatapathConstants,
  type Endpoint,
  type Tuple as EntryTuple,
  type Flow,
  type FlowKey,
  type FragmentKey,
  type FragmentPorts,
  type Frontend,
  type FrontendKey,
  type IpcacheEntry,
  type IpcacheKey,
  type MemoryDatapath,
  type PolicyEntry,
  type PolicyKey,
  type Runtime,
  type Schema,
  type Translation,
} from '../maps/index.ts'
import type { Tuple } from './dissect.ts'

type Readable<Key, Value> = { get(key: Key): Value | undefined }

export type World = {
  readonly schema: Schema
  readonly constants: Required<DatapathConstants>
  /** 6 bytes: of the host side of every pod's veth pair. */
  readonly hostMac: Uint8Array
  readonly maps: {
    readonly endpoints: Readable<Address, Endpoint>
    readonly ipcache: Readable<IpcacheKey, IpcacheEntry>
    readonly flows: Readable<FlowKey, Flow>
    readonly fragments: Readable<FragmentKey, FragmentPorts>
    readonly runtime: Readable<number, Runtime>
    readonly frontends: Readable<FrontendKey, Frontend>
    readonly backends: Readable<number, Backend>
    readonly translations: Readable<EntryTuple, Translation>
    readonly affinities: Readable<AffinityKey, Affinity>
    readonly affinity_backends: Readable<AffinityBackend, number>
    readonly tls_contexts: Readable<number, number>
  }
  /** Whether the node's routes lead there. */
  hasRoute(destination: Uint8Array): boolean
  readonly sockets: ProxySockets
  /** Slots by their index in a page: ids of backends. */
  slotPage(page: number): Readable<number, number> | undefined
  /** The policy map that an endpoint's `policy` names. */
  policyMap(key: number): Readable<PolicyKey, PolicyEntry> | undefined
}

/** The sockets of the node's proxies. */
export type ProxySockets = {
  /** @param index of `proxy_sockets` */
  listens(index: number): boolean
  /** Whether a connection has one, by the tuple of what it receives. */
  has(tuple: Tuple): boolean
  /** The same of those that a proxy has opened. */
  hasOpened(tuple: Tuple): boolean
}

/** The world of maps in memory, without routes and sockets; constants that are not given are those of C. */
export function worldOf(datapath: MemoryDatapath, hostMac: Uint8Array, constants: DatapathConstants = {}): World {
  const declared = (name: keyof DatapathConstants) => constants[name] ?? constantOf(datapath.spec, name)
  return {
    schema: datapath.schema,
    hostMac,
    maps: datapath.maps,
    policyMap: key => datapath.policyMap(key),
    hasRoute: () => false,
    sockets: { listens: () => false, has: () => false, hasOpened: () => false },
    slotPage: page => datapath.openSlotPage(page),
    constants: {
      flow_events: declared('flow_events') as boolean,
      report_interval_seconds: declared('report_interval_seconds') as number,
      tcp_open_seconds: declared('tcp_open_seconds') as number,
      tcp_established_seconds: declared('tcp_established_seconds') as number,
      tcp_closing_seconds: declared('tcp_closing_seconds') as number,
      other_seconds: declared('other_seconds') as number,
    },
  }
}

export type Question = {
  /** Sent by a pod, or about to be handed to one by the node's own stack. */
  readonly hook: 'from_pod' | 'to_pod'
  /** From the Ethernet header on, without a VLAN tag that the device took off. */
  readonly frame: Uint8Array
  /** Host side of the pod's veth pair. */
  readonly ifindex: number
  /** Device by which the packet came into the node; 0 for what the node made itself. */
  readonly ingressIfindex: number
  /** That the stack gave it; 0 unless given. */
  readonly mark?: number | undefined
  /** CLOCK_MONOTONIC, ns. */
  readonly now: bigint
  /** What chance decided: the backend, and the client's port towards it where its own was taken. Else the first that is possible. */
  readonly chosen?: { readonly backend: number; readonly sourcePort: number }
}

/** One thing that was found on the way to the verdict, in words. */
export type Step = { readonly at: string; readonly found: string }
