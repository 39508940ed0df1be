// The form of a datapath test: packets in, one after the other as in a packet's
// life, and for each what becomes of it. One table serves both families: a packet
// names who sends it to whom, and is built for IPv4 and IPv6 alike.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DropReason, EventKind, Schema } from '../../src/maps/index.ts'
import * as frames from './frames.ts'
import {
  A,
  B,
  HOST,
  HOST_MAC,
  needsRoot,
  type Observed,
  type Party,
  type Pod,
  type PolicyOfPods,
  type Sent,
  type TestNode,
  UPLINK,
} from './node.ts'

export type Family = 4 | 6

const BOTH: readonly Family[] = [4, 6]

export type Packet = {
  readonly from: Party
  readonly to: Party
  /** Number, or what it is called in each family. */
  readonly protocol: number | 'icmp'
  readonly payload: (ends: Ends, family: Family) => Uint8Array
  readonly ip?: Partial<frames.IpFields>
  readonly ethernet?: { readonly source?: Uint8Array; readonly destination?: Uint8Array }
  /** Device it is seen at, where that is not the sending pod's, or else the receiving pod's. */
  readonly at?: number
  /** Device it came into the node by, where that is not the uplink. */
  readonly cameBy?: number
  /** Instead of the Ethernet frame that the rest describes. */
  readonly hook?: Sent['hook']
}
export type Ends = { readonly source: Uint8Array; readonly destination: Uint8Array }

export type Want = 'to stack' | 'to pod' | 'absorbed' | `drop ${Exclude<DropReason, 'NONE'>}`

export type Step = {
  readonly send: Packet
  readonly want: Want
  /** The event it makes. */
  readonly report?: EventKind | 'none'
  /** Verdict, reason and whose policy, as the event has them; FORWARDED has the last two only where they are told. */
  readonly verdict?: 'FORWARDED' | `${'AUDIT' | 'DROPPED'} ${DropReason} ${'EGRESS' | 'INGRESS'}`
  /** Numbers of the egress and the ingress rule that the event carries. */
  readonly rules?: readonly [number, number]
  /** What happens just before. */
  readonly first?: (node: TestNode) => void
}

export type Case = {
  readonly name: string
  readonly families?: readonly Family[]
  /** Rules of pods; the others are not isolated. */
  readonly policy?: PolicyOfPods
  readonly steps: readonly Step[] | ((family: Family) => readonly Step[])
}

export function testCases(node: () => TestNode, cases: readonly Case[]): void {
  for (const { name, families = BOTH, policy, steps } of cases)
    for (const family of families)
      test(families.length > 1 ? `${name}, IPv${family}` : name, { skip: needsRoot }, () => {
        node().reset(policy)
        const list = typeof steps === 'function' ? steps(family) : steps
        for (const [index, step] of list.entries()) runStep(node(), step, family, `step ${index + 1}`)
      })
}

export function runStep(node: TestNode, step: Step, family: Family, name: string): Observed {
  step.first?.(node)
  const observed = node.send(sentOf(step.send, family))
  const schema = node.world.schema
  const reason = observed.event && schema.dropReason.text(observed.event.drop_reason)
  if (step.want.startsWith('drop ')) {
    assert.equal(`${observed.action} ${reason}`, step.want, name)
  } else {
    assert.equal(describe(observed, step.send), step.want, `${name}: ${reason ?? ''}`)
    const wanted = step.want === 'absorbed' ? undefined : expectedFrame(step, family)
    if (wanted) assert.deepEqual(hexOf(observed.frame), hexOf(wanted), `${name}: the frame that leaves`)
  }
  const report = observed.event ? schema.eventKind.name(observed.event.kind) : 'none'
  if (step.report) assert.equal(report, step.report, `${name}: the event`)
  if (step.verdict) assert.equal(verdictOf(observed, schema), step.verdict, `${name}: the event's verdict`)
  if (step.rules)
    assert.deepEqual([observed.event?.egress_rule, observed.event?.ingress_rule], step.rules, `${name}: rules`)
  return observed
}

function verdictOf({ event }: Observed, schema: Schema): string | undefined {
  if (!event) return undefined
  const verdict = schema.verdict.text(event.verdict)
  if (event.drop_reason === 0) return verdict
  return `${verdict} ${schema.dropReason.text(event.drop_reason)} ${schema.trafficDirection.text(event.direction)}`
}

/** As if the last report of every connection were long ago. */
export const longUnreported = ({ datapath, memory }: TestNode): void => {
  for (const { flows } of [datapath.maps, memory.maps])
    for (const [key, flow] of flows.lookupBatch()) flows.set(key, { ...flow, reported_ns: 1n })
}

/** Changes policy as the agent does: swap, then raise the revision. */
export const change =
  (rules: Pick<PolicyOfPods, 'a' | 'b'>) =>
  (node: TestNode): void => {
    if (rules.a) node.setPolicy(A, rules.a)
    if (rules.b) node.setPolicy(B, rules.b)
    node.raiseRevision()
  }

function describe({ action }: Observed, packet: Packet): string {
  if (action === 'drop') return 'absorbed'
  if (action === 'redirect') return 'to pod'
  return hookOf(packet) === 'to_pod' ? 'to pod' : 'to stack'
}

/** A pod that is given the packet by from_pod gets it one hop further; all else leaves as it came. */
function expectedFrame({ send, want }: Step, family: Family): Uint8Array {
  if (want !== 'to pod' || hookOf(send) === 'to_pod') return frameOf(send, family)
  const timeToLive = (send.ip?.timeToLive ?? 64) - 1
  return frameOf(
    { ...send, ip: { ...send.ip, timeToLive }, ethernet: { source: HOST_MAC, destination: send.to.mac } },
    family,
  )
}

export const isPod = (party: Party): party is Pod => 'ifindex' in party

const hookOf = ({ hook, from }: Packet): Sent['hook'] => hook ?? (isPod(from) ? 'from_pod' : 'to_pod')

export function sentOf(packet: Packet, family: Family): Sent {
  const hook = hookOf(packet)
  const owner = hook === 'from_pod' ? packet.from : packet.to
  const ifindex = packet.at ?? (isPod(owner) ? owner.ifindex : UPLINK)
  const ingressIfindex = packet.cameBy ?? (hook === 'from_pod' ? ifindex : packet.from === HOST ? 0 : UPLINK)
  return { hook, frame: frameOf(packet, family), ifindex, ingressIfindex }
}

export function frameOf({ from, to, protocol, payload, ip, ethernet }: Packet, family: Family): Uint8Array {
  const ends = { source: from[family], destination: to[family], ...ip }
  const number = protocol === 'icmp' ? icmpOf(family) : protocol
  return frames.ethernet(
    {
      source: ethernet?.source ?? from.mac,
      destination: ethernet?.destination ?? (isPod(from) ? HOST_MAC : to.mac),
      type: family === 4 ? frames.ETHERTYPE.ipv4 : frames.ETHERTYPE.ipv6,
    },
    frames.ip(family, ends, number, payload(ends, family)),
  )
}

export const icmpOf = (family: Family): number => (family === 4 ? frames.PROTOCOL.icmp : frames.PROTOCOL.icmpv6)

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

export type Conversation = {
  readonly from: Party
  readonly to: Party
  readonly sourcePort: number
  readonly destinationPort: number
}

/** The other direction. */
export const back = ({ from, to, sourcePort, destinationPort }: Conversation): Conversation => ({
  from: to,
  to: from,
  sourcePort: destinationPort,
  destinationPort: sourcePort,
})

export const between = (from: Party, to: Party, sourcePort: number, destinationPort: number): Conversation => ({
  from,
  to,
  sourcePort,
  destinationPort,
})

export const tcp = (between: Conversation, flags: number, change: Partial<Packet> = {}): Packet => ({
  from: between.from,
  to: between.to,
  protocol: frames.PROTOCOL.tcp,
  payload: ends => frames.tcp(ends, between, flags),
  ...change,
})

export const udp = (between: Conversation, change: Partial<Packet> = {}): Packet => ({
  from: between.from,
  to: between.to,
  protocol: frames.PROTOCOL.udp,
  payload: ends => frames.udp(ends, between, Uint8Array.of(1, 2, 3)),
  ...change,
})

export const sctp = (between: Conversation, change: Partial<Packet> = {}): Packet => ({
  from: between.from,
  to: between.to,
  protocol: frames.PROTOCOL.sctp,
  payload: () => frames.sctp(between),
  ...change,
})

const ECHO = { request: { 4: 8, 6: 128 }, reply: { 4: 0, 6: 129 } } as const

export const echo = (
  from: Party,
  to: Party,
  kind: 'request' | 'reply',
  id: number,
  change: Partial<Packet> = {},
): Packet => ({
  from,
  to,
  protocol: 'icmp',
  payload: (ends, family) => frames.icmp(ends, ECHO[kind][family], 0, frames.echoBody(id)),
  ...change,
})

/** Any ICMP message, its type by family. */
export const icmp = (
  from: Party,
  to: Party,
  type: Readonly<Record<Family, number>>,
  change: Partial<Packet> = {},
): Packet => ({
  from,
  to,
  protocol: 'icmp',
  payload: (ends, family) => frames.icmp(ends, type[family], 0, new Uint8Array(24)),
  ...change,
})

/** Port unreachable and its like: an error that quotes the beginning of a packet. */
export const icmpError = (
  from: Party,
  to: Party,
  quoted: Packet,
  change: Partial<Packet> = {},
  type: Readonly<Record<Family, number>> = { 4: 3, 6: 1 },
): Packet => ({
  from,
  to,
  protocol: 'icmp',
  payload: (ends, family) =>
    frames.icmp(ends, type[family], 3, frames.bytes(0, 0, 0, 0, frameOf(quoted, family).subarray(14))),
  ...change,
})
