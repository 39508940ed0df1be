// bpf/lib/verdict.h: verdicts, drop reasons, directions, and the counters that are
// indexed by the last two.

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
  'CT_INSERT_FAILED',
  'FRAGMENT_NOT_FOUND',
  'POLICY_DENY',
  'VLAN_FILTERED',
  'POLICY_MISSING',
  'IPV4_MAPPED_ADDRESS',
])
/** As in Hubble's flows, where it has the reason. */
export type DropReason = (typeof dropReasonShape.names)[number]

export const trafficDirectionShape = enumeration('traffic_direction', 'DIRECTION_', ['UNKNOWN', 'INGRESS', 'EGRESS'])
export type TrafficDirection = (typeof trafficDirectionShape.names)[number]

export const packetCountShape = struct('packet_count', { packets: 'bigint', bytes: 'bigint' })
export type PacketCount = StructValue<typeof packetCountShape>

/** `reason` NONE counts what was let pass. */
export type PacketCounter = PacketCount & { readonly reason: DropReason; readonly direction: TrafficDirection }

type CounterEnums = {
  readonly dropReason: EnumTable<DropReason>
  readonly trafficDirection: EnumTable<TrafficDirection>
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
    const reason = enums.dropReason.name(Math.floor(index / DIRECTIONS))
    const direction = enums.trafficDirection.name(index % DIRECTIONS)
    if (packets === 0n || reason === undefined || direction === undefined) continue
    counters.push({ reason, direction, packets, bytes: perCpu.reduce((total, count) => total + count.bytes, 0n) })
  }
  return counters
}
