// A pod's questions about its neighbours: every address but its own is at the node's
// side of the veth pair, and the datapath answers in the node's name.

import { formatIp, mapIpv4 } from '../ip/index.ts'
import { ETHERNET_HEADER, type Packet } from './dissect.ts'
import { endpointAt } from './policy.ts'
import type { Prediction } from './prediction.ts'
import { arpReply, neighbourAdvertisement } from './rewrite.ts'
import type { Question, Step, World } from './world.ts'

type Outcome = Partial<Prediction>

const ARP_FRAME = 42
/** Ethernet, IPv4, and the sizes of their addresses (RFC 826). */
const ARP_HEADER = [0, 1, 8, 0, 6, 4]
const ARP_REQUEST = 1
const IPV6_HEADER = 40
const SOLICITATION = 24

/** A request is answered; a probe or announcement of the pod's own address needs no answer; another sender is refused. */
export function arpFromPod(world: World, { frame, ifindex }: Question, steps: Step[]): Outcome {
  const say = (found: string): void => void steps.push({ at: 'ARP', found })
  if (frame.length < ARP_FRAME || ARP_HEADER.some((byte, index) => frame[14 + index] !== byte)) {
    say('not ARP for IPv4 over Ethernet')
    return { reason: 'INVALID_PACKET' }
  }
  const operation = ((frame[20] ?? 0) << 8) | (frame[21] ?? 0)
  const sender = frame.subarray(28, 32)
  const target = frame.subarray(38, 42)
  if (sender.every(byte => byte === 0)) {
    say('a probe: nobody else has the address')
    return {}
  }
  const endpoint = endpointAt(world, mapIpv4(sender))
  if (endpoint?.ifindex !== ifindex) {
    say(`${formatIp(mapIpv4(sender))} is not this pod's`)
    return { reason: 'INVALID_SOURCE_IP' }
  }
  if (!isAt(frame, 22, endpoint.mac) || !isAt(frame, 6, endpoint.mac)) {
    say('the sender has another MAC address')
    return { reason: 'INVALID_SOURCE_MAC' }
  }
  if (operation !== ARP_REQUEST || target.every((byte, index) => byte === sender[index])) {
    say('an announcement or a reply: nobody needs it')
    return {}
  }
  say(`${formatIp(mapIpv4(target))} is at the node`)
  return { to: 'answer', frame: arpReply(frame, world.hostMac) }
}

/** A solicitation that the pod sends from its own address (RFC 4861 section 7.1.1 for what is valid). */
export function answerSolicitation(world: World, frame: Uint8Array, packet: Packet, steps: Step[]): Outcome {
  const say = (found: string): void => void steps.push({ at: 'neighbour discovery', found })
  const payload = ((frame[18] ?? 0) << 8) | (frame[19] ?? 0)
  const plain = packet.transportOffset === ETHERNET_HEADER + IPV6_HEADER
  if (!plain || payload < SOLICITATION || packet.timeToLive !== 255 || packet.icmp?.code !== 0) {
    say('not a valid solicitation')
    return { reason: 'INVALID_PACKET' }
  }
  const target = frame.subarray(62, 78)
  if (target.every((byte, index) => byte === packet.source[index])) {
    say('a question about its own address')
    return {}
  }
  say(`${formatIp(target)} is at the node`)
  return { to: 'answer', frame: neighbourAdvertisement(frame, world.hostMac) }
}

const isAt = (frame: Uint8Array, offset: number, bytes: Uint8Array): boolean =>
  bytes.every((byte, index) => frame[offset + index] === byte)
