// What the log lines of all of HAProxy's frontends have in common: who with whom, by which
// rules, what these said, and through which service (src/proxy/haproxy/log-line.ts).

import { AUDITED, PROXY_ANSWER } from '../http/index.ts'
import type { L7Event, L7Judgement } from '../tables/index.ts'

export type JudgedFields = readonly [
  ended: string,
  refusal: string,
  egressVerdict: string,
  ingressVerdict: string,
  micros: number,
  egressAnswer: string,
  ingressAnswer: string,
  client: string,
  clientPort: number,
  server: string,
  serverPort: number,
  openerIdentity: string,
  responderIdentity: string,
  egressRule: string,
  ingressRule: string,
  service: string,
]

/** Places of those that are numbers. */
export const NUMBERS: readonly number[] = [4, 8, 10]
export const JUDGED_COUNT = 16

/** HAProxy's sign for what is not known. */
const UNKNOWN = '-'

export const isKnown = (text: string): boolean => text !== UNKNOWN && text !== ''
export const numberOf = (text: string): number | undefined => (/^-?\d+$/.test(text) ? Number(text) : undefined)

/** Texts, but for numbers at the places that are given. */
export function isRecord(record: unknown, fieldCount: number, numbers: ReadonlySet<number>): record is unknown[] {
  return (
    Array.isArray(record) &&
    record.length === fieldCount &&
    record.every((field, place) => typeof field === (numbers.has(place) ? 'number' : 'string'))
  )
}

/** @param reason why rules did not come to decide */
export function judgedConnection(
  fields: readonly [...JudgedFields, ...unknown[]],
  reason: string | undefined,
): Omit<L7Event, 'content'> {
  const [, , egressVerdict, ingressVerdict, micros, egressAnswer, ingressAnswer, ...connection] = fields
  const [client, clientPort, server, serverPort, openerIdentity, responderIdentity, egressRule, ingressRule, asked] =
    connection
  const service = numberOf(asked) ?? 0
  const denied = reason === undefined ? deniedBy(egressVerdict, ingressVerdict) : undefined
  const audited = reason === undefined && !denied ? auditedBy(egressVerdict, ingressVerdict) : undefined
  const by = denied ?? audited
  return {
    timeMicros: micros,
    verdict: reason !== undefined ? 'ERROR' : denied ? 'DROPPED' : audited ? 'AUDIT' : 'FORWARDED',
    transport: 'TCP',
    opener: { address: client, port: clientPort, identity: numberOf(openerIdentity) ?? 0 },
    responder: { address: server, port: serverPort, identity: numberOf(responderIdentity) ?? 0 },
    ...(service > 0 && { service }),
    egress: judgement(egressAnswer, egressVerdict, egressRule),
    ingress: judgement(ingressAnswer, ingressVerdict, ingressRule),
    ...(by && { deniedBy: by }),
    ...(reason !== undefined && { reason }),
  }
}

function judgement(answer: string, verdict: string, policyRule: string): L7Judgement {
  const set = Math.max(0, (numberOf(answer) ?? 0) - PROXY_ANSWER)
  const place = (numberOf(verdict) ?? 0) - 1
  return { set, ...(place >= 0 && place < AUDITED - 1 && { rule: place }), policyRule: numberOf(policyRule) ?? 0 }
}

function auditedBy(egress: string, ingress: string): 'egress' | 'ingress' | undefined {
  if (numberOf(egress) === AUDITED) return 'egress'
  return numberOf(ingress) === AUDITED ? 'ingress' : undefined
}

/** A direction without a verdict has denied too: its rules were not there. */
function deniedBy(egress: string, ingress: string): 'egress' | 'ingress' | undefined {
  if ((numberOf(egress) ?? -1) < 0) return 'egress'
  return (numberOf(ingress) ?? -1) < 0 ? 'ingress' : undefined
}
