// From a kernel record to a flow in words: pods and identities by name, rules by the
// policy, place and line that made them. Reads tables and decides nothing.

import { formatIp } from '../ip/index.ts'
import { protocolName } from '../labels/index.ts'
import type { FlowEvent } from '../maps/event.ts'
import type { Schema } from '../maps/schema.ts'
import { type EnforcementMode, placeText, policyName } from '../policy/index.ts'
import type { Tables } from '../tables/index.ts'
import type { Flow, FlowEnd } from './flow.ts'
import { flowEnd } from './flow-end.ts'
import { logsOf, ruleOf, shownRule } from './flow-rule.ts'
import type { ServiceNames } from './service-names.ts'

export type DescribeOptions = {
  readonly node: string
  readonly tables: Tables
  readonly schema: Schema
  /** Who is isolated where no policy says so. */
  readonly enforcement: EnforcementMode
  /** Microseconds since the Unix epoch at CLOCK_MONOTONIC zero. */
  readonly bootMicros: () => number
  readonly serviceNames: Pick<ServiceNames, 'nameOf'>
}

const TCP_FLAG_NAMES = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR']
const WITH_PORTS: ReadonlySet<string> = new Set(['TCP', 'UDP', 'SCTP'])
const EVENT_NAMES = ['new', 'active', 'closed', 'drop', 'related'] as const

export function describeFlow(event: FlowEvent, options: DescribeOptions): Flow {
  const { schema, node, tables, enforcement } = options
  const protocol = protocolName(event.protocol)
  const ports = WITH_PORTS.has(protocol)
  const { DROPPED, AUDIT } = schema.verdict.number
  const audited = event.verdict === AUDIT
  const denied = event.verdict === DROPPED || audited
  const direction = schema.trafficDirection.name(event.direction)
  const side = direction === 'INGRESS' ? 'ingress' : 'egress'
  const egressRule = ruleOf(event.egress_rule, tables)
  const ingressRule = ruleOf(event.ingress_rule, tables)
  const byDefault = event.drop_reason === schema.dropReason.number.POLICY_DENIED
  const isolatedBy = byDefault ? isolating(event, side, audited, tables, enforcement) : []
  const service = options.serviceNames.nameOf(event.service)
  const policyLog = logsOf(denied ? [side === 'egress' ? egressRule : ingressRule] : [egressRule, ingressRule])
  return {
    time: timeText(options.bootMicros() + Number(event.time_ns / 1000n)),
    node,
    type: 'L3_L4',
    verdict: schema.verdict.text(event.verdict),
    event: EVENT_NAMES.find(name => schema.eventKind.name(event.kind) === name.toUpperCase()) ?? 'unknown',
    source: endOf(event, 0, ports, tables),
    destination: endOf(event, 1, ports, tables),
    ...(service && (event.is_reply ? { sourceService: service } : { destinationService: service })),
    protocol,
    family: event.family === 6 ? 6 : 4,
    ...(protocol === 'TCP' && { tcpFlags: TCP_FLAG_NAMES.filter((_, bit) => event.tcp_flags & (1 << bit)) }),
    ...(protocol.startsWith('ICMP') && { icmp: { type: event.icmp_type, code: event.icmp_code } }),
    isReply: event.is_reply !== 0,
    ...(denied && { dropReason: schema.dropReason.text(event.drop_reason), direction: side }),
    ...(egressRule && { egressRule: shownRule(egressRule) }),
    ...(ingressRule && { ingressRule: shownRule(ingressRule) }),
    ...(isolatedBy.length > 0 && { isolatedBy }),
    ...(policyLog.length > 0 && { policyLog }),
    ...(event.proxy !== 0 && { proxy: schema.proxyKind.text(event.proxy) }),
    packets: [Number(event.packets[0]), Number(event.packets[1])],
    bytes: [Number(event.bytes[0]), Number(event.bytes[1])],
  }
}

function endOf(event: FlowEvent, side: 0 | 1, ports: boolean, tables: Tables): FlowEnd {
  const address = formatIp((side === 0 ? event.source : event.destination).bytes)
  const port = side === 0 ? event.source_port : event.destination_port
  // A socket that was refused may not be bound yet, and its pod may have no address of the family.
  const isNamed = event.ifindex !== 0 || port !== 0
  const identity = event.identity[side]
  return flowEnd(
    { address, port: ports && isNamed ? port : undefined, identity, endpoint: event.endpoint[side] },
    tables,
  )
}

/** What isolates the pod whose default denied the packet: of audited policies only where the denial is only recorded. */
function isolating(
  event: FlowEvent,
  side: 'ingress' | 'egress',
  audited: boolean,
  tables: Tables,
  enforcement: EnforcementMode,
): string[] {
  // The pod that decided: the sender for egress, the receiver for ingress, of the connection's opener.
  const opener = event.is_reply ? 1 : 0
  const decider = side === 'egress' ? opener : 1 - opener
  const address = formatIp((decider === 0 ? event.source : event.destination).bytes)
  const entry = tables.endpointEntries.get(address)
  const map = entry && tables.policyMaps.get(String(entry.policy))
  const policies = (map?.isolatedBy[side] ?? []).filter(({ audit }) => audited || !audit)
  if (policies.length === 0 && enforcement === 'always') return ['the enforcement mode always']
  return policies.map(policy => `${policyName(policy)}${placeText(policy.origin)}`)
}

/** RFC 3339, with microseconds. */
export function timeText(micros: number): string {
  const millis = Math.floor(micros / 1000)
  const rest = String(Math.floor(micros % 1000)).padStart(3, '0')
  return new Date(millis).toISOString().replace('Z', `${rest}Z`)
}
