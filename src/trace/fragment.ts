// Fragments: the first tells the ports of those behind it.

import type { DropReason, FragmentKey, FragmentPorts } from '../maps/index.ts'
import type { Packet } from './dissect.ts'
import { addressOf } from './policy.ts'
import type { Step, World } from './world.ts'

type Assembled = {
  readonly packet: Packet
  readonly fragment?: { readonly key: FragmentKey; readonly value: FragmentPorts }
}

/** A first fragment tells the ports of those behind it. A later one may not reach back into the headers that were judged. */
export function followFragments(world: World, packet: Packet, steps: Step[]): Assembled | DropReason {
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
