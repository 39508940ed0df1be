// A flow: one record of the kernel in words, with names instead of addresses and
// numbers. The same object is the API's answer, a line of `axoneme observe -o json`
// and what tests read. Pure.

/** One side of a flow. */
export type FlowEnd = {
  readonly address: string
  /** Absent where the protocol has none. */
  readonly port?: number
  readonly identity: number
  /** Short name of the identity, such as `default/web` or `world 10.0.0.0/8`. */
  readonly identityName: string
  readonly labels: readonly string[]
  readonly pod?: { readonly namespace: string; readonly name: string }
}

/** Which rule decided for one direction. `text` names policy, place and line, or says that nothing isolates. */
export type FlowRule = { readonly number: number; readonly text: string }

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
}

export function isWanted(flow: Flow, { pod, verdict }: FlowFilter): boolean {
  if (verdict !== undefined && flow.verdict !== verdict) return false
  if (pod === undefined) return true
  return [flow.source, flow.destination].some(end => end.pod && `${end.pod.namespace}/${end.pod.name}` === pod)
}

/** `default/web` for a pod, `world 1.2.3.4` for an address outside, `host` for the node. */
export function endText(end: FlowEnd): string {
  const name = end.pod ? `${end.pod.namespace}/${end.pod.name}` : `${end.identityName} ${end.address}`
  return end.port === undefined ? name : `${name}:${end.port}`
}

/** One readable line. */
export function flowLine(flow: Flow): string {
  const arrow = flow.isReply ? '<-' : '->'
  const [left, right] = flow.isReply ? [flow.destination, flow.source] : [flow.source, flow.destination]
  const time = flow.time.slice(11, 23)
  const reason = [flow.verdict, flow.dropReason && `(${flow.dropReason}${flow.direction ? ` ${flow.direction}` : ''})`]
  return [
    time,
    flow.event.padEnd(6),
    `${protocolText(flow)} ${endText(left)} ${arrow} ${endText(right)}`,
    reason.filter(Boolean).join(' '),
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
