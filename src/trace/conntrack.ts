// The connection that a packet belongs to, and what the packet does to it. A
// connection is one entry with two directions; it ends by the clock alone.

import { compareBytes } from '../ip/index.ts'
import { type Address, auditByte, type Flow, type FlowKey, orderedFlowKey } from '../maps/index.ts'
import { dissectQuoted, type Packet, PROTOCOL, TCP, type Tuple } from './dissect.ts'
import { isLoopback } from './loopback.ts'
import { addressOf, endpointAt, type Judgement } from './policy.ts'
import type { Question, World } from './world.ts'

const NS = 1_000_000_000n

export type Found = {
  readonly key: FlowKey
  readonly flow: Flow
  readonly direction: 'original' | 'reply'
  /** Of an ICMP error about the connection: the packet it quotes. */
  readonly quoted?: Tuple
}

/** Who made a packet: the node itself, a proxy in somebody's name (`accepted`: in the responder's), or neither. */
export type Maker = { readonly host: boolean; readonly proxy: boolean; readonly accepted: boolean }

export function makerOf({ schema }: World, { hook, ingressIfindex, mark = 0 }: Question): Maker {
  if (hook === 'from_pod' || ingressIfindex !== 0) return { host: false, proxy: false, accepted: false }
  const { MASK, FROM_PROXY, ACCEPTED } = schema.proxyMark.number
  const accepted = (mark & MASK) === ACCEPTED
  const proxy = accepted || (mark & MASK) === FROM_PROXY
  return { host: !proxy, proxy, accepted }
}

/** Whether a packet of no known connection answers one that a proxy has accepted, and that is forgotten. */
export const answersForgotten = (world: World, question: Question, packet: Packet): boolean =>
  makerOf(world, question).accepted && proxiesInUse(world) && packet.protocol === PROTOCOL.tcp && !isLoneSyn(packet)

export const proxiesInUse = (world: World): boolean => (world.maps.runtime.get(0)?.proxies ?? 0) !== 0

/** A packet that may belong to a connection, with the one that it quotes if it is an error. */
export type Named = { readonly packet: Packet; readonly quoted?: Tuple }

/** undefined: it belongs to none, whichever there are */
export function nameFlow(question: Question, packet: Packet): Named | undefined {
  const kind = packet.icmp?.kind
  if (kind === 'ERROR') {
    if (packet.fragment?.place === 'later') return undefined
    const quoted = dissectQuoted(question.frame, packet)
    if (!quoted || !same(quoted.source, packet.destination)) return undefined
    if (question.hook === 'from_pod' && !same(quoted.destination, packet.source)) return undefined
    return { packet, quoted }
  }
  return isIcmp(packet) && kind !== 'ECHO_REQUEST' && kind !== 'ECHO_REPLY' ? undefined : { packet }
}

/**
 * - A lone SYN from the answering side, or after the end, opens another connection; so does an echo request from the
 *   side that answers echoes.
 * - What the node opened goes on only with what the node sends, and nothing else does: its address is not enough.
 * - A connection ends with the pods that had its addresses when it was judged.
 * - An ICMP error belongs to the connection of the packet it quotes if it goes to that packet's sender; one sent by a pod
 *   also has to come from that packet's receiver, for a pod is no router.
 * - Any other ICMP message but echoes belongs to none.
 * - What a proxy sends belongs to a leg; what others do, to what is direct before any leg.
 */
export function findFlow(world: World, question: Question, named: Named): Found | undefined {
  const { DIRECT, TO_PROXY, FROM_PROXY } = world.schema.flowLeg.number
  const maker = makerOf(world, question)
  const direct = maker.proxy ? undefined : findByLeg(world, question, named, DIRECT)
  if (direct || !proxiesInUse(world)) return direct
  for (const leg of [TO_PROXY, FROM_PROXY]) {
    const found = findByLeg(world, question, named, leg)
    const fromOpener = found && (found.direction === 'reply') === (found.quoted !== undefined)
    // The opener's packets are of the first leg, and so is what a proxy sends to the opener.
    if (found && fromOpener === ((leg === TO_PROXY) !== maker.proxy)) return found
  }
  return undefined
}

function findByLeg(world: World, question: Question, { packet, quoted }: Named, leg: number): Found | undefined {
  const kind = packet.icmp?.kind
  if (quoted) {
    const found = lookUp(world, question.now, quoted, leg)
    return found && !hasOtherEnds(world, found) ? { ...found, quoted } : undefined
  }
  const found = lookUp(world, question.now, packet, leg)
  if (!found) return undefined
  const reply = found.direction === 'reply'
  const fromHost = makerOf(world, question).host
  const openedByHost = (found.flow.flags & world.schema.flowFlags.number.FROM_HOST) !== 0
  if (!reply && fromHost !== openedByHost) return undefined
  if (kind === 'ECHO_REQUEST' && reply) return undefined
  if (kind === 'ECHO_REPLY' && !reply) return undefined
  if (isLoneSyn(packet) && (reply || isClosed(found.flow))) return undefined
  return hasOtherEnds(world, found) ? undefined : found
}

/** Whether an address has gone to another pod. Without a raised revision none has. */
function hasOtherEnds(world: World, { key, flow }: Found): boolean {
  if (flow.revision === revisionOf(world)) return false
  const ends = [key.low, key.high]
  if ((flow.flags & world.schema.flowFlags.number.INITIATOR_IS_HIGH) !== 0) ends.reverse()
  const [opener, other] = ends as [Address, Address]
  const ids = [isLoopback(opener.bytes) ? other : opener, other].map(end => endpointAt(world, end.bytes)?.id ?? 0)
  return ids.some((id, side) => id !== flow.endpoint[side])
}

export const isIcmp = ({ protocol }: Tuple): boolean => protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmpv6

/** Whether an allowed packet of no known connection is remembered as the start of one. */
export const opensFlow = (packet: Packet): boolean => !isIcmp(packet) || packet.icmp?.kind === 'ECHO_REQUEST'

export const isLoneSyn = ({ tcpFlags }: Packet): boolean =>
  (tcpFlags & (TCP.syn | TCP.ack | TCP.rst | TCP.fin)) === TCP.syn

function lookUp(world: World, now: bigint, tuple: Tuple, leg: number): Found | undefined {
  const { key, sourceIsHigh } = keyOf(tuple, leg)
  const flow = world.maps.flows.get(key)
  if (!flow || flow.expires_ns <= now) return undefined
  const openerIsHigh = (flow.flags & world.schema.flowFlags.number.INITIATOR_IS_HIGH) !== 0
  return { key, flow, direction: sourceIsHigh === openerIsHigh ? 'original' : 'reply' }
}

/** @param leg number of a `FlowLeg` */
export function keyOf(tuple: Tuple, leg = 0) {
  const { sourcePort: source_port, destinationPort: destination_port, protocol } = tuple
  const source = addressOf(tuple.source)
  const destination = addressOf(tuple.destination)
  return orderedFlowKey({ source, destination, source_port, destination_port, protocol }, leg)
}

/** A reset from either side, or the end from both. */
export const isClosed = ({ tcp_flags }: Flow): boolean => tcpIsClosed(tcp_flags)

/** Flags are all that were seen, of [the opener, the other side]. */
export function tcpIsClosed([opener = 0, responder = 0]: Uint8Array): boolean {
  return ((opener | responder) & TCP.rst) !== 0 || (opener & responder & TCP.fin) !== 0
}

export function lifetime({ constants }: World, tcpFlags: Uint8Array, protocol: number): bigint {
  if (protocol !== PROTOCOL.tcp) return BigInt(constants.other_seconds) * NS
  if (tcpIsClosed(tcpFlags)) return BigInt(constants.tcp_closing_seconds) * NS
  const [opener = 0, responder = 0] = tcpFlags
  // An opener that acknowledges has been answered, even where the answer does not come by here.
  const unanswered = responder === 0 && (opener & (TCP.syn | TCP.ack)) === TCP.syn
  return BigInt(unanswered ? constants.tcp_open_seconds : constants.tcp_established_seconds) * NS
}

/** The entry of a connection that this packet opens. */
export function openFlow(
  world: World,
  question: Question,
  packet: Packet,
  judgement: Judgement,
  opening: {
    readonly fromHost: boolean
    readonly translated: boolean
    readonly service: number
    readonly leg: number
    /** The packet is the other side's. */
    readonly reply?: boolean
  },
) {
  const { key, sourceIsHigh } = keyOf(packet, opening.leg)
  const { INITIATOR_IS_HIGH, FROM_HOST, TRANSLATED } = world.schema.flowFlags.number
  const { fromHost, translated, service, reply = false } = opening
  const flow: Flow = {
    expires_ns: 0n,
    reported_ns: question.now,
    packets: reply ? [0n, 1n] : [1n, 0n],
    bytes: reply ? [0n, BigInt(packet.length)] : [BigInt(packet.length), 0n],
    revision: 0,
    identity: [0, 0],
    endpoint: [0, 0],
    egress_rule: 0,
    ingress_rule: 0,
    audit: 0,
    service,
    proxy: 0,
    l7: [0, 0],
    tcp_flags: reply ? Uint8Array.of(0, packet.tcpFlags) : Uint8Array.of(packet.tcpFlags, 0),
    flags:
      (sourceIsHigh === reply ? 0 : INITIATOR_IS_HIGH) | (fromHost ? FROM_HOST : 0) | (translated ? TRANSLATED : 0),
  }
  const expires_ns = question.now + lifetime(world, flow.tcp_flags, packet.protocol)
  return { key, flow: stamp(world, { ...flow, expires_ns }, judgement) }
}

/** What a judgement leaves in the entry. */
export function stamp(world: World, flow: Flow, judgement: Judgement): Flow {
  const { identity, endpoint, egress_rule, ingress_rule, proxy, l7 } = judgement
  const audit = auditByte(world.schema, judgement.audit)
  return { ...flow, identity, endpoint, egress_rule, ingress_rule, proxy, l7, audit, revision: revisionOf(world) }
}

/** As if its opener had reset it: whoever opens one with its tuple opens another. */
export function ended(flow: Flow): Flow {
  return { ...flow, tcp_flags: flow.tcp_flags.map((flags, side) => (side === 0 ? flags | TCP.rst : flags)) }
}

/** What a denial does to a known connection: a TCP one stays known, or the end that was called could open it again. */
export function hold(world: World, { now }: Question, { key, flow }: Found): { key: FlowKey; flow: Flow } | undefined {
  if (key.protocol !== PROTOCOL.tcp) return undefined
  const expires = now + BigInt(world.constants.tcp_established_seconds) * NS
  return { key, flow: expires > flow.expires_ns + NS ? { ...flow, expires_ns: expires } : flow }
}

export const revisionOf = (world: World): number => world.maps.runtime.get(0)?.revision ?? 0

/** Accounts for an allowed packet, and says what there is to report of it. */
export function touch(
  world: World,
  question: Question,
  packet: Packet,
  { flow, direction }: Pick<Found, 'flow' | 'direction'>,
): { readonly flow: Flow; readonly report: 'CLOSED' | 'ACTIVE' | undefined } {
  const side = direction === 'original' ? 0 : 1
  const { now } = question
  const touched: Flow = {
    ...flow,
    packets: raised(flow.packets, side, 1n),
    bytes: raised(flow.bytes, side, BigInt(packet.length)),
    tcp_flags: flow.tcp_flags.map((flags, index) => (index === side ? flags | packet.tcpFlags : flags)),
  }
  const expires = now + lifetime(world, touched.tcp_flags, packet.protocol)
  // A lengthening of less than a second is not worth the write.
  const expires_ns = expires > flow.expires_ns + NS || expires < flow.expires_ns ? expires : flow.expires_ns
  const { CLOSED } = world.schema.flowFlags.number
  if (isClosed(touched) && (flow.flags & CLOSED) === 0)
    return { flow: { ...touched, expires_ns, flags: flow.flags | CLOSED }, report: 'CLOSED' }
  if (now > flow.reported_ns + BigInt(world.constants.report_interval_seconds) * NS)
    return { flow: { ...touched, expires_ns, reported_ns: now }, report: 'ACTIVE' }
  return { flow: { ...touched, expires_ns }, report: undefined }
}

const raised = (pair: readonly [bigint, bigint], side: 0 | 1, by: bigint): readonly [bigint, bigint] =>
  side === 0 ? [pair[0] + by, pair[1]] : [pair[0], pair[1] + by]

const same = (a: Uint8Array, b: Uint8Array): boolean => compareBytes(a, b) === 0
