// Predicts what the datapath does with one frame, from the content of its maps and
// nothing else. The prediction changes nothing; `applyPrediction` does to the maps
// what the packet would have done, so that a whole conversation can be followed.

import { formatIp, isMapped } from '../ip/index.ts'
import {
  type AuditedDenial,
  auditedDenial,
  type DropReason,
  type FragmentKey,
  type FragmentPorts,
} from '../maps/index.ts'
import { type Found, findFlow, hold, isIcmp, openFlow, opensFlow, revisionOf, stamp, touch } from './conntrack.ts'
import { dissect, ETHERTYPE, ethertypeOf, type Packet, PROTOCOL, type Tuple } from './dissect.ts'
import { answerSolicitation, arpFromPod } from './neighbour.ts'
import { addressOf, endpointAt, isHostAddress, type Judgement, judge, outsiderIdentity } from './policy.ts'
import type { Prediction } from './prediction.ts'
import { forwarded } from './rewrite.ts'
import type { Question, Step, World } from './world.ts'

const SOLICITATION = 135
const ROUTER_SOLICITATION = 133
/** Of the policy for connections that are echoes, whichever packet of them is at hand. */
const ECHO_REQUEST: Readonly<Record<number, number>> = { [PROTOCOL.icmp]: 8, [PROTOCOL.icmpv6]: 128 }

/** What a part of the prediction knows; the rest is filled in at the end. */
type Outcome = Partial<Prediction> & { readonly audit?: AuditedDenial | undefined }

export function predict(world: World, question: Question): Prediction {
  const steps: Step[] = []
  const made = question.hook === 'from_pod' ? fromPod(world, question, steps) : toPod(world, question, steps)
  const { reason = 'NONE', to = 'nowhere', audit, ...outcome } = made
  const dropped = reason !== 'NONE'
  return {
    direction: question.hook === 'from_pod' ? 'EGRESS' : 'INGRESS',
    receiver: undefined,
    frame: question.frame,
    isReply: false,
    identity: [0, 0],
    endpoint: [0, 0],
    egress_rule: 0,
    ingress_rule: 0,
    flow: undefined,
    fragment: undefined,
    ...outcome,
    ...(dropped
      ? { verdict: 'dropped', reason }
      : audit
        ? { verdict: 'audited', ...audit }
        : { verdict: to === 'nowhere' ? 'absorbed' : 'forwarded', reason }),
    to: dropped ? 'nowhere' : to,
    report: !world.constants.flow_events ? undefined : dropped ? 'DROP' : outcome.report,
    steps,
  }
}

function fromPod(world: World, question: Question, steps: Step[]): Outcome {
  const { frame } = question
  if (ethertypeOf(frame) === ETHERTYPE.arp) return arpFromPod(world, question, steps)
  const packet = dissect(frame)
  if ('refused' in packet) return refuse(packet.refused, steps, 'packet', packet.because)

  const discovery = packet.icmp?.kind === 'NEIGHBOUR' && !packet.fragment
  if (discovery && isUnaddressed(packet.source) && isOnLink(packet.destination)) {
    steps.push({ at: 'sender', found: 'neighbour discovery without an address of its own, on the link' })
    const isAnswerable = packet.icmp?.type === SOLICITATION && isLinkLocal(packet.source)
    return isAnswerable ? answerSolicitation(world, frame, packet, steps) : { to: placeOfDiscovery(packet) }
  }
  const offence = checkSender(world, question, packet)
  if (offence) return refuse(offence.reason, steps, 'sender', offence.because)
  if (discovery) {
    if (packet.icmp?.type === SOLICITATION) return answerSolicitation(world, frame, packet, steps)
    if (isOnLink(packet.destination) || isHostAddress(world, packet.destination)) {
      steps.push({ at: 'packet', found: 'neighbour discovery on the link' })
      return { to: placeOfDiscovery(packet) }
    }
  }

  const tracked = track(world, question, packet, false, steps)
  const receiver = endpointAt(world, packet.destination)
  if (tracked.reason !== undefined || !receiver) return { to: 'stack', ...tracked }
  if (packet.timeToLive <= 1) {
    steps.push({ at: 'delivery', found: 'its last hop: the stack answers it' })
    return { to: 'stack', ...tracked }
  }
  const out = forwarded(frame, packet.family, world.hostMac, receiver.mac)
  return { to: 'endpoint', receiver, frame: out, ...tracked }
}

/** The node is no router that advertises itself: who asks for one is not told to the stack, which would remember each. */
const placeOfDiscovery = ({ icmp }: Packet): 'stack' | 'nowhere' =>
  icmp?.type === ROUTER_SOLICITATION ? 'nowhere' : 'stack'

function toPod(world: World, question: Question, steps: Step[]): Outcome {
  const fromHost = question.ingressIfindex === 0
  if (ethertypeOf(question.frame) === ETHERTYPE.arp && fromHost) return { to: 'endpoint' }
  const packet = dissect(question.frame)
  if ('refused' in packet) return refuse(packet.refused, steps, 'packet', packet.because)
  if (fromHost && (packet.icmp?.kind === 'NEIGHBOUR' || isLinkMulticast(packet.destination))) {
    steps.push({ at: 'packet', found: "the node's own discovery on the link" })
    return { to: 'endpoint' }
  }
  const receiver = endpointAt(world, packet.destination)
  if (receiver?.ifindex !== question.ifindex)
    return refuse('STALE_IP', steps, 'receiver', `${formatIp(packet.destination)} is not at this device`)
  const sender = endpointAt(world, packet.source)
  if (!fromHost && sender && sender.ifindex !== question.ingressIfindex)
    return refuse('INVALID_SOURCE_IP', steps, 'sender', `${formatIp(packet.source)} did not send this`)
  return { to: 'endpoint', receiver, ...track(world, question, packet, fromHost, steps) }
}

function refuse(reason: DropReason, steps: Step[], at: string, found: string): Outcome {
  steps.push({ at, found })
  return { reason }
}

function checkSender(
  world: World,
  { frame, ifindex }: Question,
  packet: Packet,
): { readonly reason: DropReason; readonly because: string } | undefined {
  const sender = endpointAt(world, packet.source)
  const address = formatIp(packet.source)
  if (sender?.ifindex !== ifindex) return { reason: 'INVALID_SOURCE_IP', because: `${address} is not this pod's` }
  if (!equal(frame.subarray(6, 12), sender.mac))
    return { reason: 'INVALID_SOURCE_MAC', because: `${address} has another MAC address` }
  const toGroup = ((frame[0] ?? 0) & 1) === 1
  if (toGroup ? !isGroup(packet.destination) : !equal(frame.subarray(0, 6), world.hostMac))
    return { reason: 'INVALID_DESTINATION_MAC', because: 'not sent to the node' }
  return undefined
}

/** The packet against the connections that are known, and against policy where they do not settle it. */
function track(world: World, question: Question, given: Packet, fromHost: boolean, steps: Step[]): Outcome {
  const assembled = followFragments(world, given, steps)
  if (typeof assembled === 'string') return { reason: assembled }
  const { packet, fragment } = assembled
  const remembered = fragment ? { fragment } : {}

  const found = findFlow(world, question, packet)
  if (!found) return { ...remembered, ...openOrPass(world, question, packet, fromHost, steps) }
  // An error goes back to where the packet came from that it quotes.
  const isReply = (found.direction === 'reply') !== (found.quoted !== undefined)
  const current = found.flow.revision === revisionOf(world)
  steps.push({
    at: 'connection',
    found: `${found.quoted ? 'an error about' : isReply ? 'a reply of' : 'part of'} a known connection${current ? '' : ', judged by an older policy'}`,
  })
  const judgement = current ? judgementOf(world, found) : judge(world, connectionOf(world, found, packet), steps)
  const about = {
    ...remembered,
    ...spread(judgement, question),
    isReply,
    ...senderOf(world, found, packet, judgement, fromHost),
  }
  if (judgement.reason !== 'NONE') return { ...about, flow: hold(world, question, found) }
  const flow = current ? found.flow : stamp(world, found.flow, judgement)
  if (found.quoted) return { ...about, report: 'RELATED', flow: { key: found.key, flow } }
  const touched = touch(world, question, packet, { ...found, flow })
  return { ...about, report: touched.report, flow: { key: found.key, flow: touched.flow } }
}

function openOrPass(world: World, question: Question, packet: Packet, fromHost: boolean, steps: Step[]): Outcome {
  const opens = opensFlow(packet)
  steps.push({ at: 'connection', found: opens ? 'a new one' : 'none: judged by itself' })
  const port = isIcmp(packet) ? (packet.icmp?.type ?? 0) : packet.destinationPort
  const judgement = judge(world, { tuple: packet, port, fromHost }, steps)
  const about = spread(judgement, question)
  if (judgement.reason !== 'NONE') return about
  const flow = opens ? openFlow(world, question, packet, judgement, fromHost) : undefined
  return { ...about, report: 'NEW', flow }
}

function spread({ direction, reason, ...rest }: Judgement, { hook }: Question): Outcome {
  const own = hook === 'from_pod' ? 'EGRESS' : 'INGRESS'
  return { ...rest, direction: direction ?? own, ...(reason === 'NONE' ? {} : { reason }) }
}

/** The sender of an error may be a router, and neither end of the connection. */
function senderOf(world: World, { quoted, direction }: Found, packet: Packet, judgement: Judgement, fromHost: boolean) {
  if (!quoted || equal(quoted.destination, packet.source)) return {}
  const identity = outsiderIdentity(world, packet.source, fromHost)
  const [opener, responder] = judgement.identity
  const [openerId, responderId] = judgement.endpoint
  return direction === 'original'
    ? { identity: [opener, identity] as const, endpoint: [openerId, 0] as const }
    : { identity: [identity, responder] as const, endpoint: [0, responderId] as const }
}

function judgementOf({ schema }: World, { flow }: Found): Judgement {
  const { identity, endpoint, egress_rule, ingress_rule } = flow
  const audit = auditedDenial(schema, flow.audit)
  return { reason: 'NONE', direction: undefined, audit, identity, endpoint, egress_rule, ingress_rule }
}

/** The known connection, from opener to responder, whichever way the packet goes. */
function connectionOf(world: World, { flow, direction, quoted }: Found, packet: Packet) {
  const seen = quoted ?? packet
  const tuple = direction === 'original' ? seen : turned(seen)
  return {
    tuple,
    port: ECHO_REQUEST[tuple.protocol] ?? tuple.destinationPort,
    fromHost: (flow.flags & world.schema.flowFlags.number.FROM_HOST) !== 0,
  }
}

const turned = (tuple: Tuple): Tuple => ({
  source: tuple.destination,
  destination: tuple.source,
  sourcePort: tuple.destinationPort,
  destinationPort: tuple.sourcePort,
  protocol: tuple.protocol,
})

type Assembled = {
  readonly packet: Packet
  readonly fragment?: { readonly key: FragmentKey; readonly value: FragmentPorts }
}

/** A first fragment tells the ports of those behind it. A later one may not reach back into the headers that were judged. */
function followFragments(world: World, packet: Packet, steps: Step[]): Assembled | DropReason {
  const { fragment, icmp } = packet
  if (!fragment) return { packet }
  const say = (found: string): void => void steps.push({ at: 'fragment', found })
  if (icmp?.kind === 'NEIGHBOUR') {
    say('neighbour discovery in fragments (RFC 6980)')
    return 'INVALID_PACKET'
  }
  const { schema } = world
  const key: FragmentKey = {
    source: addressOf(packet.source),
    destination: addressOf(packet.destination),
    id: fragment.id,
    // RFC 8200 section 4.5: what the others say of the protocol does not count.
    protocol: packet.family === 4 ? packet.protocol : 0,
    family: packet.family,
  }
  if (fragment.place === 'first') {
    say('the first one: its ports are remembered')
    const value: FragmentPorts = {
      source_port: packet.sourcePort,
      destination_port: packet.destinationPort,
      headers_end: fragment.headersEnd,
      protocol: packet.protocol,
      icmp_kind: schema.icmpKind.number[icmp?.kind ?? 'NOT_ICMP'],
      icmp_type: icmp?.type ?? 0,
    }
    return { packet, fragment: { key, value } }
  }
  const known = world.maps.fragments.get(key)
  if (!known) {
    say('its first one was not seen')
    return 'FRAGMENT_NOT_FOUND'
  }
  if (fragment.offset < known.headers_end) {
    say('it reaches into the headers of the first one')
    return 'INVALID_PACKET'
  }
  say('one behind a first one that is known')
  const kind = schema.icmpKind.name(known.icmp_kind)
  const filled: Packet = {
    ...packet,
    protocol: known.protocol,
    sourcePort: known.source_port,
    destinationPort: known.destination_port,
    ...(kind && kind !== 'NOT_ICMP' ? { icmp: { kind, type: known.icmp_type, code: 0 } } : {}),
  }
  return { packet: filled }
}

const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i])

const isUnaddressed = (address: Uint8Array): boolean => address.every(byte => byte === 0) || isLinkLocal(address)
const isOnLink = (address: Uint8Array): boolean => isLinkLocal(address) || isLinkMulticast(address)
/** fe80::/10 */
const isLinkLocal = ([first = 0, second = 0]: Uint8Array): boolean => first === 0xfe && (second & 0xc0) === 0x80
/** ff02::/16, whatever its flags. */
const isLinkMulticast = ([first = 0, second = 0]: Uint8Array): boolean => first === 0xff && (second & 0x0f) === 2
const BROADCAST = Uint8Array.of(255, 255, 255, 255)

/** An address that more than one host listens to: 224.0.0.0/4, 255.255.255.255, ff00::/8. */
function isGroup(address: Uint8Array): boolean {
  if (!isMapped(address)) return address[0] === 0xff
  const four = address.subarray(12)
  return ((four[0] ?? 0) & 0xf0) === 0xe0 || equal(four, BROADCAST)
}
