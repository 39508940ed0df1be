// What a packet is translated to: by the entry of its connection, or to a backend that
// is chosen for a new one. Says what becomes of the table of translations; changes
// neither it nor the packet.

import { formatIp, isMapped } from '../ip/index.ts'
import type { Affinity, AffinityKey, Tuple as EntryTuple, Frontend, Translation } from '../maps/index.ts'
import { flowHash, slotOfHash } from '../services/index.ts'
import { isLoneSyn, lifetime, tcpIsClosed } from './conntrack.ts'
import { type Packet, PROTOCOL, type Tuple } from './dissect.ts'
import { loopbackOf } from './loopback.ts'
import { addressOf } from './policy.ts'
import type { Question, Step, World } from './world.ts'

const NS = 1_000_000_000n
/** Entries that the packet writes, and keys that it removes first. */
export type TableChange = {
  readonly removed: readonly EntryTuple[]
  readonly written: readonly (readonly [EntryTuple, Translation])[]
}
export const NO_CHANGE: TableChange = { removed: [], written: [] }

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
): Translated | Refused | undefined {
  if (!hasPorts(from.protocol)) return undefined
  const key = entryTuple(from)
  const known = liveEntry(world, key, question.now)
  if (known && isInForce(world, known, packet, from)) {
    const reply = isReply(world, known)
    const change = used(world, question, packet, key, known)
    steps.push({ at: 'service', found: `${reply ? 'an answer of' : 'to'} service ${known.service}, by its connection` })
    const to = tupleOf(known.target)
    return { kind: 'translated', from, to, service: known.service, reply, opened: false, change }
  }
  if (!mayOpen) return undefined
  const removed = known && from.protocol === PROTOCOL.tcp ? answersOf(world, key, known) : []
  return opened(world, question, packet, from, removed, steps)
}

/** An entry that says how the answers to such packets are translated. */
export function answersTo(world: World, tuple: Tuple, now: bigint): Translation | undefined {
  const entry = liveEntry(world, turned(entryTuple(tuple)), now)
  return entry && isReply(world, entry) ? entry : undefined
}

function liveEntry(world: World, key: EntryTuple, now: bigint): Translation | undefined {
  const entry = world.maps.translations.get(key)
  return entry && entry.expires_ns > now ? entry : undefined
}

const isReply = ({ schema }: World, { flags }: Translation): boolean =>
  (flags & schema.translationFlags.number.REPLY) !== 0

function isInForce(world: World, entry: Translation, packet: Packet, from: Tuple): boolean {
  if (isReply(world, entry) || packet.icmp?.kind === 'ERROR') return true
  if (from.protocol === PROTOCOL.tcp && !isLoneSyn(packet)) return true
  return !tcpIsClosed(entry.tcp_flags) && isServed(world, entry, from)
}

/** Whether the address still is the service's that it was translated for, and the backend one of that service's. */
function isServed({ maps, schema }: World, entry: Translation, from: Tuple): boolean {
  const { destination, destinationPort, protocol } = from
  const frontend = maps.frontends.get({ address: { bytes: destination }, port: destinationPort, protocol })
  if (!frontend || (frontend.flags & schema.frontendFlags.number.RESERVATION) !== 0) return false
  return frontend.service === entry.service && maps.backends.get(entry.backend) !== undefined
}

/** Both directions live as long; the other's entry is made again where it is missing. */
function used(world: World, { now }: Question, packet: Packet, key: EntryTuple, entry: Translation): TableChange {
  const side = isReply(world, entry) ? 1 : 0
  const unseen = packet.tcpFlags & ~(entry.tcp_flags[side] ?? 0)
  const tcp_flags = entry.tcp_flags.map((flags, index) => (index === side ? flags | packet.tcpFlags : flags))
  const expires_ns = now + lifetime(world, tcp_flags, key.protocol)
  if (!unseen && expires_ns >= entry.expires_ns && expires_ns <= entry.expires_ns + NS) return NO_CHANGE
  const after = { ...entry, tcp_flags, expires_ns }
  const [backKey, back] = otherDirection(world, key, after)
  const there = world.maps.translations.get(backKey)
  if (!there)
    return {
      removed: [],
      written: [
        [key, after],
        [backKey, back],
      ],
    }
  if (!sameTuple(there.target, back.target)) return { removed: [], written: [[key, after]] }
  const both = there.tcp_flags.map((flags, index) => flags | (tcp_flags[index] ?? 0))
  return {
    removed: [],
    written: [
      [key, after],
      [backKey, { ...there, tcp_flags: both, expires_ns }],
    ],
  }
}

function otherDirection(world: World, key: EntryTuple, entry: Translation): readonly [EntryTuple, Translation] {
  const flags = entry.flags ^ world.schema.translationFlags.number.REPLY
  return [turned(entry.target), { ...entry, target: turned(key), flags }]
}

/** What the connection before is answered by. */
function answersOf(world: World, key: EntryTuple, entry: Translation): EntryTuple[] {
  const [backKey, back] = otherDirection(world, key, entry)
  const there = world.maps.translations.get(backKey)
  return there && sameTuple(there.target, back.target) ? [backKey] : []
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
  const remapped = !isFree(world, question, turned(entryTuple(wanted)), turned(key), removed)
  const to = { ...wanted, ...(remapped && question.chosen ? { sourcePort: question.chosen.sourcePort } : {}) }
  const tcp_flags = Uint8Array.of(packet.tcpFlags, 0)
  const expires_ns = question.now + lifetime(world, tcp_flags, from.protocol)
  const entry: Translation = { target: entryTuple(to), expires_ns, backend: id, service, tcp_flags, flags: 0 }
  const [backKey, back] = otherDirection(world, key, entry)
  return {
    kind: 'translated',
    from,
    to,
    service,
    reply: false,
    opened: true,
    change: {
      removed,
      written: [
        [backKey, back],
        [key, entry],
      ],
    },
    ...(backends.length > 1 || remapped ? { choice: { tuple: key, backends, remapped } } : {}),
    ...(affinity ? { affinity: [affinity, { used_ns: question.now, backend: id }] as const } : {}),
  }
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

/** Whether nobody's answers come by this key, or those of a connection that is over, or of this one. */
function isFree(
  world: World,
  { now }: Question,
  key: EntryTuple,
  target: EntryTuple,
  removed: readonly EntryTuple[],
): boolean {
  const there = removed.some(other => sameTuple(other, key)) ? undefined : liveEntry(world, key, now)
  return !there || sameTuple(there.target, target)
}

export const entryTuple = ({ source, destination, sourcePort, destinationPort, protocol }: Tuple): EntryTuple => ({
  source: addressOf(source),
  destination: addressOf(destination),
  source_port: sourcePort,
  destination_port: destinationPort,
  protocol,
})

const tupleOf = (tuple: EntryTuple): Tuple => ({
  source: tuple.source.bytes,
  destination: tuple.destination.bytes,
  sourcePort: tuple.source_port,
  destinationPort: tuple.destination_port,
  protocol: tuple.protocol,
})

const turned = (tuple: EntryTuple): EntryTuple => ({
  source: tuple.destination,
  destination: tuple.source,
  source_port: tuple.destination_port,
  destination_port: tuple.source_port,
  protocol: tuple.protocol,
})

const sameTuple = (a: EntryTuple, b: EntryTuple): boolean =>
  sameBytes(a.source.bytes, b.source.bytes) &&
  sameBytes(a.destination.bytes, b.destination.bytes) &&
  a.source_port === b.source_port &&
  a.destination_port === b.destination_port &&
  a.protocol === b.protocol

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, index) => byte === b[index])
