// What a packet is translated to: by the entry of its connection, or to a backend that
// is chosen for a new one. Says what becomes of the table of translations; changes
// neither it nor the packet.

import { formatIp, isMapped } from '../ip/index.ts'
import type { Affinity, AffinityKey, Tuple as EntryTuple, Frontend, Translation } from '../maps/index.ts'
import { flowHash, slotOfHash } from '../services/index.ts'
import { isLoneSyn, tcpIsClosed } from './conntrack.ts'
import { type Packet, PROTOCOL, type Tuple } from './dissect.ts'
import { loopbackOf } from './loopback.ts'
import { addressOf } from './policy.ts'
import {
  answersOf,
  claimed,
  clientOf,
  entryTuple,
  hasOtherPort,
  isClosedHere,
  isOver,
  isReply,
  liveEntry,
  sameBytes,
  type TableChange,
  tupleOf,
  turned,
  used,
} from './translation-table.ts'
import type { Question, Step, World } from './world.ts'

const NS = 1_000_000_000n
/** A choice that the datapath makes by chance: any of these is right. */
export type Choice = {
  /** Of the client's packets. */
  readonly tuple: EntryTuple
  readonly backends: readonly number[]
  /** The client's own port is not free towards the backend: it becomes another. */
  readonly remapped: boolean
}

export type Translated = {
  readonly kind: 'translated'
  readonly from: Tuple
  readonly to: Tuple
  readonly service: number
  readonly reply: boolean
  readonly opened: boolean
  readonly change: TableChange
  readonly choice?: Choice
  readonly affinity?: readonly [AffinityKey, Affinity]
}
export type Refused = {
  readonly kind: 'refused'
  readonly service: number
  readonly told: boolean
  readonly change: TableChange
}

/** It asks for no service; a connection that is over, and that it would be taken for, is forgotten. */
export type Untranslated = { readonly kind: 'untranslated'; readonly change: TableChange }

export const hasPorts = (protocol: number): boolean =>
  protocol === PROTOCOL.tcp || protocol === PROTOCOL.udp || protocol === PROTOCOL.sctp

/** @param from the packet's tuple; of an ICMP error, that of packets that go its way */
export function translate(
  world: World,
  question: Question,
  packet: Packet,
  from: Tuple,
  mayOpen: boolean,
  steps: Step[],
): Translated | Refused | Untranslated | undefined {
  if (!hasPorts(from.protocol)) return undefined
  const key = entryTuple(from)
  const known = liveEntry(world, key, question.now)
  // What clients sent has been translated before it gets there.
  if (known && question.hook === 'to_pod' && !isReply(world, known)) return undefined
  if (known && isInForce(world, known, packet, from)) {
    const reply = isReply(world, known)
    const change = used(world, question, packet, key, known)
    steps.push({ at: 'service', found: `${reply ? 'an answer of' : 'to'} service ${known.service}, by its connection` })
    const to = tupleOf(known.target)
    return { kind: 'translated', from, to, service: known.service, reply, opened: false, change }
  }
  if (!mayOpen) return undefined
  const answers = known ? answersOf(world, key, known) : []
  const forgotten = known && hasOtherPort(world, known) ? [...answers, key] : []
  const removed = from.protocol === PROTOCOL.tcp ? [...answers, ...forgotten] : forgotten
  return (
    opened(world, question, packet, from, removed, steps) ?? beside(world, question, packet, from, forgotten, steps)
  )
}

function isInForce(world: World, entry: Translation, packet: Packet, from: Tuple): boolean {
  if (isReply(world, entry) || packet.icmp?.kind === 'ERROR') return true
  if (from.protocol === PROTOCOL.tcp && !isLoneSyn(packet)) return true
  return !tcpIsClosed(entry.tcp_flags) && isServed(world, entry, from)
}

/** Whether the address still is the service's that it was translated for, and the backend one of that service's. */
function isServed({ maps, schema }: World, entry: Translation, from: Tuple): boolean {
  const { destination, destinationPort, protocol } = from
  const frontend = maps.frontends.get({ address: { bytes: destination }, port: destinationPort, protocol })
  const { RESERVATION, NODE_ONLY } = schema.frontendFlags.number
  if ((entry.flags & schema.translationFlags.number.PORT) !== 0)
    return !frontend || (frontend.flags & (RESERVATION | NODE_ONLY)) !== 0
  if (!frontend || (frontend.flags & RESERVATION) !== 0) return false
  return frontend.service === entry.service && maps.backends.get(entry.backend) !== undefined
}

function opened(
  world: World,
  question: Question,
  packet: Packet,
  from: Tuple,
  removed: readonly EntryTuple[],
  steps: Step[],
): Translated | Refused | undefined {
  const { maps, schema } = world
  const key = entryTuple(from)
  const frontend = maps.frontends.get({ address: key.destination, port: from.destinationPort, protocol: from.protocol })
  const { RESERVATION, NODE_ONLY, HASHED } = schema.frontendFlags.number
  if (!frontend || (frontend.flags & (RESERVATION | NODE_ONLY)) !== 0) return undefined
  if (from.protocol === PROTOCOL.tcp && !isLoneSyn(packet) && (frontend.flags & HASHED) === 0) {
    steps.push({ at: 'service', found: `of service ${frontend.service}, in mid-stream: translated by somebody else` })
    return undefined
  }
  const { service } = frontend
  const { backends, affinity } = candidates(world, question, frontend, from)
  const id = question.chosen?.backend ?? backends[0] ?? 0
  const backend = maps.backends.get(id)
  if (!backend || isMapped(backend.address.bytes) !== isMapped(from.destination)) {
    const told = frontend.without[0] !== schema.withoutBackend.number.DROP
    steps.push({ at: 'service', found: `service ${service} has no backend` })
    return { kind: 'refused', service, told, change: { removed, written: [] } }
  }
  const toItself = sameBytes(from.source, backend.address.bytes)
  const wanted: Tuple = {
    ...from,
    ...(toItself ? { source: loopbackOf(from.source) } : {}),
    destination: backend.address.bytes,
    destinationPort: backend.port,
  }
  steps.push({
    at: 'service',
    found: `to service ${service}: given ${formatIp(wanted.destination)}, port ${wanted.destinationPort}`,
  })
  const { remapped, ...made } = claimed(world, question, packet, { from, wanted, removed, backend: id, service })
  return {
    ...made,
    ...(backends.length > 1 || remapped ? { choice: { tuple: key, backends, remapped } } : {}),
    ...(affinity ? { affinity: [affinity, { used_ns: question.now, backend: id }] as const } : {}),
  }
}

/**
 * What asks for no service, and would be taken for a translated connection from the same port: while that one lives, it
 * comes from another port.
 * @param removed of a connection to no service that is over
 */
function beside(
  world: World,
  question: Question,
  packet: Packet,
  from: Tuple,
  removed: readonly EntryTuple[],
  steps: Step[],
): Translated | Untranslated | undefined {
  const untranslated = removed.length
    ? ({ kind: 'untranslated', change: { removed, written: [] } } as const)
    : undefined
  if (from.protocol === PROTOCOL.tcp && !isLoneSyn(packet)) return untranslated
  const backKey = turned(entryTuple(from))
  const answers = liveEntry(world, backKey, question.now)
  const { REPLY, SOURCE, DIRECT, PORT } = world.schema.translationFlags.number
  if (!answers || (answers.flags & (REPLY | SOURCE | DIRECT)) !== REPLY) return untranslated
  const told = answers.backend === 0 && !hasOtherPort(world, answers)
  if (isOver(world, answers, from.protocol) || (told && isClosedHere(world, from))) {
    steps.push({ at: 'service', found: `none; what went by these ports to service ${answers.service} is over` })
    const former = clientOf(world, answers, entryTuple(from))
    return { kind: 'untranslated', change: { removed: [...removed, ...former, backKey], written: [] } }
  }
  if (told) return untranslated
  steps.push({ at: 'service', found: `none, but a connection to service ${answers.service} has its port there` })
  const claim = { from, wanted: from, removed, backend: 0, service: 0, flags: PORT }
  const { remapped, ...made } = claimed(world, question, packet, claim)
  return { ...made, choice: { tuple: entryTuple(from), backends: [], remapped } }
}

/** Ids that may be chosen; of a service with affinity, also who is to be remembered. */
function candidates(
  world: World,
  question: Question,
  frontend: Frontend,
  from: Tuple,
): { readonly backends: readonly number[]; readonly affinity?: AffinityKey } {
  const { maps, schema } = world
  const slots = slotsOf(world, frontend, from)
  if (frontend.affinity_seconds === 0) return { backends: slots }
  const affinity: AffinityKey = { client: addressOf(from.source), service: frontend.service }
  const before = maps.affinities.get(affinity)
  const kept =
    before &&
    before.used_ns + BigInt(frontend.affinity_seconds) * NS >= question.now &&
    ((maps.affinity_backends.get({ service: frontend.service, backend: before.backend }) ?? 0) &
      (1 << schema.clientKind.number.CLUSTER)) !==
      0
  return { backends: kept ? [before.backend] : slots, affinity }
}

function slotsOf(world: World, frontend: Frontend, from: Tuple): number[] {
  const [{ first, count }] = frontend.backends
  if (count === 0) return []
  const length = world.schema.slotPages.number.PAGE_LENGTH
  const page = world.slotPage(Math.floor(first / length))
  const at = (index: number): number => page?.get((first % length) + index) ?? 0
  if ((frontend.flags & world.schema.frontendFlags.number.HASHED) !== 0) return [at(slotOfHash(flowHash(from), count))]
  return [...new Set(Array.from({ length: count }, (_, index) => at(index)))]
}
