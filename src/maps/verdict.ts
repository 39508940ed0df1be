// bpf/lib/verdict.h: verdicts, drop reasons, directions, denials that are only
// recorded, and the counters that are indexed by all of these.

import type { BpfMap } from '../bpf/index.ts'
import { type EnumTable, enumeration, type StructValue, struct } from './layout.ts'

export const verdictShape = enumeration('verdict', 'VERDICT_', [
  'UNKNOWN',
  'FORWARDED',
  'DROPPED',
  'ERROR',
  'AUDIT',
  'REDIRECTED',
])
export type Verdict = (typeof verdictShape.names)[number]

export const dropReasonShape = enumeration('drop_reason', 'DROP_', [
  'NONE',
  'INVALID_SOURCE_MAC',
  'INVALID_DESTINATION_MAC',
  'INVALID_SOURCE_IP',
  'POLICY_DENIED',
  'INVALID_PACKET',
  'UNKNOWN_L4',
  'UNSUPPORTED_L3',
  'STALE_IP',
  'CSUM_L4',
  'CT_INSERT_FAILED',
  'NO_SERVICE',
  'NAT_NO_MAPPING',
  'NO_FIB',
  'IS_CLUSTER_IP',
  'FRAGMENT_NOT_FOUND',
  'NOT_IN_SOURCE_RANGE',
  'SOCKET_LOOKUP_FAILED',
  'SOCKET_ASSIGN_FAILED',
  'POLICY_DENY',
  'VLAN_FILTERED',
  'TTL_EXCEEDED',
  'POLICY_MISSING',
  'IPV4_MAPPED_ADDRESS',
  'PACKET_TOO_BIG',
  'PROXY_MIDSTREAM',
  'PROXY_CONFLICT',
])
/** As in Hubble's flows, where it has the reason. */
export type DropReason = (typeof dropReasonShape.names)[number]

export const trafficDirectionShape = enumeration('traffic_direction', 'DIRECTION_', ['UNKNOWN', 'INGRESS', 'EGRESS'])
export type TrafficDirection = (typeof trafficDirectionShape.names)[number]

export const packetCountShape = struct('packet_count', { packets: 'bigint', bytes: 'bigint' })
export type PacketCount = StructValue<typeof packetCountShape>

export const auditShape = enumeration('audit', 'AUDIT_', ['INGRESS', 'EGRESS', 'BY_DEFAULT'])
export const packetCountersShape = enumeration('packet_counters', 'AUDIT_', ['COUNTERS'])

/** A denial that is only recorded: what would have dropped the packet, and whose policy. */
export type AuditedDenial = {
  readonly reason: 'POLICY_DENY' | 'POLICY_DENIED'
  readonly direction: 'INGRESS' | 'EGRESS'
}

type AuditEnums = { readonly audit: EnumTable<(typeof auditShape.names)[number]> }

/** The denial that the byte of a connection says; undefined for none. */
export function auditedDenial({ audit }: AuditEnums, byte: number): AuditedDenial | undefined {
  const { INGRESS, EGRESS, BY_DEFAULT } = audit.number
  const direction = (byte & EGRESS) !== 0 ? 'EGRESS' : (byte & INGRESS) !== 0 ? 'INGRESS' : undefined
  return direction && { reason: (byte & BY_DEFAULT) !== 0 ? 'POLICY_DENIED' : 'POLICY_DENY', direction }
}

/** The inverse of `auditedDenial`. */
export function auditByte({ audit }: AuditEnums, denial: AuditedDenial | undefined): number {
  if (!denial) return 0
  return audit.number[denial.direction] | (denial.reason === 'POLICY_DENIED' ? audit.number.BY_DEFAULT : 0)
}

/** What was counted: FORWARDED has the reason NONE, AUDIT the one that it would have been dropped for. */
export type PacketCounter = PacketCount & {
  readonly verdict: 'FORWARDED' | 'DROPPED' | 'AUDIT'
  readonly reason: DropReason
  readonly direction: TrafficDirection
}

type CounterEnums = {
  readonly dropReason: EnumTable<DropReason>
  readonly trafficDirection: EnumTable<TrafficDirection>
  readonly packetCounters: EnumTable<'COUNTERS'>
}

const DIRECTIONS = 4

/** All counters that are not zero, summed over the CPUs. */
export function readPacketCounters(
  enums: CounterEnums,
  counts: Pick<BpfMap<number, readonly PacketCount[]>, 'entries'>,
): PacketCounter[] {
  const counters: PacketCounter[] = []
  for (const [index, perCpu] of counts.entries()) {
    const packets = perCpu.reduce((total, count) => total + count.packets, 0n)
    const audited = index >= enums.packetCounters.number.COUNTERS
    const reason = enums.dropReason.name(Math.floor((index % enums.packetCounters.number.COUNTERS) / DIRECTIONS))
    const direction = enums.trafficDirection.name(index % DIRECTIONS)
    if (packets === 0n || reason === undefined || direction === undefined) continue
    const bytes = perCpu.reduce((total, count) => total + count.bytes, 0n)
    const verdict = audited ? 'AUDIT' : reason === 'NONE' ? 'FORWARDED' : 'DROPPED'
    counters.push({ verdict, reason, direction, packets, bytes })
  }
  return counters
}
