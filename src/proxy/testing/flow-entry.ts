// What the datapath writes of a connection that it leads to a proxy, for tests of those
// who read it there.

import { type Flow, type FlowKey, orderedFlowKey, type ProxyKind, type Schema } from '../../maps/index.ts'
import type { Connection } from '../known-flows.ts'

/** An entry of `flows`: the client has opened the connection, and no rules are named but those of `change`. */
export function flowEntry(
  schema: Pick<Schema, 'proxyKind' | 'flowFlags' | 'flowLeg'>,
  kind: Exclude<ProxyKind, 'NONE'>,
  { client, server, transport }: Connection,
  change: Partial<Flow> = {},
): [key: FlowKey, flow: Flow] {
  const { key, sourceIsHigh } = orderedFlowKey({
    source: { bytes: client.address },
    destination: { bytes: server.address },
    source_port: client.port,
    destination_port: server.port,
    protocol: transport === 'UDP' ? 17 : 6,
  })
  const flow: Flow = {
    expires_ns: 0x7fffffffffffffffn,
    reported_ns: 0n,
    packets: [0n, 0n],
    bytes: [0n, 0n],
    revision: 1,
    identity: [300, 400],
    endpoint: [1, 2],
    egress_rule: 5,
    ingress_rule: 6,
    tcp_flags: new Uint8Array(2),
    flags: sourceIsHigh ? schema.flowFlags.number.INITIATOR_IS_HIGH : 0,
    audit: 0,
    service: 9,
    proxy: schema.proxyKind.number[kind],
    l7: [0, 0],
    ...change,
  }
  return [{ ...key, leg: schema.flowLeg.number.TO_PROXY }, flow]
}
