// What policies that are added would change: asked of the engine, with a small cluster
// of one pod of each kind that they may concern, so that it costs next to nothing in a
// large one.

import { namedPortTexts } from '../../labels/index.ts'
import { Cluster, type ClusterPod, type End } from '../cluster/cluster.ts'
import { type Outcome, outcomeOf, outcomeOfSide } from '../cluster/judge.ts'
import type { ConnectionVerdict } from '../engine/evaluate.ts'
import type { Direction, Policy } from '../model/rule.ts'
import type { Target } from './change-targets.ts'
import { specsSelecting } from './cluster-index.ts'
import type { Flip } from './explanation.ts'
import type { Question } from './question.ts'
import { endName } from './views.ts'

/** Most changes that are listed. */
const LISTED = 50

export type Effects = { readonly also: readonly Flip[]; readonly alsoCount: number }

/** Ends that are alike for every policy, old or new. */
type Group = { readonly family: 4 | 6; readonly ends: readonly End[] }

/** The connections that a change of policies for two targets may concern, and their verdicts now. */
export class ChangeTrial {
  readonly #cluster: Cluster
  readonly #question: Question
  readonly #groups: readonly [readonly Group[], readonly Group[]]
  readonly #content: Cluster['content']
  readonly #before = new Map<string, Outcome>()

  constructor(cluster: Cluster, question: Question, from: Target, to: Target) {
    this.#cluster = cluster
    this.#question = question
    const byNode = from.kind !== 'pod' || to.kind !== 'pod'
    this.#groups = [groupsOf(cluster, from, question.from, byNode), groupsOf(cluster, to, question.to, byNode)]
    // Two of a group are enough, since a pod is no peer of its own.
    const shown = this.#groups.flat().flatMap(({ ends }) => ends.slice(0, 2))
    this.#content = contentFor(cluster, [question.from, question.to, ...shown])
  }

  /** What either end would say of the connection with these policies too. */
  verdict(added: readonly Policy[]): Readonly<Record<Direction, Outcome>> {
    const { egress, ingress } = this.#judge(this.#with(added), this.#question.from, this.#question.to)
    return { egress: egress ? outcomeOfSide(egress) : 'allowed', ingress: ingress ? outcomeOfSide(ingress) : 'allowed' }
  }

  /** The other connections that these policies would change. */
  effects(added: readonly Policy[]): Effects {
    const after = this.#with(added)
    const { from, to } = this.#question
    const also: Flip[] = []
    let alsoCount = 0
    for (const source of this.#groups[0])
      for (const target of this.#groups[1]) {
        if (source.family !== target.family || !this.#flips(after, source, target)) continue
        for (const [a, b] of pairs(source, target)) {
          if (a === from && b === to) continue
          alsoCount++
          if (also.length < LISTED) also.push({ from: endName(a), to: endName(b), family: source.family })
        }
      }
    return { also, alsoCount }
  }

  #flips(after: Cluster, source: Group, target: Group): boolean {
    const [pair] = pairs(source, target)
    if (!pair) return false
    const key = `${this.#groups[0].indexOf(source)} ${this.#groups[1].indexOf(target)}`
    const before = this.#before.get(key) ?? this.#ask(this.#cluster, ...pair)
    this.#before.set(key, before)
    return before !== this.#ask(after, ...pair)
  }

  #with(added: readonly Policy[]): Cluster {
    return new Cluster({ ...this.#content, policies: [...this.#content.policies, ...added] })
  }

  #ask(cluster: Cluster, from: End, to: End): Outcome {
    return outcomeOf(this.#judge(cluster, from, to))
  }

  #judge(cluster: Cluster, from: End, to: End): ConnectionVerdict {
    const { protocol, port } = this.#question
    return cluster.verdict(cluster.endAt(from.address), cluster.endAt(to.address), protocol, port)
  }
}

/** A pod's way to itself is judged by nobody. */
function* pairs(source: Group, target: Group): Generator<[End, End]> {
  for (const from of source.ends)
    for (const to of target.ends) if (from.kind !== 'pod' || to.kind !== 'pod' || from.pod !== to.pod) yield [from, to]
}

function groupsOf(cluster: Cluster, target: Target, asked: End, byNode: boolean): Group[] {
  if (target.kind !== 'pod') return [{ family: asked.address.family, ends: [asked] }]
  const groups = new Map<string, { family: 4 | 6; ends: End[] }>()
  for (const pod of target.groups.flatMap(({ pods }) => pods))
    for (const family of [4, 6] as const) {
      const end = cluster.endOf(pod, family)
      if (!end) continue
      const ports = namedPortTexts(pod.namedPorts).join()
      const key = [family, cluster.addressLabels(end).key, ports, byNode ? pod.node : ''].join('\n')
      const known = groups.get(key)
      if (known) known.ends.push(end)
      else groups.set(key, { family, ends: [end] })
    }
  return [...groups.values()]
}

/** The cluster of these ends alone, with their nodes and the policies that select them. */
function contentFor(cluster: Cluster, ends: readonly End[]): Cluster['content'] {
  const { content } = cluster
  const pods = new Set<ClusterPod>()
  const names = new Set<string>()
  for (const end of ends) {
    if (end.kind === 'pod') pods.add(end.pod)
    if (end.kind !== 'world') names.add(end.kind === 'pod' ? end.pod.node : end.node)
  }
  const subjects = new Map([...pods].map(pod => [cluster.podLabels(pod).key, cluster.podLabels(pod)]))
  const policies = new Set(
    [...subjects.values()].flatMap(labels => specsSelecting(cluster, labels)).map(each => each.policy),
  )
  const nodes = content.nodes.filter(({ name }) => names.has(name))
  return { ...content, pods: [...pods], nodes, policies: [...policies] }
}
