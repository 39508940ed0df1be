// Why a connection is allowed or denied: the verdict, what decides it at either end,
// what else matches or nearly does, and the smallest change that would turn it round.

import { protocolName } from '../../labels/index.ts'
import type { Cluster, End } from '../cluster/cluster.ts'
import { isOwnNode } from '../cluster/cluster.ts'
import { isOpened, outcomeOf } from '../cluster/judge.ts'
import { type ConnectionVerdict, type Judgement, rulesOf } from '../engine/evaluate.ts'
import { DIRECTIONS, type Direction, policyName } from '../model/rule.ts'
import { findChange } from './change.ts'
import { specsSelecting } from './cluster-index.ts'
import type { Explanation, Side, Unjudged } from './explanation.ts'
import type { Question } from './question.ts'
import { explainSide } from './sides.ts'
import { endView } from './views.ts'

/** Explains one connection of a cluster. */
export function explain(cluster: Cluster, question: Question): Explanation {
  const { from, to, protocol, port } = question
  const verdict = cluster.verdict(from, to, protocol, port)
  const isItself = from.kind === 'pod' && to.kind === 'pod' && from.pod === to.pod
  const sideOf = (direction: Direction): Side => {
    const [end, peer] = direction === 'egress' ? [from, to] : [to, from]
    const judgement: Judgement | undefined = verdict[direction]
    if (isItself) return { judged: false, because: 'itself' }
    if (end.kind !== 'pod' || !judgement) return { judged: false, because: whyUnjudged(end, peer) }
    return explainSide({ cluster, pod: end.pod, end, peer, direction, protocol, port }, judgement)
  }
  const [ingress, egress] = DIRECTIONS.map(sideOf) as [Side, Side]
  const sides = { verdict: isItself ? 'allowed' : outcomeOf(verdict), egress, ingress } as const
  return {
    from: endView(from, cluster.addressLabels(from, to)),
    to: endView(to, cluster.addressLabels(to, from)),
    protocol: protocolName(protocol),
    port,
    ...sides,
    notes: [
      ...(verdict.isTorn && !isItself ? [tornNote(verdict)] : []),
      ...DIRECTIONS.flatMap(direction => unenforcedNotes(cluster, question, direction, sides[direction])),
    ],
    change: findChange(cluster, question, sides),
  }
}

/** Of ends that both have rules. */
function tornNote({ egress, ingress }: ConnectionVerdict): string {
  const isTls = rulesOf(egress)?.parser === rulesOf(ingress)?.parser
  const rules = isTls
    ? 'rules that end or begin TLS in different ways'
    : 'rules of different protocols for what is said'
  return `each end allows it, with ${rules}: no proxy can judge by both`
}

function whyUnjudged(end: End, peer: End): Unjudged {
  if (end.kind === 'world') return 'outside'
  return end.kind === 'pod' && isOwnNode(peer, end) ? 'own-node' : 'node'
}

/** Fields that might have let it pass, or deny it only because they are not enforced. */
function unenforcedNotes(cluster: Cluster, { from, to }: Question, direction: Direction, side: Side): string[] {
  const end = direction === 'egress' ? from : to
  if (!side.judged || isOpened(side.verdict) || end.kind !== 'pod') return []
  const policies = new Set(specsSelecting(cluster, cluster.podLabels(end.pod)).map(({ policy }) => policy))
  return [...policies].flatMap(({ ref, unenforced = [] }) =>
    unenforced
      .filter(({ path }) => new RegExp(`\\b${direction}(Deny)?\\[`).test(path))
      .map(({ path, reason }) => `${policyName(ref)}: ${path} is not enforced: ${reason}`),
  )
}
