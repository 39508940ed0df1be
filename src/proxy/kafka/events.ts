// What is told of requests: one event for each topic, or one for a request that names
// none.

import { formatIp } from '../../ip/index.ts'
import type { RequestHeader } from '../../kafka/index.ts'
import type { L7Event, L7Judgement } from '../../tables/index.ts'
import type { Connection, KnownFlow } from '../known-flows.ts'
import type { DirectionVerdict, Judged } from './judge.ts'

/** Of one request; the rest of its topics goes untold. */
const MAX_EVENTS = 64
/** Of what was not even a request. */
const NO_HEADER: RequestHeader = { apiKey: -1, apiVersion: -1, correlationId: -1, clientId: undefined }

export type Report = {
  readonly verdict: L7Event['verdict']
  readonly header?: RequestHeader | undefined
  readonly judged?: Judged | undefined
  readonly flow?: KnownFlow | undefined
  readonly errorCode?: number | undefined
  readonly reason?: string | undefined
  readonly latencyNs?: number | undefined
}

export function eventsOf(connection: Connection, report: Report, timeMicros: number): readonly L7Event[] {
  const { judged, header = NO_HEADER } = report
  const flow = judged?.flow ?? report.flow
  const places = Math.max(judged?.egress?.topics.length ?? 0, judged?.ingress?.topics.length ?? 0, 1)
  const reason = report.reason ?? judged?.reason
  return Array.from({ length: Math.min(places, MAX_EVENTS) }, (_, place): L7Event => {
    const audited = report.verdict === 'FORWARDED' ? auditedBy(judged, place) : undefined
    const topic = judged?.egress?.topics[place]?.topic ?? judged?.ingress?.topics[place]?.topic
    return {
      timeMicros,
      verdict: audited ? 'AUDIT' : report.verdict,
      transport: connection.transport,
      opener: endOf(connection.client, flow?.identities[0]),
      responder: endOf(connection.server, flow?.identities[1]),
      ...(flow && flow.service !== 0 && { service: flow.service }),
      egress: judgement(flow, 0, judged?.egress, place),
      ingress: judgement(flow, 1, judged?.ingress, place),
      ...(judged?.egress?.allowed === false && { deniedBy: 'egress' }),
      ...(judged?.egress?.allowed !== false && judged?.ingress?.allowed === false && { deniedBy: 'ingress' }),
      ...(audited && { deniedBy: audited }),
      ...(reason !== undefined && { reason }),
      ...(report.latencyNs !== undefined && { latencyNs: report.latencyNs }),
      content: {
        parser: 'kafka',
        apiKey: header.apiKey,
        apiVersion: header.apiVersion,
        correlationId: header.correlationId,
        ...(header.clientId !== undefined && { clientId: header.clientId }),
        ...(topic !== undefined && { topic }),
        ...(report.errorCode !== undefined && { errorCode: report.errorCode }),
      },
    }
  })
}

const endOf = ({ address, port }: Connection['client'], identity = 0): L7Event['opener'] => ({
  address: formatIp(address),
  port,
  identity,
})

function auditedBy(judged: Judged | undefined, place: number): 'egress' | 'ingress' | undefined {
  const isAudited = (verdict: DirectionVerdict | undefined): boolean =>
    verdict?.audited === true && verdict.topics[place]?.rule === undefined
  if (isAudited(judged?.egress)) return 'egress'
  return isAudited(judged?.ingress) ? 'ingress' : undefined
}

function judgement(
  flow: KnownFlow | undefined,
  direction: 0 | 1,
  verdict: DirectionVerdict | undefined,
  place: number,
): L7Judgement {
  const rule = verdict?.topics[place]?.rule
  return {
    set: flow?.sets[direction] ?? 0,
    policyRule: flow?.rules[direction] ?? 0,
    ...(rule !== undefined && { rule }),
  }
}
