// Changes for people: pairs that change alike come together, and many pods get one name.

import type { ClusterPod } from '../cluster/cluster.ts'
import { type Decider, deciderText } from '../cluster/deciders.ts'
import { isOpened, type Outcome } from '../cluster/judge.ts'
import { joinPorts, type PortClass, portListText } from '../cluster/port-classes.ts'
import { podName } from '../cluster/reach.ts'
import { l7Meaning } from '../engine/l7-rules.ts'
import type { ClusterDiff, PairChange, PortChange } from './diff-clusters.ts'

/** Everyone in `from` to everyone in `to`, but nobody to himself. */
export type ChangeGroup = {
  readonly from: readonly string[]
  readonly to: readonly string[]
  readonly family?: 4 | 6
  readonly lines: readonly ChangeLine[]
  /** How many pairs it stands for. */
  readonly pairs: number
}

/** Ports that change alike. */
export type ChangeLine = {
  readonly ports: string
  readonly before: Outcome
  readonly after: Outcome
  /** What decides now, or what decided before and is gone; of every pair. */
  readonly because: readonly string[]
}

/** The fewest groups that this finds; the largest first. */
export function groupChanges({ pairs, classes }: ClusterDiff): ChangeGroup[] {
  const alike = Map.groupBy(pairs, ({ family, changes }) => `${family ?? ''} ${changes.map(changeKey).join()}`)
  return [...alike.values()]
    .flatMap(same => rectangles(same).map(({ from, to, members }) => groupOf(from, to, members, classes)))
    .sort((a, b) => b.pairs - a.pairs)
}

const changeKey = ({ protocol, first, last, before, after }: PortChange): string =>
  `${protocol}/${first}-${last} ${before} ${after}`

type Rectangle = {
  readonly from: readonly string[]
  readonly to: readonly string[]
  readonly members: readonly PairChange[]
}

/** Senders that reach the same receivers, and senders that reach each other and the same others. */
function rectangles(pairs: readonly PairChange[]): Rectangle[] {
  const bySender = [...Map.groupBy(pairs, ({ from }) => from)].map(([from, members]) => {
    const to = members.map(member => member.to).sort()
    return { from, members, to, key: to.join('\n'), keyWithSelf: [...to, from].sort().join('\n') }
  })
  const withSelf = Map.groupBy(bySender, ({ keyWithSelf }) => keyWithSelf)
  const [mutual, plain] = [
    [...withSelf.values()].filter(list => list.length > 1),
    [...withSelf.values()].filter(list => list.length === 1).flat(),
  ]
  return [
    ...mutual.map(list => ({ list, to: [...new Set(list.flatMap(({ to }) => to))].sort() })),
    ...[...Map.groupBy(plain, ({ key }) => key).values()].map(list => ({ list, to: list[0]?.to ?? [] })),
  ].map(({ list, to }) => ({ from: list.map(({ from }) => from), to, members: list.flatMap(({ members }) => members) }))
}

function groupOf(
  from: readonly string[],
  to: readonly string[],
  members: readonly PairChange[],
  classes: readonly PortClass[],
): ChangeGroup {
  const byWay = Map.groupBy(
    members.flatMap(({ changes }) => changes),
    ({ before, after }) => `${before} ${after}`,
  )
  const lines = [...byWay.values()].map((changes): ChangeLine => {
    const [{ before, after }] = changes as [PortChange]
    const ports = [...new Map(changes.map(change => [changeKey(change), change])).values()]
    return {
      ports: portListText(joinPorts(ports), classes),
      before,
      after,
      because: [...new Set(changes.flatMap(reasons))],
    }
  })
  const family = members[0]?.family
  return { from, to, ...(family && { family }), lines, pairs: members.length }
}

/** Of the sides whose outcome is another now: what decides, or, where nothing does any more, what did. */
function reasons({ decidersBefore, decidersAfter }: PortChange): string[] {
  const texts = decidersAfter.flatMap(after => {
    const before = decidersBefore.find(({ direction }) => direction === after.direction)
    if (before?.outcome === after.outcome && isJudgedAlike(before, after)) return []
    const isOpen = !after.rule && isOpened(after.outcome)
    return [isOpen && before ? `no longer ${deciderText(before)}` : deciderText(after)]
  })
  const gone = decidersBefore.filter(({ direction }) => !decidersAfter.some(after => after.direction === direction))
  return [...texts, ...gone.map(before => `no longer ${deciderText(before)}`)]
}

const isJudgedAlike = (before: Decider, after: Decider): boolean =>
  before.rules === after.rules ||
  (before.rules !== undefined && after.rules !== undefined && l7Meaning(before.rules) === l7Meaning(after.rules))

/** Short names for sets of places. */
export class PlaceNames {
  readonly #pods: ReadonlyMap<string, ClusterPod>
  readonly #places: readonly string[]

  constructor(pods: readonly ClusterPod[], places: readonly string[]) {
    const known = new Set(places)
    this.#pods = new Map(pods.map(pod => [podName(pod), pod] as const).filter(([name]) => known.has(name)))
    this.#places = places
  }

  /** `every pod`, `shop/*`, `shop app=web (5 pods)`, `shop/cart`; then nodes and prefixes by their names. */
  of(names: readonly string[]): string[] {
    const pods = names.filter(name => this.#pods.has(name))
    const others = names.filter(name => !this.#pods.has(name))
    const allOthers = this.#places.filter(name => !this.#pods.has(name))
    if (names.length > 1 && names.length === this.#places.length) return ['anyone']
    const otherNames = others.length > 2 && others.length === allOthers.length ? ['everybody outside'] : others
    if (pods.length > 1 && pods.length === this.#pods.size) return ['every pod', ...otherNames]
    const byNamespace = Map.groupBy(pods, name => this.#pods.get(name)?.namespace ?? '')
    return [...[...byNamespace].flatMap(([namespace, own]) => this.#inNamespace(namespace, own)), ...otherNames]
  }

  #inNamespace(namespace: string, names: readonly string[]): string[] {
    const all = [...this.#pods].filter(([, pod]) => pod.namespace === namespace)
    if (names.length > 1 && names.length === all.length) return [`${namespace}/*`]
    const byLabel = Map.groupBy(
      all.flatMap(([name, { labels }]) =>
        Object.entries(labels).map(([key, value]) => ({ name, label: `${key}=${value}` })),
      ),
      ({ label }) => label,
    )
    const wholly = [...byLabel]
      .map(([label, list]) => ({ label, own: list.map(({ name }) => name) }))
      .filter(({ own }) => own.length > 1 && own.every(name => names.includes(name)))
      .sort((a, b) => b.own.length - a.own.length)
    const left = new Set(names)
    const texts: string[] = []
    for (const { label, own } of wholly) {
      if (!own.every(name => left.has(name))) continue
      for (const name of own) left.delete(name)
      texts.push(`${namespace} ${label} (${own.length} pods)`)
    }
    return [...texts, ...left]
  }
}
