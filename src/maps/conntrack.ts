// bpf/lib/conntrack.h: the connections that the datapath knows, and the revision
// that tells it whether what it knows is still of today's policy.

import type { Address } from './address.ts'
import { addressShape } from './address.ts'
import { enumeration, type StructValue, struct } from './layout.ts'

export const flowFlagsShape = enumeration('flow_flags', 'FLOW_', [
  'INITIATOR_IS_HIGH',
  'FROM_HOST',
  'CLOSED',
  'TRANSLATED',
])
export type FlowFlag = (typeof flowFlagsShape.names)[number]

/** `DIRECT`: one connection; else a proxy's two, see `FlowKey`. */
export const flowLegShape = enumeration('flow_leg', 'LEG_', ['DIRECT', 'TO_PROXY', 'FROM_PROXY'])
export type FlowLeg = (typeof flowLegShape.names)[number]

export const flowKeyShape = struct('flow_key', {
  low: addressShape,
  high: addressShape,
  low_port: 'number',
  high_port: 'number',
  protocol: 'number',
  leg: 'number',
})
/** The two ends in the order of `orderedFlowKey`: both directions of a connection have the same key. `leg`: see `FlowLeg`. */
export type FlowKey = StructValue<typeof flowKeyShape>

export const flowShape = struct('flow', {
  expires_ns: 'bigint',
  reported_ns: 'bigint',
  packets: 'bigint pair',
  bytes: 'bigint pair',
  revision: 'number',
  identity: 'pair',
  endpoint: 'pair',
  egress_rule: 'number',
  ingress_rule: 'number',
  tcp_flags: 'bytes',
  flags: 'number',
  audit: 'number',
  service: 'number',
  proxy: 'number',
  l7: 'pair',
})
/**
 * Pairs are [of the side that opened the connection, of the other]. Times are of CLOCK_MONOTONIC. `audit`: see
 * `auditedDenial`. `proxy`: see `ProxyKind`; `l7`: numbers of the rule sets that it judges by, 0 for none.
 */
export type Flow = StructValue<typeof flowShape>

export const runtimeShape = struct('runtime', { revision: 'number', proxies: 'number' })
/** `proxies`: 1 when some policy wants what is said on connections judged; packets are looked at for that only then. */
export type Runtime = StructValue<typeof runtimeShape>

/** One packet's view of a connection. */
export type FlowTuple = {
  readonly source: Address
  readonly destination: Address
  readonly source_port: number
  readonly destination_port: number
  readonly protocol: number
}

/** The key of a tuple's connection, and whether the tuple's source is its high end. @param leg number of a `FlowLeg` */
export function orderedFlowKey(tuple: FlowTuple, leg = 0): { readonly key: FlowKey; readonly sourceIsHigh: boolean } {
  const order = compareAddresses(tuple.source.bytes, tuple.destination.bytes)
  const sourceIsHigh =
    order > 0 || (order === 0 && networkOrder(tuple.source_port) > networkOrder(tuple.destination_port))
  const { source, destination, source_port, destination_port, protocol } = tuple
  const key = sourceIsHigh
    ? { low: destination, high: source, low_port: destination_port, high_port: source_port, protocol, leg }
    : { low: source, high: destination, low_port: source_port, high_port: destination_port, protocol, leg }
  return { key, sourceIsHigh }
}

/** The datapath compares addresses as two little-endian words of 8 bytes, and ports as they stand in the packet. */
function compareAddresses(a: Uint8Array, b: Uint8Array): number {
  for (const word of [7, 15])
    for (let index = word; index > word - 8; index--) {
      const difference = (a[index] ?? 0) - (b[index] ?? 0)
      if (difference !== 0) return difference
    }
  return 0
}

const networkOrder = (port: number): number => ((port & 0xff) << 8) | (port >> 8)
