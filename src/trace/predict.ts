// Predicts what the datapath does with one frame, from the content of its maps and
// nothing else. The prediction changes nothing; `applyPrediction` does to the maps
// what the packet would have done, so that a whole conversation can be followed.

import { formatIp, isMapped } from '../ip/index.ts'
import type { DropReason } from '../maps/index.ts'
import { handOver, listenerOf } from './carry.ts'
import { isClosed } from './conntrack.ts'
import { dissect, ETHERTYPE, ethertypeOf, type Packet } from './dissect.ts'
import { isLoopback } from './loopback.ts'
import { answerSolicitation, arpFromPod } from './neighbour.ts'
import { endpointAt, isHostAddress } from './policy.ts'
import type { Prediction } from './prediction.ts'
import { forwarded } from './rewrite.ts'
import { type Outcome, type Tracked, track } from './track.ts'
import { translatedFrame } from './translated-frame.ts'
import { NO_CHANGE } from './translation-table.ts'
import type { Question, Step, World } from './world.ts'

const SOLICITATION = 135
const ROUTER_SOLICITATION = 133
export function predict(world: World, question: Question): Prediction {
  const steps: Step[] = []
  const made = question.hook === 'from_pod' ? fromPod(world, question, steps) : toPod(world, question, steps)
  const { reason = 'NONE', to = 'nowhere', audit, isBelated, ...outcome } = made
  const dropped = reason !== 'NONE'
  // The two that a proxy makes of a connection are one to whoever looks on.
  const told = outcome.leg === world.schema.flowLeg.number.FROM_PROXY ? undefined : outcome.report
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
    forgotten: [],
    proxy: 0,
    l7: [0, 0],
    leg: 0,
    service: 0,
    seen: undefined,
    translations: NO_CHANGE,
    affinity: undefined,
    choice: undefined,
    refusal: undefined,
    fragment: undefined,
    ...outcome,
    ...(dropped
      ? { verdict: 'dropped', reason }
      : audit
        ? { verdict: 'audited', ...audit }
        : { verdict: to === 'nowhere' ? 'absorbed' : goesToProxy(world, made) ? 'redirected' : 'forwarded', reason }),
    to: dropped ? 'nowhere' : to,
    report: world.constants.flow_events ? (!dropped ? told : isBelated ? undefined : 'DROP') : undefined,
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

  const tracked = track(world, question, packet, steps)
  const { outcome } = tracked
  if (outcome.reason !== undefined || (!outcome.leg && outcome.to !== 'proxy'))
    return deliver(world, question, tracked, steps)
  const { TO_PROXY } = world.schema.flowLeg.number
  const listener = outcome.leg === TO_PROXY ? listenerOf(world, outcome.proxy ?? 0, outcome.l7 ?? []) : 'NONE'
  const given = handOver(world, frame, tracked, listener, steps)
  if ('to' in given || !outcome.flow) return { ...outcome, ...given }
  if (outcome.report !== 'NEW')
    return isClosed(outcome.flow.flow)
      ? { ...outcome, reason: given.reason, isBelated: true }
      : { ...outcome, ...given }
  // It is told of when it succeeds.
  return { ...outcome, ...given, flow: undefined, forgotten: [...(outcome.forgotten ?? []), outcome.flow.key] }
}

/** What its opener sends, or sends an error about. */
const goesToProxy = ({ schema }: World, { leg, isReply }: Outcome): boolean =>
  leg === schema.flowLeg.number.TO_PROXY && !isReply

/** To another pod of this node, to the stack, or, if the answer is translated, past the stack. */
function deliver(world: World, { frame }: Question, { outcome, packet, answer }: Tracked, steps: Step[]): Outcome {
  if (outcome.reason !== undefined) return outcome
  const receiver = endpointAt(world, (answer?.to ?? packet).destination)
  const isLastHop = packet.timeToLive <= 1
  if (isLastHop) steps.push({ at: 'delivery', found: 'its last hop: the stack answers it' })
  if (isLastHop || (!receiver && !answer)) return { to: 'stack', ...outcome }
  if (!receiver && !world.hasRoute((answer?.to ?? packet).destination)) return { ...outcome, reason: 'NO_FIB' }
  const translated = answer ? translatedFrame(frame, packet, answer.from, answer.to) : (outcome.frame ?? frame)
  if (!translated) return { ...outcome, reason: 'CSUM_L4' }
  if (!receiver) return { ...outcome, to: 'outside', frame: translated }
  return {
    ...outcome,
    to: 'endpoint',
    receiver,
    frame: forwarded(translated, packet.family, world.hostMac, receiver.mac),
  }
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
  if ((!fromHost && sender && sender.ifindex !== question.ingressIfindex) || isLoopback(packet.source))
    return refuse('INVALID_SOURCE_IP', steps, 'sender', `${formatIp(packet.source)} did not send this`)
  const tracked = track(world, question, packet, steps)
  const { outcome, answer } = tracked
  if (outcome.reason === undefined && goesToProxy(world, outcome)) return { ...outcome, to: 'proxy' }
  if (!answer || outcome.reason !== undefined) return { to: 'endpoint', receiver, ...outcome }
  const out = translatedFrame(question.frame, tracked.packet, answer.from, answer.to)
  return out ? { to: 'endpoint', receiver, ...outcome, frame: out } : { ...outcome, reason: 'CSUM_L4' }
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
