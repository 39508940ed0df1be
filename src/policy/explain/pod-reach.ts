// All that may reach a pod and all that it may reach: every kind of peer with the ports
// that are open to it, the rules that open them, and what closes the rest. Peers with
// the same answer stand together.

import { formatIp } from '../../ip/index.ts'
import type { Cluster, ClusterPod } from '../cluster/cluster.ts'
import { type Outcome, outcomeOf } from '../cluster/judge.ts'
import { joinPorts, OTHER_PROTOCOLS, portClassText } from '../cluster/port-classes.ts'
import { podName } from '../cluster/reach.ts'
import type { ConnectionVerdict, Judgement } from '../engine/evaluate.ts'
import type { Direction, Unenforced } from '../model/rule.ts'
import { specsSelecting } from './cluster-index.ts'
import type { Decision, ExplainedEnd, PolicyView } from './explanation.ts'
import { type PeerKind, type PeerView, peersOf } from './pod-peers.ts'
import { type PortPiece, portPieces } from './pod-ports.ts'
import { QuestionError } from './question.ts'
import { decisionOf } from './sides.ts'
import { endView, policyView } from './views.ts'

/** All that may reach a pod and that it may reach. */
export type PodReach = {
  readonly pod: ExplainedEnd
  readonly addresses: readonly string[]
  /** Who may open connections to the pod. */
  readonly ingress: DirectionReach
  /** To whom the pod may. */
  readonly egress: DirectionReach
  /** Fields that are not enforced yet, of the policies that select the pod. */
  readonly unenforced: readonly (Unenforced & { readonly policy: PolicyView })[]
}

/** One direction of it. */
export type DirectionReach = {
  /** Policies that deny what no rule allows. */
  readonly isolatedBy: readonly PolicyView[]
  /** Those that something is open to come first. */
  readonly groups: readonly PeerGroup[]
}

/** Peers that the same is open to, by the same rules. */
export type PeerGroup = { readonly peers: readonly PeerView[]; readonly answers: readonly PortAnswer[] }

/** Ports that the same is said of, and by what. */
export type PortAnswer = {
  /** Such as `8080/TCP` or `ICMP`; the last answer has `everything else`, or `everything`. */
  readonly ports: readonly string[]
  readonly verdict: Outcome
  /** Undefined where no policy is asked. */
  readonly egress?: Decision | undefined
  readonly ingress?: Decision | undefined
}

/** Tells all that may reach a pod and that it may reach, in groups. @throws QuestionError when it has no address of its own */
export function explainPod(cluster: Cluster, pod: ClusterPod): PodReach {
  const end = cluster.endOf(pod)
  if (!end) throw new QuestionError(`pod ${podName(pod)} has no address, so nothing can reach it yet`)
  if (end.kind !== 'pod')
    throw new QuestionError(`pod ${podName(pod)} is on the network of its node: no policy applies to it`)
  const peers = peersOf(cluster, pod)
  return {
    pod: endView(end, cluster.podLabels(pod)),
    addresses: pod.addresses.map(({ bytes }) => formatIp(bytes)),
    ingress: directionReach(cluster, pod, peers, 'ingress'),
    egress: directionReach(cluster, pod, peers, 'egress'),
    unenforced: [...new Set(specsSelecting(cluster, cluster.podLabels(pod)).map(({ policy }) => policy))].flatMap(
      ({ ref, unenforced = [] }) => unenforced.map(field => ({ ...field, policy: policyView(ref) })),
    ),
  }
}

function directionReach(
  cluster: Cluster,
  pod: ClusterPod,
  peers: readonly PeerKind[],
  direction: Direction,
): DirectionReach {
  const groups = new Map<string, { readonly peers: PeerView[]; readonly answers: readonly PortAnswer[] }>()
  for (const { own, peer, view } of peers) {
    const [from, to] = direction === 'ingress' ? [peer, own] : [own, peer]
    const answers = answersOf(cluster, portPieces(cluster, from, to))
    const key = JSON.stringify(answers)
    const known = groups.get(key)
    if (known) known.peers.push(view)
    else groups.set(key, { peers: [view], answers })
  }
  const own = cluster.endOf(pod)
  const isolatedBy = (own && cluster.party(own).policy?.isolatedBy[direction]) ?? []
  const openness = ({ answers }: PeerGroup): number => (answers.some(({ verdict }) => verdict !== 'denied') ? 0 : 1)
  return {
    isolatedBy: isolatedBy.map(policyView),
    groups: [...groups.values()].sort((a, b) => openness(a) - openness(b)),
  }
}

/** Pieces that say the same together; those that say what every unnamed protocol gets come last. */
function answersOf(cluster: Cluster, pieces: readonly PortPiece[]): PortAnswer[] {
  const byAnswer = new Map<string, { readonly answer: Omit<PortAnswer, 'ports'>; readonly pieces: PortPiece[] }>()
  for (const piece of pieces) {
    const answer = answerOf(cluster, piece.verdict)
    const key = JSON.stringify(answer)
    const known = byAnswer.get(key)
    if (known) known.pieces.push(piece)
    else byAnswer.set(key, { answer, pieces: [piece] })
  }
  const isRest = ({ pieces: those }: { readonly pieces: readonly PortPiece[] }): boolean =>
    those.some(({ protocolName }) => protocolName === OTHER_PROTOCOLS)
  const all = [...byAnswer.values()].sort((a, b) => Number(isRest(a)) - Number(isRest(b)))
  return all.map(same => ({
    ports: isRest(same)
      ? [all.length > 1 ? 'everything else' : 'everything']
      : joinPorts(same.pieces).map(portClassText),
    ...same.answer,
  }))
}

function answerOf(cluster: Cluster, verdict: ConnectionVerdict): Omit<PortAnswer, 'ports'> {
  const decision = (judgement: Judgement | undefined): Decision | undefined =>
    judgement && decisionOf(cluster, judgement)
  const [egress, ingress] = [decision(verdict.egress), decision(verdict.ingress)]
  return { verdict: outcomeOf(verdict), ...(egress && { egress }), ...(ingress && { ingress }) }
}
