// One packet against the connections that are known, services and policy: is it part of
// a connection, is it to be translated, does policy allow it today?

import { type AuditedDenial, auditedDenial } from '../maps/index.ts'
import { carryKnown, carryNew } from './carry.ts'
import {
  answersForgotten,
  type Found,
  hold,
  isIcmp,
  keyOf,
  makerOf,
  nameFlow,
  openFlow,
  opensFlow,
  revisionOf,
  stamp,
  touch,
} from './conntrack.ts'
import { type Packet, PROTOCOL } from './dissect.ts'
import { followFragments } from './fragment.ts'
import { type Judgement, judge, outsiderIdentity } from './policy.ts'
import type { Prediction } from './prediction.ts'
import { refusal } from './refusal.ts'
import { asSent, followService, type Served, turned } from './serve.ts'
import { hasPorts, type Translated } from './translation.ts'
import { answersTo, NO_CHANGE, type TableChange } from './translation-table.ts'
import type { Question, Step, World } from './world.ts'

/** Of the policy for connections that are echoes, whichever packet of them is at hand. */
const ECHO_REQUEST: Readonly<Record<number, number>> = { [PROTOCOL.icmp]: 8, [PROTOCOL.icmpv6]: 128 }

/** What a part of the prediction knows; the rest is filled in at the end. */
export type Outcome = Partial<Prediction> & {
  readonly audit?: AuditedDenial | undefined
  /** Of what is over: that it is dropped is only counted. */
  readonly isBelated?: boolean
}

export type Tracked = {
  readonly outcome: Outcome
  /** As policy sees it. */
  readonly packet: Packet
  /** As its sender has it. */
  readonly sent: Packet
  /** An answer, which is translated only when it goes on. */
  readonly answer?: Translated
}

export function track(world: World, question: Question, given: Packet, steps: Step[]): Tracked {
  const assembled = followFragments(world, given, steps)
  if (typeof assembled === 'string') return { outcome: { reason: assembled }, packet: given, sent: given }
  const remembered = assembled.fragment ? { fragment: assembled.fragment } : {}
  const served = followService(world, question, assembled.packet, steps)
  const { packet, answer, outcome } = served
  const about = { ...remembered, ...outcome, seen: packet }
  const told = outcome.reason === undefined ? judgeTracked(world, question, served, steps) : {}
  const translations = told.reason === undefined ? {} : { translations: undone(served), affinity: outcome.affinity }
  const sent = asSent(world, question, served)
  return { outcome: { ...about, ...told, ...translations }, packet, sent, ...(answer ? { answer } : {}) }
}

/** Policy denies it: what it has just opened is forgotten, and so is what stood in the same place. */
function undone({ opened, outcome: { translations = NO_CHANGE } }: Served): TableChange {
  if (!opened) return translations
  return { removed: [...translations.removed, ...translations.written.map(([key]) => key)], written: [] }
}

function judgeTracked(world: World, question: Question, served: Served, steps: Step[]): Outcome {
  const { packet, found } = served
  if (!found) return openOrPass(world, question, served, steps)
  // An error goes back to where the packet came from that it quotes.
  const isReply = (found.direction === 'reply') !== (found.quoted !== undefined)
  const current = found.flow.revision === revisionOf(world)
  steps.push({
    at: 'connection',
    found: `${found.quoted ? 'an error about' : isReply ? 'a reply of' : 'part of'} a known connection${current ? '' : ', judged by an older policy'}`,
  })
  const carried = current
    ? { judgement: judgementOf(world, found), found, refuse: false }
    : carryKnown(world, question, found, judge(world, connectionOf(world, found, packet), steps), packet)
  const { judgement } = carried
  const about = {
    ...spread(judgement, question),
    isReply,
    service: found.flow.service,
    leg: found.key.leg,
    ...senderOf(world, found, packet, judgement, makerOf(world, question).host),
  }
  if (!carried.found) return { ...about, ...openLeg(world, question, served, found, judgement) }
  if (judgement.reason !== 'NONE') {
    const marked = served.marked ? { key: found.key, flow: found.flow } : undefined
    const told = carried.refuse ? { refusal: refusal(question.frame, asSent(world, question, served)) } : {}
    return { ...about, ...told, flow: hold(world, question, carried.found) ?? marked }
  }
  const flow = current ? found.flow : stamp(world, found.flow, judgement)
  if (found.quoted) return { ...about, report: 'RELATED', flow: { key: found.key, flow } }
  const touched = touch(world, question, packet, { ...found, flow })
  return { ...about, report: touched.report, flow: { key: found.key, flow: touched.flow } }
}

/** Datagrams that went straight go to a proxy from now on. */
function openLeg(world: World, question: Question, served: Served, found: Found, judgement: Judgement): Outcome {
  const { TRANSLATED } = world.schema.flowFlags.number
  const leg = world.schema.flowLeg.number.TO_PROXY
  const { service, flags } = found.flow
  const fromHost = makerOf(world, question).host
  const translated = served.service !== undefined || (flags & TRANSLATED) !== 0
  const opening = { fromHost, translated, service, leg }
  const flow = openFlow(world, question, served.packet, judgement, opening)
  return { leg, report: 'NEW', flow, forgotten: [...(served.outcome.forgotten ?? []), found.key] }
}

function openOrPass(world: World, question: Question, served: Served, steps: Step[]): Outcome {
  const { packet, service, outcome } = served
  const maker = makerOf(world, question)
  const fromHost = maker.host
  const opens = opensFlow(packet)
  steps.push({ at: 'connection', found: opens ? 'a new one' : 'none: judged by itself' })
  const reply = answersForgotten(world, question, packet)
  const tuple = reply ? turned(packet) : packet
  const port = isIcmp(packet) ? (packet.icmp?.type ?? 0) : tuple.destinationPort
  const asked = judge(world, { tuple, port, fromHost }, steps)
  const quoted = nameFlow(question, packet)?.quoted
  const { judgement, leg, forProxy, refuse } = carryNew(world, question, asked, { packet, quoted })
  const outside = service === undefined && question.hook === 'to_pod' && !maker.proxy && hasPorts(packet.protocol)
  const answers = outside ? answersTo(world, packet, question.now) : undefined
  const opening = {
    fromHost,
    translated: service !== undefined || answers !== undefined,
    service: service ?? answers?.service ?? 0,
    leg,
    reply,
  }
  const about = { ...spread(judgement, question), isReply: reply, service: opening.service, leg }
  if (judgement.reason !== 'NONE')
    return refuse ? { ...about, refusal: refusal(question.frame, asSent(world, question, served)) } : about
  if (forProxy) return { ...about, to: 'proxy' }
  const { TO_PROXY } = world.schema.flowLeg.number
  const flow = opens ? openFlow(world, question, packet, judgement, opening) : undefined
  const forgotten =
    leg === TO_PROXY && !maker.proxy ? { forgotten: [...(outcome.forgotten ?? []), keyOf(packet).key] } : {}
  return { ...about, ...forgotten, report: 'NEW', flow }
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
  const { identity, endpoint, egress_rule, ingress_rule, proxy, l7 } = flow
  const audit = auditedDenial(schema, flow.audit)
  return { reason: 'NONE', direction: undefined, audit, identity, endpoint, egress_rule, ingress_rule, proxy, l7 }
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

const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i])
