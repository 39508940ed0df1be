// Services on the way of one packet: whether it is translated, which connection it then
// belongs to, and what is said where nobody is there.

import type { FlowKey } from '../maps/index.ts'
import {
  answersForgotten,
  type Found,
  findFlow,
  isLoneSyn,
  makerOf,
  type Named,
  nameFlow,
  revisionOf,
} from './conntrack.ts'
import { type Packet, PROTOCOL, type Tuple } from './dissect.ts'
import { endpointAt, outsiderIdentity } from './policy.ts'
import type { Prediction } from './prediction.ts'
import { refusal } from './refusal.ts'
import { translatedFrame } from './translated-frame.ts'
import { type Refused, type Translated, translate } from './translation.ts'
import { answersTo, entryTuple, sameTuple, type TableChange, tupleOf } from './translation-table.ts'
import type { Question, Step, World } from './world.ts'

export type Served = {
  /** As policy sees it. */
  readonly packet: Packet
  /** As its sender has it, where that is something else. */
  readonly sent?: Packet
  readonly found: Found | undefined
  readonly outcome: Partial<Prediction>
  /** That it is translated for. */
  readonly service?: number
  /** It has not been changed yet. */
  readonly answer?: Translated
  /** By a translation that is new. */
  readonly opened?: boolean
  /** The connection was known, untranslated; it is marked before policy is asked. */
  readonly marked?: boolean
}

export function followService(world: World, question: Question, packet: Packet, steps: Step[]): Served {
  const named = nameFlow(question, packet)
  const found = named && findFlow(world, question, named)
  const untouched = { packet, found, outcome: {} }
  if (!named || !mayBeTranslated(world, question, packet, found)) return untouched
  const from = named.quoted ? turned(named.quoted) : packet
  const opens = mayOpen(world, question, packet, found)
  const translated = translate(world, question, packet, from, opens, steps)
  if (!translated || translated.kind === 'untranslated') {
    const translations = translated ? { translations: translated.change } : {}
    const ofAnother = opens && found?.direction === 'original' && isTranslated(world, found)
    return { packet, found: ofAnother ? undefined : found, outcome: translations }
  }
  if (translated.kind === 'refused') return refused(world, question, packet, translated)
  const outcome = {
    translations: translated.change,
    service: translated.service,
    choice: translated.choice,
    affinity: translated.affinity,
  }
  if (translated.reply) return { ...untouched, outcome, service: translated.service, answer: translated }
  const forgotten = found && !isTranslated(world, found) ? [found.key] : []
  return forwardTranslated(world, question, named, translated, { ...outcome, forgotten })
}

/** The packet as its sender has it, who knows the service and no backend. */
export function asSent(world: World, { now }: Question, { packet, sent, found, outcome }: Served): Packet {
  if (sent) return sent
  const key = entryTuple(turned(packet))
  const isForgotten = outcome.translations?.removed.some(removed => sameTuple(removed, key)) ?? false
  const isDirect = isForgotten || (found && !isTranslated(world, found))
  const answers = isDirect ? undefined : answersTo(world, packet, now)
  return answers ? { ...packet, ...turned(tupleOf(answers.target)) } : packet
}

/** A connection that no translation concerns, and nobody opens anew, is told at first sight. */
function mayBeTranslated(world: World, question: Question, packet: Packet, found: Found | undefined): boolean {
  if (packet.icmp && packet.icmp.kind !== 'ERROR') return false
  const { FROM_PROXY } = world.schema.flowLeg.number
  // What a proxy opened went to where a translation had led its client.
  const opens = makerOf(world, question).proxy && !answersForgotten(world, question, packet)
  if (found ? found.key.leg === FROM_PROXY : opens) return false
  if (!found || isTranslated(world, found)) return true
  return question.hook === 'from_pod' && (found.flow.revision !== revisionOf(world) || isLoneSyn(packet))
}

/** A TCP connection that is known untranslated goes on so. A datagram that its ports alone name translated is of another. */
function mayOpen(world: World, { hook }: Question, packet: Packet, found: Found | undefined): boolean {
  if (hook !== 'from_pod' || packet.icmp) return false
  if (!found || isLoneSyn(packet)) return true
  return packet.protocol !== PROTOCOL.tcp && (found.flow.revision !== revisionOf(world) || isTranslated(world, found))
}

const isTranslated = ({ schema }: World, { flow }: Found): boolean =>
  (flow.flags & schema.flowFlags.number.TRANSLATED) !== 0

function forwardTranslated(
  world: World,
  question: Question,
  { packet, quoted }: Named,
  { from, to, service, opened, change }: Translated,
  outcome: Partial<Prediction> & { readonly forgotten: readonly FlowKey[] },
): Served {
  const frame = translatedFrame(question.frame, packet, from, to)
  const after: Packet = quoted ? { ...packet, source: to.source, destination: to.destination } : { ...packet, ...to }
  if (!frame) return unfollowed(world, after, outcome, opened, change)
  const found = findFlow(world, question, quoted ? { packet: after, quoted: turned(to) } : { packet: after })
  const marked = found !== undefined && !isTranslated(world, found)
  const flags = world.schema.flowFlags.number.TRANSLATED
  return {
    packet: after,
    sent: packet,
    found: found && marked ? { ...found, flow: { ...found.flow, flags: found.flow.flags | flags, service } } : found,
    outcome: { ...outcome, frame },
    service,
    opened,
    marked,
  }
}

/** Its checksum cannot follow; what it has opened is forgotten. */
function unfollowed(
  world: World,
  packet: Packet,
  { forgotten: _kept, ...outcome }: Partial<Prediction>,
  opened: boolean,
  change: TableChange,
): Served {
  const removed = [...change.removed, ...change.written.map(([key]) => key)]
  const translations = opened ? { removed, written: [] } : change
  return { packet, found: undefined, outcome: { ...outcome, ...asker(world, packet), translations, reason: 'CSUM_L4' } }
}

function refused(world: World, { frame }: Question, packet: Packet, { service, told, change }: Refused): Served {
  const answer = told ? refusal(frame, packet) : undefined
  const outcome = {
    ...asker(world, packet),
    service,
    translations: change,
    refusal: answer,
    reason: 'NO_SERVICE',
  } as const
  return { packet, found: undefined, outcome }
}

function asker(world: World, packet: Packet): Pick<Prediction, 'identity' | 'endpoint'> {
  const source = endpointAt(world, packet.source)
  return {
    identity: [source?.identity ?? 0, outsiderIdentity(world, packet.destination, true)],
    endpoint: [source?.id ?? 0, 0],
  }
}

export const turned = (tuple: Tuple): Tuple => ({
  source: tuple.destination,
  destination: tuple.source,
  sourcePort: tuple.destinationPort,
  destinationPort: tuple.sourcePort,
  protocol: tuple.protocol,
})
