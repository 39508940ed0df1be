// Explains a flow, as `axoneme observe -o json` prints it: the same connection asked
// again of the policies that are there now, and what is different since.

import * as z from 'zod'
import { formatIp, parseIp } from '../../ip/index.ts'
import { PROTOCOLS, protocolNumber } from '../../labels/index.ts'
import type { Cluster, End } from '../cluster/cluster.ts'
import type { Outcome } from '../cluster/judge.ts'
import { podName } from '../cluster/reach.ts'
import { explain } from './explain.ts'
import type { Explanation } from './explanation.ts'
import { icmpFamily } from './icmp-types.ts'
import { type Question, QuestionError } from './question.ts'
import { endName } from './views.ts'

const endSchema = z.object({
  address: z.string().refine(text => parseIp(text) !== undefined, 'must be an IP address'),
  port: z.int().min(0).max(65535).optional(),
  identityName: z.string().optional(),
  pod: z.object({ namespace: z.string(), name: z.string() }).optional(),
})

const flowSchema = z.object({
  source: endSchema,
  destination: endSchema,
  protocol: z.string(),
  icmp: z.object({ type: z.int().min(0).max(255) }).optional(),
  isReply: z.boolean().default(false),
  verdict: z.string(),
  dropReason: z.string().optional(),
})

type Flow = z.output<typeof flowSchema>
type FlowEnd = Flow['source']

/**
 * Explains the connection that a flow is of, by the policies that are there now, and notes what is different since.
 * @param value the flow as parsed JSON
 * @throws QuestionError when it is none
 */
export function explainFlow(cluster: Cluster, value: unknown): Explanation {
  const parsed = flowSchema.safeParse(value)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new QuestionError(
      `this is no flow of \`axoneme observe -o json\`: ${issue?.path.join('.') || 'it'}: ${issue?.message}`,
    )
  }
  const flow = parsed.data
  const notes: string[] = []
  const question = questionOf(cluster, flow, notes)
  const explanation = explain(cluster, question)
  return { ...explanation, notes: [...explanation.notes, ...notes, ...verdictNotes(flow, explanation.verdict)] }
}

function questionOf(cluster: Cluster, flow: Flow, notes: string[]): Question {
  // What is judged is the connection as it was opened; a reply goes the other way.
  const [opener, other] = flow.isReply ? [flow.destination, flow.source] : [flow.source, flow.destination]
  const protocol = protocolNumber(flow.protocol)
  if (protocol === undefined) throw new QuestionError(`flows of ${flow.protocol} are not explained`)
  const port = icmpFamily(protocol) ? icmpRequest(protocol, flow) : other.port
  if (port === undefined) throw new QuestionError(`the flow says no port of ${flow.protocol}`)
  const from = endOf(cluster, opener, notes)
  const to = endOf(cluster, other, notes)
  return { from: asNode(from, opener, to), to: asNode(to, other, from), protocol, port }
}

/** The type that a connection was opened with: that of the question to an answer. */
function icmpRequest(protocol: number, { icmp, isReply }: Flow): number | undefined {
  if (!isReply || !icmp) return icmp?.type
  const [request, reply] = protocol === PROTOCOLS.ICMP ? [8, 0] : [128, 129]
  return icmp.type === reply ? request : icmp.type
}

function endOf(cluster: Cluster, { address: text, pod }: FlowEnd, notes: string[]): End {
  const address = parseIp(text)
  if (!address) throw new QuestionError(`"${text}" is no IP address`)
  const there = cluster.endAt(address)
  if (!pod || (there.kind === 'pod' && podName(there.pod) === podName(pod))) return there
  const known = cluster.content.pods.find(each => podName(each) === podName(pod))
  const now = known && cluster.endOf(known, address.family)
  if (now) {
    notes.push(`pod ${podName(pod)} had ${text} and has ${formatIp(now.address.bytes)} now`)
    return now
  }
  const who = there.kind === 'world' ? 'nobody of the cluster' : endName(there)
  notes.push(`pod ${podName(pod)} is not there any more; ${text} is of ${who} now`)
  return there
}

/** Where no Node object tells whose address it is, the flow may: of the node itself. */
function asNode(end: End, { identityName }: FlowEnd, other: End): End {
  if (end.kind !== 'world' || identityName !== 'host' || other.kind !== 'pod') return end
  return { kind: 'node', node: other.pod.node, address: end.address }
}

const OUTCOMES: Readonly<Record<string, Outcome>> = {
  FORWARDED: 'allowed',
  REDIRECTED: 'judged',
  DROPPED: 'denied',
  AUDIT: 'audited',
}
const BY_POLICY: ReadonlySet<string> = new Set(['POLICY_DENIED', 'POLICY_DENY'])

function verdictNotes({ verdict, dropReason }: Flow, now: Outcome): string[] {
  if (dropReason !== undefined && !BY_POLICY.has(dropReason))
    return [`the packet was dropped for ${dropReason}, which no policy decides; this is what policies say of it`]
  const then = OUTCOMES[verdict]
  if (then === undefined || then === now) return []
  return [`the flow was ${then} and is ${now} now: policies, labels or addresses have changed since`]
}
