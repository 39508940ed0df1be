// A flow: one record of the kernel in words, with names instead of addresses and
// numbers. The same object is the API's answer, a line of `axoneme observe -o json`
// and what tests read. Pure.

/** One side of a flow. */
export type FlowEnd = {
  readonly address: string
  /** Absent where the protocol has none, and where a socket was refused before it had one. */
  readonly port?: number
  readonly identity: number
  /** Short name of the identity, such as `default/web` or `world 10.0.0.0/8`. */
  readonly identityName: string
  readonly labels: readonly string[]
  readonly pod?: { readonly namespace: string; readonly name: string }
}

/** Which rule decided for one direction. `text` names policy, place and line, or says that nothing isolates. */
export type FlowRule = { readonly number: number; readonly text: string }

/** A port of a service. `portName` is empty where its only port has no name. */
export type FlowService = {
  readonly namespace: string
  readonly name: string
  readonly port: number
  readonly portName: string
}

export type Flow = {
  /** RFC 3339, with microseconds. */
  readonly time: string
  readonly node: string
  /** As in Hubble: FORWARDED, DROPPED, AUDIT (it passed, and an audited policy would have denied it), … */
  readonly verdict: string
  /** Why this record was made. */
  readonly event: 'new' | 'active' | 'closed' | 'drop' | 'related' | 'unknown'
  readonly source: FlowEnd
  readonly destination: FlowEnd
  /** That the connection was opened to; `destination` is the backend that it got. */
  readonly destinationService?: FlowService
  /** The same of a reply: `source` is the backend. */
  readonly sourceService?: FlowService
  readonly protocol: string
  readonly family: 4 | 6
  readonly tcpFlags?: readonly string[]
  readonly icmp?: { readonly type: number; readonly code: number }
  readonly isReply: boolean
  /** Why it was dropped; of AUDIT: why it would have been. */
  readonly dropReason?: string
  /** Whose policy decided that: that of the pod it leaves (egress) or of the pod it is for (ingress). */
  readonly direction?: 'ingress' | 'egress'
  readonly egressRule?: FlowRule
  readonly ingressRule?: FlowRule
  /** For a default deny: what isolates the pod, policies or the mode of the agent. */
  readonly isolatedBy?: readonly string[]
  /** What the rules that decided have to say: of a denial the one that denies, else those of both directions. */
  readonly policyLog?: readonly string[]
  /** Of the whole connection so far, [sent by its opener, by the other side]. */
  readonly packets: readonly [number, number]
  readonly bytes: readonly [number, number]
}

/** Which flows somebody wants to see; what is left out does not matter. */
export type FlowFilter = {
  /** `namespace/name` of a pod at either end. */
  readonly pod?: string
  readonly verdict?: string
  /** `namespace/name` of the service that the connection was opened to. */
  readonly service?: string
}

export function isWanted(flow: Flow, { pod, verdict, service }: FlowFilter): boolean {
  if (verdict !== undefined && flow.verdict !== verdict) return false
  const opened = serviceOf(flow)
  if (service !== undefined && (!opened || `${opened.namespace}/${opened.name}` !== service)) return false
  if (pod === undefined) return true
  return [flow.source, flow.destination].some(end => end.pod && `${end.pod.namespace}/${end.pod.name}` === pod)
}

/** `default/web` for a pod, `world 1.2.3.4` for an address outside, `host` for the node. */
export function endText(end: FlowEnd): string {
  const name = end.pod ? `${end.pod.namespace}/${end.pod.name}` : `${end.identityName} ${end.address}`
  return end.port === undefined ? name : `${name}:${end.port}`
}

/** The service that the flow's connection was opened to. */
const serviceOf = ({ sourceService, destinationService }: Flow): FlowService | undefined =>
  destinationService ?? sourceService

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
  const reason = [flow.verdict, flow.dropReason && `(${flow.dropReason}${flow.direction ? ` ${flow.direction}` : ''})`]
  return [
    time,
    flow.event.padEnd(6),
    `${protocolText(flow)} ${endText(left)} ${arrow} ${answererText(flow, right)}`,
    reason.filter(Boolean).join(' '),
    ...serviceTexts(flow),
    ...(flow.verdict === 'AUDIT' ? [`audited: would be denied${denialText(flow)}`] : ruleTexts(flow)),
    ...(flow.policyLog ?? []).map(text => `log: ${JSON.stringify(text)}`),
    ...(flow.event === 'closed' || flow.event === 'active' ? [volumeText(flow)] : []),
  ].join('  ')
}

function protocolText(flow: Flow): string {
  if (flow.icmp) return `${flow.protocol} ${flow.icmp.type}/${flow.icmp.code}`
  return flow.tcpFlags?.length ? `${flow.protocol} ${flow.tcpFlags.join(',')}` : flow.protocol
}

function denialText(flow: Flow): string {
  if (flow.isolatedBy?.length) return `: ${isolationText(flow.isolatedBy)}`
  const rule = flow.direction === 'egress' ? flow.egressRule : flow.ingressRule
  return rule ? ` by ${flow.direction}: ${rule.text}` : ''
}

const isolationText = (isolatedBy: readonly string[]): string =>
  `no rule allows it; isolated by ${isolatedBy.join(', ')}`

function ruleTexts(flow: Flow): string[] {
  if (flow.isolatedBy?.length) return [isolationText(flow.isolatedBy)]
  const parts: string[] = []
  if (flow.egressRule) parts.push(`egress: ${flow.egressRule.text}`)
  if (flow.ingressRule) parts.push(`ingress: ${flow.ingressRule.text}`)
  return parts
}

const volumeText = ({ packets, bytes }: Flow): string =>
  `${packets[0]}+${packets[1]} packets, ${bytes[0]}+${bytes[1]} bytes`
