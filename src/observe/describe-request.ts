// From what a proxy tells of a request to a flow in words, beside the flows of packets:
// the same ends, the rules that allow it by policy, place and field. Reads tables and
// decides nothing.

import type { L7Content, L7Event, L7Judgement, Tables } from '../tables/index.ts'
import { timeText } from './describe.ts'
import type { Flow, FlowL7 } from './flow.ts'
import { flowEnd } from './flow-end.ts'
import { logsOf, type NamedRule, ruleOf, shownRule } from './flow-rule.ts'
import { type Redaction, redacted } from './redaction.ts'
import type { ServiceNames } from './service-names.ts'
import { kafkaRequestName } from './why-request.ts'

export type DescribeRequestOptions = {
  readonly node: string
  readonly tables: Tables
  readonly redaction: Redaction
  readonly serviceNames: Pick<ServiceNames, 'nameOf'>
}

export function describeRequest(event: L7Event, options: DescribeRequestOptions): Flow {
  const { node, tables, redaction, serviceNames } = options
  const { opener, responder, verdict, deniedBy } = event
  const egressRule = decidingRule(event.egress, tables)
  const ingressRule = decidingRule(event.ingress, tables)
  const denier = deniedBy && (deniedBy === 'egress' ? egressRule : ingressRule)
  const service = serviceNames.nameOf(event.service ?? 0)
  const policyLog = logsOf(denier ? [denier] : [egressRule, ingressRule])
  return {
    time: timeText(event.timeMicros),
    node,
    type: 'L7',
    verdict,
    event: 'l7',
    source: flowEnd(opener, tables),
    destination: flowEnd(responder, tables),
    ...(service && { destinationService: service }),
    protocol: event.transport,
    family: opener.address.includes(':') ? 6 : 4,
    isReply: false,
    ...((verdict === 'DROPPED' || verdict === 'AUDIT') && { dropReason: 'POLICY_DENIED' }),
    ...(deniedBy && { direction: deniedBy }),
    ...(egressRule && { egressRule: shownRule(egressRule) }),
    ...(ingressRule && { ingressRule: shownRule(ingressRule) }),
    ...(policyLog.length > 0 && { policyLog }),
    l7: redacted(whatWasSaid(event), redaction),
  }
}

/** The rule that allows the request, and where in it; without a rule set the one that allows the connection. */
function decidingRule({ set, rule: index, policyRule }: L7Judgement, tables: Tables): NamedRule | undefined {
  const source = index === undefined ? undefined : tables.l7RuleSets.get(String(set))?.rules.rules[index]
  if (!source) return ruleOf(policyRule, tables)
  const numbered = tables.rules.by('key', source.rule)[0]
  return { ...(numbered ?? { number: policyRule, text: source.rule }), field: source.field }
}

function whatWasSaid({ content, latencyNs, reason, mismatchedHeaders }: L7Event): FlowL7 {
  return {
    type: isAnswered(content) ? 'RESPONSE' : 'REQUEST',
    ...(latencyNs !== undefined && { latencyNs }),
    ...(reason !== undefined && { reason }),
    ...(mismatchedHeaders?.length && { mismatchedHeaders }),
    ...inProtocol(content),
  }
}

function isAnswered(content: L7Content): boolean {
  switch (content.parser) {
    case 'http':
      return content.status !== undefined
    case 'dns':
      return content.rcode !== undefined
    case 'kafka':
      return content.errorCode !== undefined
    case 'tls':
      return false
  }
}

function inProtocol(content: L7Content): Pick<FlowL7, 'http' | 'dns' | 'kafka' | 'tls'> {
  switch (content.parser) {
    case 'http': {
      const { status: code, method, scheme, host, path, version: protocol, headers, grpcStatus } = content
      const url = host === '' ? path : `${scheme}://${host}${path}`
      const shown = headers?.map(({ name: key, value }) => ({ key, value }))
      return {
        http: {
          ...(code !== undefined && { code }),
          method,
          url,
          protocol,
          ...(shown && { headers: shown }),
          ...(grpcStatus !== undefined && { grpcStatus }),
        },
      }
    }
    case 'dns': {
      const { query, queryTypes: qtypes, addresses: ips, ttlSeconds: ttl, cnames, rcode } = content
      return {
        dns: {
          query,
          qtypes,
          ...(ips && { ips }),
          ...(ttl !== undefined && { ttl }),
          ...(cnames && { cnames }),
          ...(rcode !== undefined && { rcode }),
          observationSource: 'proxy',
        },
      }
    }
    case 'kafka': {
      const { parser: _, apiKey, ...rest } = content
      return { kafka: { apiKey: kafkaRequestName(apiKey), ...rest } }
    }
    case 'tls':
      return { tls: { serverName: content.serverName } }
  }
}
