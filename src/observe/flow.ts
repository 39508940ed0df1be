// A flow: one record of the kernel or of a proxy in words, with names instead of
// addresses and numbers. The same object is the API's answer, a line of `axoneme
// observe -o json` and what tests read. Pure.

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
export type FlowRule = {
  readonly number: number
  readonly text: string
  /** Of a request: the field in the rule that allows it, such as `rules.http[1]`. */
  readonly field?: string
}

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
  /** As in Hubble: of a packet, or of what was said on a connection. */
  readonly type: 'L3_L4' | 'L7'
  /** As in Hubble: FORWARDED, DROPPED, REDIRECTED (to a proxy), AUDIT (it passed, and an audited policy would have denied it), … */
  readonly verdict: string
  /** Why this record was made. */
  readonly event: 'new' | 'active' | 'closed' | 'drop' | 'related' | 'l7' | 'unknown'
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
  /** Who judges what is said on the connection, such as `HTTP`; absent: nobody. */
  readonly proxy?: string
  /** Of packets. Of the whole connection so far, [sent by its opener, by the other side]. */
  readonly packets?: readonly [number, number]
  readonly bytes?: readonly [number, number]
  /** What was said. */
  readonly l7?: FlowL7
}

/** One request, question or connection that a proxy has judged. Fields are named as in Hubble. */
export type FlowL7 = {
  /** Without an answer it is told as a request; so is what Kafka's broker answers, for that is not read. */
  readonly type: 'REQUEST' | 'RESPONSE'
  readonly latencyNs?: number
  /** Of what was refused or went wrong: why, where no rule says it. */
  readonly reason?: string
  /** Of a denied request: the rule that comes nearest to allowing it. */
  readonly nearestRule?: FlowNearestRule
  /** Headers that were not as the rule wants and that it lets pass. */
  readonly mismatchedHeaders?: readonly string[]
  readonly http?: FlowHttp
  readonly dns?: FlowDns
  readonly kafka?: FlowKafka
  readonly tls?: { readonly serverName: string }
}

/** `text` and `field` as in `FlowRule`; `because` says what it misses: `wants` and `has` in words. */
export type FlowNearestRule = {
  readonly text: string
  readonly field: string
  readonly because: readonly { readonly part: string; readonly wants: string; readonly has: string }[]
}

export type FlowHttp = {
  /** Status of the answer. */
  readonly code?: number
  readonly method: string
  readonly url: string
  readonly protocol: string
  readonly headers?: readonly { readonly key: string; readonly value: string }[]
  readonly grpcStatus?: number
}

export type FlowDns = {
  readonly query: string
  readonly qtypes: readonly string[]
  readonly ips?: readonly string[]
  /** Seconds. */
  readonly ttl?: number
  readonly cnames?: readonly string[]
  readonly rcode?: number
  readonly observationSource: 'proxy'
}

export type FlowKafka = {
  /** Name of the request, such as `produce`. */
  readonly apiKey: string
  readonly apiVersion: number
  readonly correlationId: number
  readonly errorCode?: number
  readonly topic?: string
  readonly clientId?: string
}

/** `default/web` for a pod, `world 1.2.3.4` for an address outside, `host` for the node. */
export function endText(end: FlowEnd): string {
  const name = end.pod ? `${end.pod.namespace}/${end.pod.name}` : `${end.identityName} ${end.address}`
  return end.port === undefined ? name : `${name}:${end.port}`
}

/** The service that the flow's connection was opened to. */
export const serviceOf = ({ sourceService, destinationService }: Flow): FlowService | undefined =>
  destinationService ?? sourceService
