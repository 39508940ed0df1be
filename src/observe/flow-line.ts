// A flow as one readable line: who talks to whom, the verdict, the reason and the rule.

import { endText, type Flow, type FlowEnd, serviceOf } from './flow.ts'
import { requestText } from './request-line.ts'

/** `default/shop:http (default/shop-1:8080)`: what the client asked for, and who answers. */
function answererText(flow: Flow, end: FlowEnd): string {
  const service = serviceOf(flow)
  if (!service) return endText(end)
  const { namespace, name, port, portName } = service
  // Without a backend the packet still has the address that stands for the service: of nobody.
  const isFrontend = flow.dropReason !== undefined && flow.dropReason in SERVICE_REASONS
  const who = isFrontend ? `${end.address}:${end.port}` : endText(end)
  return `${namespace}/${name}:${portName || port} (${who})`
}

/** What to know of the drops that services make. */
const SERVICE_REASONS: Readonly<Record<string, string>> = {
  NO_SERVICE: 'the service has no backend for this client',
  NAT_NO_MAPPING: "every port of the node's address is taken towards that backend",
  NO_FIB: 'the node has no route to where the translated packet goes',
  IS_CLUSTER_IP: 'a cluster IP is not there for clients outside of the cluster',
  NOT_IN_SOURCE_RANGE: "the client is in none of the service's loadBalancerSourceRanges",
}

/** Why a service did not take it, and who tells more. */
function serviceTexts({ dropReason, source, destination, protocol }: Flow): string[] {
  const sentence = SERVICE_REASONS[dropReason ?? '']
  if (sentence === undefined) return []
  const host = destination.address.includes(':') ? `[${destination.address}]` : destination.address
  return [`${sentence}: axoneme services why ${host}:${destination.port}/${protocol}${clientOption(source)}`]
}

function clientOption({ pod, identity, address }: FlowEnd): string {
  if (pod) return ` --from ${pod.namespace}/${pod.name}`
  if (identity === HOST) return ' --from-host'
  return identity === UNKNOWN ? '' : ` --from-outside ${address}`
}

/** Identities: of nobody known, and of the node. */
const UNKNOWN = 0
const HOST = 1

/** One readable line. */
export function flowLine(flow: Flow): string {
  const arrow = flow.isReply ? '<-' : '->'
  const [left, right] = flow.isReply ? [flow.destination, flow.source] : [flow.source, flow.destination]
  const time = flow.time.slice(11, 23)
  return [
    time,
    flow.event.padEnd(6),
    `${protocolText(flow)} ${endText(left)} ${arrow} ${answererText(flow, right)}`,
    verdictText(flow),
    ...serviceTexts(flow),
    ...(flow.verdict === 'AUDIT' ? [`audited: would be denied${denialText(flow)}`] : []),
    ...(flow.verdict !== 'AUDIT' || flow.l7 ? ruleTexts(flow) : []),
    ...(flow.policyLog ?? []).map(text => `log: ${JSON.stringify(text)}`),
    ...(flow.event === 'closed' || flow.event === 'active' ? [volumeText(flow)] : []),
  ].join('  ')
}

function verdictText(flow: Flow): string {
  if (flow.l7) return requestText(flow, flow.l7)
  if (flow.dropReason) return `${flow.verdict} (${flow.dropReason}${flow.direction ? ` ${flow.direction}` : ''})`
  return flow.proxy ? `${flow.verdict} to proxy (${flow.proxy})` : flow.verdict
}

function protocolText(flow: Flow): string {
  if (flow.icmp) return `${flow.protocol} ${flow.icmp.type}/${flow.icmp.code}`
  return flow.tcpFlags?.length ? `${flow.protocol} ${flow.tcpFlags.join(',')}` : flow.protocol
}

function denialText(flow: Flow): string {
  if (flow.l7) return ''
  if (flow.isolatedBy?.length) return `: ${isolationText(flow.isolatedBy)}`
  const rule = flow.direction === 'egress' ? flow.egressRule : flow.ingressRule
  return rule ? ` by ${flow.direction}: ${rule.text}` : ''
}

const isolationText = (isolatedBy: readonly string[]): string =>
  `no rule allows it; isolated by ${isolatedBy.join(', ')}`

function ruleTexts(flow: Flow): string[] {
  if (flow.isolatedBy?.length) return [isolationText(flow.isolatedBy)]
  return (['egress', 'ingress'] as const).flatMap(side => {
    const rule = side === 'egress' ? flow.egressRule : flow.ingressRule
    return rule ? [`${side}: ${rule.text}${rule.field ? ` ${rule.field}` : ''}`] : []
  })
}

const volumeText = ({ packets = [0, 0], bytes = [0, 0] }: Flow): string =>
  `${packets[0]}+${packets[1]} packets, ${bytes[0]}+${bytes[1]} bytes`
