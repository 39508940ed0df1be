// A request as HAProxy tells it: the fields of its log line (src/proxy/haproxy/log-line.ts)
// by their places, read into the event that all proxies tell.

import { PROXY_ANSWER } from '../http/index.ts'
import type { L7Event, L7Judgement } from '../tables/index.ts'

type Fields = readonly [
  micros: number,
  client: string,
  clientPort: number,
  server: string,
  serverPort: number,
  openerIdentity: string,
  responderIdentity: string,
  egressAnswer: string,
  ingressAnswer: string,
  egressVerdict: string,
  ingressVerdict: string,
  egressRule: string,
  ingressRule: string,
  refusal: string,
  latencyMicros: string,
  grpcStatus: string,
  target: string,
  host: string,
  version: string,
  status: number,
  ended: string,
  mismatched: string,
]

/** HAProxy's sign for what is not known. */
const UNKNOWN = '-'

const REFUSALS: Readonly<Record<string, string>> = {
  connect: 'a tunnel through the proxy was asked for (CONNECT)',
  target: 'the target of the request is not a path',
  headers: 'headers are not in order',
  host: 'the request names no host, or several',
  version: 'the version of HTTP is none that is known',
  control: 'a header has control characters',
  framing: 'where the body ends is said in more than one way',
  path: 'the path can be read in more than one way',
}

/** @returns undefined for what is no record of ours */
export function eventOfHttpRecord(record: unknown): L7Event | undefined {
  const fields = fieldsOf(record)
  if (!fields) return undefined
  const [micros, client, clientPort, server, serverPort, openerIdentity, responderIdentity] = fields
  const [, , , , , , , egressAnswer, ingressAnswer, egressVerdict, ingressVerdict, egressRule, ingressRule] = fields
  const [refusal, latencyMicros, grpcStatus, target, host, version, status, ended, mismatched] = fields.slice(
    13,
  ) as Tail
  const [, method = '', path = ''] = /^([^:]*):(.*?)#?$/s.exec(target) ?? []
  const reason = reasonOf(refusal, ended, egressAnswer)
  const denied = reason === undefined ? deniedBy(egressVerdict, ingressVerdict) : undefined
  return {
    timeMicros: micros,
    verdict: reason === undefined ? (denied ? 'DROPPED' : 'FORWARDED') : 'ERROR',
    transport: 'TCP',
    opener: { address: client, port: clientPort, identity: numberOf(openerIdentity) ?? 0 },
    responder: { address: server, port: serverPort, identity: numberOf(responderIdentity) ?? 0 },
    egress: judgement(egressAnswer, egressVerdict, egressRule),
    ingress: judgement(ingressAnswer, ingressVerdict, ingressRule),
    ...(denied && { deniedBy: denied }),
    ...(reason !== undefined && { reason }),
    ...(isKnown(latencyMicros) && { latencyNs: Number(latencyMicros) * 1000 }),
    ...(isKnown(mismatched) && { mismatchedHeaders: mismatched.split(',') }),
    content: {
      parser: 'http',
      method,
      path,
      host: isKnown(host) ? host : '',
      scheme: 'http',
      version: version === '<BADREQ>' ? '' : version,
      ...(status > 0 && { status }),
      ...(numberOf(grpcStatus) !== undefined && { grpcStatus: Number(grpcStatus) }),
    },
  }
}

type Tail = [string, string, string, string, string, string, number, string, string]

const NUMBERS: ReadonlySet<number> = new Set([0, 2, 4, 19])
const FIELD_COUNT = 22

function fieldsOf(record: unknown): Fields | undefined {
  const isRecord =
    Array.isArray(record) &&
    record.length === FIELD_COUNT &&
    record.every((field, place) => typeof field === (NUMBERS.has(place) ? 'number' : 'string'))
  return isRecord ? (record as unknown as Fields) : undefined
}

const isKnown = (text: string): boolean => text !== UNKNOWN && text !== ''
const numberOf = (text: string): number | undefined => (/^-?\d+$/.test(text) ? Number(text) : undefined)

function judgement(answer: string, verdict: string, policyRule: string): L7Judgement {
  const set = Math.max(0, (numberOf(answer) ?? 0) - PROXY_ANSWER)
  const place = (numberOf(verdict) ?? 0) - 1
  return { set, ...(place >= 0 && { rule: place }), policyRule: numberOf(policyRule) ?? 0 }
}

/** A direction without a verdict has denied too: its rules were not there. */
function deniedBy(egress: string, ingress: string): 'egress' | 'ingress' | undefined {
  if ((numberOf(egress) ?? -1) < 0) return 'egress'
  return (numberOf(ingress) ?? -1) < 0 ? 'ingress' : undefined
}

/** Of HAProxy's word on how it ended: who ended it, and when (its manual, 8.5). */
function reasonOf(refusal: string, ended: string, answer: string): string | undefined {
  if (isKnown(refusal)) return REFUSALS[refusal] ?? refusal
  const [who, when] = ended
  if (who === 'P' && when === 'R') return 'the request is not well-formed'
  if (when === 'R' && who?.toLowerCase() === 'c')
    return who === 'c' ? 'the request did not come in time' : 'the request did not come whole'
  if (when === 'C') return 'the server could not be reached'
  if (when === 'H' && (who === 'S' || who === 's' || who === 'P'))
    return 'the server did not answer as a server of HTTP'
  return (numberOf(answer) ?? 0) < PROXY_ANSWER ? 'the kernel does not know the connection' : undefined
}
