// The table of translations: entries in both directions, what a packet does to those that
// it goes by, and who may have which port at a backend. Says what becomes of the table;
// changes nothing.

import type { Tuple as EntryTuple, Translation } from '../maps/index.ts'
import { isClosed, keyOf, lifetime, proxiesInUse, tcpIsClosed } from './conntrack.ts'
import { type Packet, PROTOCOL, type Tuple } from './dissect.ts'
import { addressOf } from './policy.ts'
import type { Question, World } from './world.ts'

const NS = 1_000_000_000n
/** Entries that the packet writes, and keys that it removes first. */
export type TableChange = {
  readonly removed: readonly EntryTuple[]
  readonly written: readonly (readonly [EntryTuple, Translation])[]
}
export const NO_CHANGE: TableChange = { removed: [], written: [] }

/** An entry that says how the answers to such packets are translated. */
export function answersTo(world: World, tuple: Tuple, now: bigint): Translation | undefined {
  const entry = liveEntry(world, turned(entryTuple(tuple)), now)
  return entry && isReply(world, entry) ? entry : undefined
}

export function liveEntry(world: World, key: EntryTuple, now: bigint): Translation | undefined {
  const entry = world.maps.translations.get(key)
  return entry && entry.expires_ns > now ? entry : undefined
}

export const isReply = ({ schema }: World, { flags }: Translation): boolean =>
  (flags & schema.translationFlags.number.REPLY) !== 0

/** Of no service: another connection has the client's port at the other end. */
export const hasOtherPort = ({ schema }: World, { flags }: Translation): boolean =>
  (flags & schema.translationFlags.number.PORT) !== 0

/** Both directions live as long; the other's entry is made again where it is missing. */
export function used(
  world: World,
  { now }: Question,
  packet: Packet,
  key: EntryTuple,
  entry: Translation,
): TableChange {
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

export function otherDirection(world: World, key: EntryTuple, entry: Translation): readonly [EntryTuple, Translation] {
  const flags = entry.flags ^ world.schema.translationFlags.number.REPLY
  return [turned(entry.target), { ...entry, target: turned(key), flags }]
}

/** What the connection before is answered by. */
export function answersOf(world: World, key: EntryTuple, entry: Translation): EntryTuple[] {
  const [backKey, back] = otherDirection(world, key, entry)
  const there = world.maps.translations.get(backKey)
  return there && sameTuple(there.target, back.target) ? [backKey] : []
}

type Claim = {
  readonly from: Tuple
  readonly wanted: Tuple
  readonly removed: readonly EntryTuple[]
  readonly backend: number
  readonly service: number
  readonly flags?: number
}

/** A new connection in both directions, from the client's own port or, where that is taken, from another. */
export function claimed(world: World, question: Question, packet: Packet, claim: Claim) {
  const { from, wanted, removed, backend, service, flags = 0 } = claim
  const key = entryTuple(from)
  const remapped =
    isTakenUntranslated(world, question, wanted) ||
    !isFree(world, question, turned(entryTuple(wanted)), turned(key), removed)
  const to = { ...wanted, ...(remapped && question.chosen ? { sourcePort: question.chosen.sourcePort } : {}) }
  const tcp_flags = Uint8Array.of(packet.tcpFlags, 0)
  const expires_ns = question.now + lifetime(world, tcp_flags, from.protocol)
  const entry: Translation = { target: entryTuple(to), expires_ns, backend, service, tcp_flags, flags }
  const [backKey, back] = otherDirection(world, key, entry)
  const before = removed.some(other => sameTuple(other, backKey)) ? undefined : world.maps.translations.get(backKey)
  const former = before && !sameTuple(before.target, back.target) ? clientOf(world, before, entry.target) : []
  return {
    kind: 'translated',
    from,
    to,
    service,
    reply: false,
    opened: true,
    remapped,
    change: {
      removed: [...removed, ...former],
      written: [
        [backKey, back],
        [key, entry],
      ],
    },
  } as const
}

export function isOver(world: World, entry: Translation, protocol: number): boolean {
  if (protocol === PROTOCOL.tcp) return tcpIsClosed(entry.tcp_flags)
  return entry.backend !== 0 && world.maps.backends.get(entry.backend) === undefined
}

/** Of what another node told of, only the flow knows both ends. */
export function isClosedHere({ maps }: World, tuple: Tuple): boolean {
  const flow = maps.flows.get(keyOf(tuple).key)
  return flow !== undefined && isClosed(flow)
}

/** What the client goes by that these are the answers to. */
export function clientOf(world: World, answers: Translation, target: EntryTuple): EntryTuple[] {
  const key = turned(answers.target)
  const there = world.maps.translations.get(key)
  return there && sameTuple(there.target, target) ? [key] : []
}

/** Whether a live connection that nobody translates has this at its other end. */
function isTakenUntranslated(world: World, { now }: Question, tuple: Tuple): boolean {
  const alive = (leg: number) => {
    const known = world.maps.flows.get(keyOf(tuple, leg).key)
    return known && known.expires_ns > now ? known : undefined
  }
  const { DIRECT, TO_PROXY } = world.schema.flowLeg.number
  const flow = alive(DIRECT) ?? (proxiesInUse(world) ? alive(TO_PROXY) : undefined)
  if (!flow || isClosed(flow)) return false
  return (flow.flags & world.schema.flowFlags.number.TRANSLATED) === 0
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
  return !there || sameTuple(there.target, target) || isOver(world, there, key.protocol)
}

export const entryTuple = ({ source, destination, sourcePort, destinationPort, protocol }: Tuple): EntryTuple => ({
  source: addressOf(source),
  destination: addressOf(destination),
  source_port: sourcePort,
  destination_port: destinationPort,
  protocol,
})

export const tupleOf = (tuple: EntryTuple): Tuple => ({
  source: tuple.source.bytes,
  destination: tuple.destination.bytes,
  sourcePort: tuple.source_port,
  destinationPort: tuple.destination_port,
  protocol: tuple.protocol,
})

export const turned = (tuple: EntryTuple): EntryTuple => ({
  source: tuple.destination,
  destination: tuple.source,
  source_port: tuple.destination_port,
  destination_port: tuple.source_port,
  protocol: tuple.protocol,
})

export const sameTuple = (a: EntryTuple, b: EntryTuple): boolean =>
  sameBytes(a.source.bytes, b.source.bytes) &&
  sameBytes(a.destination.bytes, b.destination.bytes) &&
  a.source_port === b.source_port &&
  a.destination_port === b.destination_port &&
  a.protocol === b.protocol

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, index) => byte === b[index])
