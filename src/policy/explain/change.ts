// The smallest change that turns a verdict round: policy objects that name the two ends
// as narrowly as their labels permit and the port exactly. Each is tried by the engine
// before it is offered, and what else it changes is told.

import { identityName, matches, protocolName } from '../../labels/index.ts'
import type { Cluster, ClusterPod } from '../cluster/cluster.ts'
import { isOpened } from '../cluster/judge.ts'
import { NETWORK_POLICY_KIND } from '../kinds/kubernetes/network-policy.ts'
import { readPolicy } from '../kinds/read-policy.ts'
import { DIRECTIONS, type Direction, type Policy, policyName } from '../model/rule.ts'
import { type Candidate, candidatesFor, type Goal, networkPolicyRule, type Wanted } from './change-candidates.ts'
import { ChangeTrial } from './change-effects.ts'
import { type PodTarget, type Target, targetOf } from './change-targets.ts'
import { podGroups, specsSelecting } from './cluster-index.ts'
import type { AddedRule, Change, Explanation, JudgedSide, RuleView } from './explanation.ts'
import { icmpFamily } from './icmp-types.ts'
import type { Question } from './question.ts'
import { policyView } from './views.ts'
import { yamlText } from './yaml-text.ts'

type Sides = Pick<Explanation, 'verdict' | Direction>

/** What would turn the verdict of a connection round. */
export function findChange(cluster: Cluster, question: Question, sides: Sides): Change {
  const goal: Goal = isOpened(sides.verdict) ? 'deny' : 'allow'
  if (DIRECTIONS.some(direction => isUnjudged(sides[direction], 'itself')))
    return { to: goal, possible: false, because: 'what a pod sends to itself never leaves it' }
  const targets = {
    from: targetOf(cluster, question.from, question.world === 'from'),
    to: targetOf(cluster, question.to, question.world === 'to'),
  }
  const wanted = DIRECTIONS.flatMap(
    direction => wantedOf(cluster, question, direction, sides[direction], goal, targets) ?? [],
  )
  if (wanted.length === 0) return { to: goal, possible: false, because: whyNone(sides) }
  const trial = new ChangeTrial(cluster, question, targets.from, targets.to)
  const found = findObjects(cluster, trial, wanted)
  if (!found) return { to: goal, possible: false, because: whyNotFound(goal, wanted) }
  const objects = found.map(({ object }) => object)
  const effects = trial.effects(found.map(({ policy }) => policy))
  return {
    to: goal,
    possible: true,
    objects,
    yaml: objects.map(yamlText).join('---\n'),
    also: effects.also,
    alsoCount: effects.alsoCount,
    world: question.world !== undefined,
    instead: goal === 'allow' ? wanted.flatMap(each => addedRule(cluster, each) ?? []) : [],
  }
}

const isUnjudged = (side: Explanation[Direction], because: string): boolean => !side.judged && side.because === because

/** Undefined where this end cannot, or need not, say otherwise. */
function wantedOf(
  cluster: Cluster,
  { from, to, protocol, port }: Question,
  direction: Direction,
  side: Explanation[Direction],
  goal: Goal,
  targets: { readonly from: Target; readonly to: Target },
): Wanted | undefined {
  const [end, subject, peer] =
    direction === 'egress' ? [from, targets.from, targets.to] : [to, targets.to, targets.from]
  if (!side.judged || end.kind !== 'pod' || subject.kind !== 'pod') return undefined
  if (goal === 'allow' && isOpened(side.verdict)) return undefined
  const isolation = isolationOf(cluster, direction, subject)
  return { goal, direction, pod: end.pod, subject, peer, protocol, port, side, isolation }
}

/** What holds for all of the pods. */
function isolationOf(cluster: Cluster, direction: Direction, { groups }: PodTarget): Wanted['isolation'] {
  const all = groups.map(({ labels }): Wanted['isolation'] => {
    const isolating = specsSelecting(cluster, labels).filter(({ spec }) => spec.isolates[direction])
    if (isolating.length === 0) return 'none'
    return isolating.every(({ spec }) => spec.audit) ? 'audited' : 'enforced'
  })
  const [first = 'none'] = all
  return all.every(one => one === first) ? first : 'none'
}

type Made = { readonly object: PolicyObject; readonly policy: Policy }

type PolicyObject = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly annotations?: Candidate['annotations']
  }
  readonly spec: object
}

/** An allowance needs every end that denies, a denial one of them. */
function findObjects(cluster: Cluster, trial: ChangeTrial, wanted: readonly Wanted[]): Made[] | undefined {
  const isDenial = wanted[0]?.goal === 'deny'
  const isBoth = !isDenial && wanted.length > 1
  const found: Made[] = []
  for (const each of wanted) {
    const made = candidatesFor(each)
      .map(candidate => makePolicy(cluster, each, candidate, isBoth))
      .find(made => made && trial.verdict([made.policy])[each.direction] === (isDenial ? 'denied' : 'allowed'))
    if (made && isDenial) return [made]
    if (made) found.push(made)
    else if (!isDenial) return undefined
  }
  return isDenial ? undefined : found
}

/** Undefined for a kind that is not known here, or a field that is not enforced. */
function makePolicy(
  cluster: Cluster,
  wanted: Wanted,
  { apiVersion, kind, namespace, annotations, spec }: Candidate,
  isBoth: boolean,
): Made | undefined {
  const metadata = {
    name: freeName(cluster, nameFor(cluster, wanted, isBoth), kind, namespace),
    ...(namespace && { namespace }),
    ...(annotations && { annotations }),
  }
  const object = { apiVersion, kind, metadata, spec }
  const read = readPolicy({
    apiVersion,
    kind,
    metadata: { labels: {}, annotations: {}, ...metadata },
    content: object,
    origin: { file: '', line: 0 },
    source: { start: NOWHERE, end: NOWHERE },
    position: () => NOWHERE,
  })
  return read?.value && !read.value.unenforced?.length ? { object, policy: read.value } : undefined
}

const NOWHERE = { line: 0, column: 0 }

function freeName(cluster: Cluster, name: string, kind: string, namespace: string): string {
  const taken = new Set(
    cluster.content.policies
      .filter(({ ref }) => ref.kind === kind && ref.namespace === namespace)
      .map(({ ref }) => ref.name),
  )
  let free = name
  for (let i = 2; taken.has(free); i++) free = `${name}-${i}`
  return free
}

/** Such as `allow-frontend-to-cart-8080-tcp`. */
function nameFor(cluster: Cluster, { goal, direction, pod, peer, protocol, port }: Wanted, both: boolean): string {
  const own = podWord(cluster, pod)
  const other = peer.kind === 'world' ? 'world' : endWord(cluster, peer)
  const [from, to] = direction === 'egress' ? [own, other] : [other, own]
  const parts = [goal, from, 'to', to, port, protocolName(protocol), ...(both ? [direction] : [])]
  const name = parts
    .join('-')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
  return name.slice(0, 200).replace(/-+$/, '')
}

const endWord = (cluster: Cluster, peer: Exclude<Target, { readonly kind: 'world' }>): string => {
  if (peer.kind === 'address') return peer.cidr.replace(/\/.*/, '')
  const pod = peer.groups[0]?.pods[0]
  return pod ? podWord(cluster, pod) : peer.namespace
}

/** Name of the application, as labels tell it, else of the pod. */
function podWord(cluster: Cluster, pod: ClusterPod): string {
  const word = identityName(cluster.podLabels(pod)).split('/').slice(1).join('/')
  return word === '*' || word.includes('=') ? pod.name : word
}

/** The same by one more rule in a NetworkPolicy that selects just these pods. */
function addedRule(cluster: Cluster, wanted: Wanted): AddedRule | undefined {
  const { direction, subject, isolation, side, pod } = wanted
  const rule = networkPolicyRule(wanted)
  if (!rule || isolation !== 'enforced' || side.decision.kind !== 'default-deny') return undefined
  const others = [...podGroups(cluster, subject.namespace)].filter(group => !subject.groups.includes(group))
  const found = specsSelecting(cluster, cluster.podLabels(pod)).find(
    ({ spec, policy }) =>
      policy.ref.kind === NETWORK_POLICY_KIND &&
      spec.isolates[direction] &&
      !spec.audit &&
      subject.groups.every(({ labels }) => matches(spec.subject, labels)) &&
      !others.some(({ labels }) => matches(spec.subject, labels)),
  )
  return found && { policy: policyView(found.policy.ref), path: `spec.${direction}`, yaml: yamlText([rule]) }
}

function whyNone(sides: Sides): string {
  if (sides.verdict === 'denied' && DIRECTIONS.every(direction => sides[direction].judged))
    return 'each end allows it, with rules that no proxy can judge by at once; give both ends rules of one protocol, with the same TLS, or one end none'
  if (isUnjudged(sides.ingress, 'own-node')) return "a process of a pod's own node always reaches it"
  return 'no policy applies to either end: nodes, pods on their network and the world have none'
}

function whyNotFound(goal: Goal, wanted: readonly Wanted[]): string {
  const [first] = wanted
  if (first?.peer.kind === 'address' && !first.peer.isWorld) {
    if (icmpFamily(first.protocol))
      return 'what names one node, its address, cannot name types of ICMP; the entities host and remote-node of a Cilium policy can, for every such node'
    if (goal === 'deny') return 'no kind of policy can deny what the address of a node alone sends'
  }
  const [rule] = wanted.flatMap(({ side }) => decidingRule(side) ?? [])
  if (!rule) return 'no kind of policy can name just this connection'
  const does = goal === 'allow' ? 'denies' : 'allows'
  return `no policy that can be added stands above ${policyName(rule.policy)} ${rule.path}, which ${does} it; change that rule`
}

const decidingRule = ({ decision }: JudgedSide): RuleView | undefined =>
  decision.kind === 'rule' ? decision.rule : undefined
