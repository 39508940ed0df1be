// Who carries a connection that has just been judged: it is direct, or one of the two
// that a proxy makes of it; and whether a proxy takes a packet.

import { type ProxyListener, proxySocketIndex } from '../maps/index.ts'
import { answersForgotten, ended, type Found, isIcmp, isLoneSyn, makerOf, proxiesInUse } from './conntrack.ts'
import { type Packet, PROTOCOL } from './dissect.ts'
import { isHostAddress, type Judgement, proxyOf } from './policy.ts'
import { refusal } from './refusal.ts'
import { turned } from './serve.ts'
import { hasPorts } from './translation.ts'
import type { Question, Step, World } from './world.ts'

type Carried = {
  readonly judgement: Judgement
  /** The sender is told. */
  readonly refuse?: boolean
}

/** Of a known connection: as it was found, or ended; undefined: it is forgotten, and the packet opens a leg. */
export function carryKnown(
  world: World,
  question: Question,
  found: Found,
  judgement: Judgement,
  packet: Packet,
): Carried & { readonly found: Found | undefined } {
  const { DIRECT, TO_PROXY } = world.schema.flowLeg.number
  const { leg, protocol } = found.key
  if (judgement.reason !== 'NONE') return { judgement, found }
  if (leg === DIRECT && judgement.proxy !== 0) {
    if (packet.protocol === PROTOCOL.udp && found.direction === 'original') return { judgement, found: undefined }
    const tcp = packet.protocol === PROTOCOL.tcp
    return {
      judgement: { ...judgement, reason: 'PROXY_MIDSTREAM' },
      found: tcp ? { ...found, flow: ended(found.flow) } : found,
      refuse: tcp,
    }
  }
  if (leg !== TO_PROXY) return { judgement, found }
  // A proxy that has it keeps it, though nothing is forbidden any more.
  const proxy = judgement.proxy === 0 ? found.flow.proxy : judgement.proxy
  if (proxy === found.flow.proxy || protocol !== PROTOCOL.tcp) return { judgement: { ...judgement, proxy }, found }
  return {
    judgement: { ...judgement, proxy, reason: 'PROXY_MIDSTREAM' },
    found: { ...found, flow: ended(found.flow) },
    refuse: !makerOf(world, question).proxy,
  }
}

/** Of a packet of no known connection: the leg that it opens. `forProxy`: it is part of one that a proxy has opened. */
export function carryNew(
  world: World,
  question: Question,
  judgement: Judgement,
  { packet, quoted }: { readonly packet: Packet; readonly quoted: Found['quoted'] },
): Carried & { readonly leg: number; readonly forProxy?: boolean } {
  const { DIRECT, TO_PROXY, FROM_PROXY } = world.schema.flowLeg.number
  const tcp = packet.protocol === PROTOCOL.tcp
  if (!proxiesInUse(world) && judgement.proxy === 0) return { judgement, leg: DIRECT }
  if (makerOf(world, question).proxy) {
    return { judgement, leg: answersForgotten(world, question, packet) ? TO_PROXY : FROM_PROXY }
  }
  if (judgement.reason === 'NONE' && judgement.proxy !== 0) {
    if (tcp || packet.protocol === PROTOCOL.udp) return { judgement, leg: TO_PROXY }
    return { judgement: { ...judgement, reason: 'SOCKET_LOOKUP_FAILED' }, leg: DIRECT }
  }
  if (isForProxy(world, question, packet, quoted))
    return {
      judgement: { ...judgement, reason: 'NONE', direction: undefined, audit: undefined },
      leg: DIRECT,
      forProxy: true,
    }
  if (judgement.reason !== 'NONE' || makerOf(world, question).host || !answersProxied(world, packet, judgement))
    return { judgement, leg: DIRECT }
  return {
    judgement: { ...judgement, reason: 'SOCKET_LOOKUP_FAILED', direction: undefined },
    leg: DIRECT,
    refuse: tcp,
  }
}

function isForProxy(world: World, question: Question, packet: Packet, quoted: Found['quoted']): boolean {
  if (!proxiesInUse(world) || packet.fragment?.place === 'later') return false
  if (question.hook === 'from_pod' && isHostAddress(world, packet.destination)) return false
  const received = quoted ? turned(quoted) : packet
  return hasPorts(received.protocol) && !isLoneSyn(packet) && world.sockets.hasOpened(received)
}

/** Whether a packet of no known connection answers what only a proxy may carry. */
function answersProxied(world: World, packet: Packet, { identity: [sender, receiver] }: Judgement): boolean {
  const { protocol, sourcePort: port } = packet
  const isAnswer = protocol === PROTOCOL.tcp ? !isLoneSyn(packet) : protocol === PROTOCOL.udp
  if (!isAnswer || !proxiesInUse(world)) return false
  return (
    proxyOf(world, packet.destination, { direction: 'EGRESS', identity: sender, protocol, port }) !== 0 ||
    proxyOf(world, packet.source, { direction: 'INGRESS', identity: receiver, protocol, port }) !== 0
  )
}

/** What becomes of a packet that is given to a proxy: taken, or why not, and what its sender is told. */
export function handOver(
  world: World,
  frame: Uint8Array,
  { packet, sent }: { readonly packet: Packet; readonly sent: Packet },
  listener: ProxyListener | 'conflict',
  steps: Step[],
): { readonly to: 'proxy' } | { readonly reason: Untaken; readonly refusal: Uint8Array | undefined } {
  const fail = (reason: Untaken, found: string) => {
    steps.push({ at: 'proxy', found })
    return { reason, refusal: refusal(frame, sent) }
  }
  if (packet.fragment) return fail('SOCKET_ASSIGN_FAILED', 'a fragment has no socket')
  if (packet.icmp?.kind === 'ERROR') return { to: 'proxy' }
  const udp = packet.protocol === PROTOCOL.udp
  const listens = (): boolean => {
    if (listener === 'NONE' || listener === 'conflict' || isIcmp(packet)) return false
    return world.sockets.listens(proxySocketIndex(world.schema, listener, udp ? 'udp' : 'tcp', packet.family))
  }
  const taken = udp && listener !== 'NONE' ? listens() : world.sockets.has(packet) || (!udp && listens())
  if (taken) return { to: 'proxy' }
  return listener === 'conflict'
    ? fail('PROXY_CONFLICT', "the two ends' policies want different TLS contexts")
    : fail('SOCKET_LOOKUP_FAILED', 'none has the connection, and none listens')
}

type Untaken = 'SOCKET_LOOKUP_FAILED' | 'SOCKET_ASSIGN_FAILED' | 'PROXY_CONFLICT'

/** Who listens for a connection with these rule sets of both ends: for HTTPS, whoever has the keys of their TLS context. */
export function listenerOf(world: World, proxy: number, l7: readonly number[]): ProxyListener | 'conflict' {
  const kind = world.schema.proxyKind.name(proxy) ?? 'NONE'
  if (kind !== 'HTTPS') return kind
  let listener: { readonly slot: number } | undefined
  for (const number of l7) {
    if (number === 0) continue
    const slot = world.maps.tls_contexts.get(number)
    if (slot === undefined || slot >= world.schema.tlsContext.number.SLOTS) return 'NONE'
    if (listener && listener.slot !== slot) return 'conflict'
    listener = { slot }
  }
  return listener ?? 'NONE'
}
