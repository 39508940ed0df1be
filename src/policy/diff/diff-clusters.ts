// What changes from one set of manifests to another: every pair of places, over every
// class of ports and addresses that either side can tell apart, so nothing is missed.

import type { Cluster, End } from '../cluster/cluster.ts'
import { type Decider, decidersOf } from '../cluster/deciders.ts'
import { Judge, type Outcome } from '../cluster/judge.ts'
import { isNext, type OutcomeRegion, outcomeRegions } from '../cluster/outcome-regions.ts'
import { nodePlaces, type Place, podPlaces, worldPlaces } from '../cluster/places.ts'
import { type PortClass, portClasses } from '../cluster/port-classes.ts'
import { type Judgement, rulesOf } from '../engine/evaluate.ts'
import { l7Meaning } from '../engine/l7-rules.ts'
import { DIRECTIONS } from '../model/rule.ts'

/** Ports of one pair whose connections fare differently, or by other rules where only these changed and were asked for. */
export type PortChange = PortClass & {
  readonly before: Outcome
  readonly after: Outcome
  readonly decidersBefore: readonly Decider[]
  readonly decidersAfter: readonly Decider[]
}

/** An ordered pair that changes. */
export type PairChange = {
  readonly from: string
  readonly to: string
  /** Where only the connections of one address family change. */
  readonly family?: 4 | 6
  /** By protocol and port. */
  readonly changes: readonly PortChange[]
}

/** Everything that differs between two clusters. */
export type ClusterDiff = {
  /** In the order of the places' names: pods, then nodes, then the world. */
  readonly pairs: readonly PairChange[]
  /** Every class of ports that was asked for. */
  readonly classes: readonly PortClass[]
  /** Everybody on both sides, in that order. */
  readonly places: readonly string[]
  readonly onlyBefore: readonly string[]
  readonly onlyAfter: readonly string[]
}

/** Somebody on both sides, at addresses of the families that he has on both. */
type Both = { readonly name: string; readonly kind: Place['kind']; readonly ends: readonly Pair[] }
type Pair = { readonly family: 4 | 6; readonly before: End; readonly after: End }

/** Compares two states of a cluster. Read the second with `like` the first, so that assumed addresses are the same. */
export function diffClusters(before: Cluster, after: Cluster): ClusterDiff {
  const clusters = [before, after]
  const world = worldPlaces(clusters)
  const old = [...podPlaces(before), ...nodePlaces(before), ...world]
  const young = [...podPlaces(after), ...nodePlaces(after), ...world]
  const youngByName = new Map(young.map(place => [nameOf(place), place]))
  const oldNames = new Set(old.map(nameOf))
  const places = old.flatMap(place => both(place, youngByName.get(nameOf(place))) ?? [])
  const classes = portClasses(clusters)
  const comparison = new Comparison(before, after, old, young, classes)
  return {
    pairs: [...comparison.pairs(places)],
    classes,
    places: places.map(({ name }) => name),
    onlyBefore: old.filter(place => !youngByName.has(nameOf(place))).map(({ name }) => name),
    onlyAfter: young.filter(place => !oldNames.has(nameOf(place))).map(({ name }) => name),
  }
}

const nameOf = ({ kind, name }: Place): string => `${kind} ${name}`

function both(before: Place, after: Place | undefined): Both | undefined {
  if (!after) return undefined
  const ends = before.ends.flatMap((end): Pair[] => {
    const { family } = end.address
    const other = after.ends.find(({ address }) => address.family === family)
    return other ? [{ family, before: end, after: other }] : []
  })
  return { name: before.name, kind: before.kind, ends }
}

class Comparison {
  readonly #before: Cluster
  readonly #after: Cluster
  readonly #judges: { readonly before: Judge; readonly after: Judge }
  readonly #classes: readonly PortClass[]
  readonly #known = new Map<string, readonly PortChange[]>()
  readonly #regions = { before: new Map<number, OutcomeRegion[]>(), after: new Map<number, OutcomeRegion[]>() }

  constructor(
    before: Cluster,
    after: Cluster,
    old: readonly Place[],
    young: readonly Place[],
    classes: readonly PortClass[],
  ) {
    this.#before = before
    this.#after = after
    const endsOf = (places: readonly Place[]) => places.flatMap(({ ends }) => ends)
    this.#judges = { before: new Judge(before, endsOf(old)), after: new Judge(after, endsOf(young)) }
    this.#classes = classes
  }

  *pairs(places: readonly Both[]): Generator<PairChange> {
    for (const from of places)
      for (const to of places) {
        if (from === to || (from.kind !== 'pod' && to.kind !== 'pod')) continue
        const byFamily = to.ends.flatMap(toEnd => {
          const fromEnd = from.ends.find(({ family }) => family === toEnd.family)
          return fromEnd ? [{ family: toEnd.family, changes: this.#changes(fromEnd, toEnd) }] : []
        })
        const [first, ...others] = byFamily
        if (first && others.every(({ changes }) => isSameChange(first.changes, changes))) {
          if (first.changes.length > 0) yield { from: from.name, to: to.name, changes: first.changes }
        } else
          for (const { family, changes } of byFamily)
            if (changes.length > 0) yield { from: from.name, to: to.name, family, changes }
      }
  }

  /** The same list for pairs that are alike on both sides. */
  #changes(from: Pair, to: Pair): readonly PortChange[] {
    const { before, after } = this.#judges
    const key = `${before.pairKind(from.before, to.before)} ${after.pairKind(from.after, to.after)}`
    const known = this.#known.get(key)
    if (known) return known
    const changes = this.#compare(from, to)
    this.#known.set(key, changes)
    return changes
  }

  #compare(from: Pair, to: Pair): PortChange[] {
    const old = this.#regionsOf('before', from.before, to.before)
    const young = this.#regionsOf('after', from.after, to.after)
    const changes: PortChange[] = []
    let [i, j] = [0, 0]
    // Both lists run over the same ports, each cut at its own places.
    while (old[i] && young[j]) {
      const [a, b] = [old[i] as OutcomeRegion, young[j] as OutcomeRegion]
      const last = Math.min(a.last, b.last)
      if (a.outcome !== b.outcome || !isJudgedAlike(a, b))
        append(changes, {
          protocol: a.protocol,
          protocolName: a.protocolName,
          first: Math.max(a.first, b.first),
          last,
          before: a.outcome,
          after: b.outcome,
          decidersBefore: decidersOf(this.#before, from.before, to.before, a.verdict),
          decidersAfter: decidersOf(this.#after, from.after, to.after, b.verdict),
        })
      if (a.last === last) i++
      if (b.last === last) j++
    }
    return changes
  }

  #regionsOf(side: 'before' | 'after', from: End, to: End): OutcomeRegion[] {
    const judge = this.#judges[side]
    const kind = judge.pairKind(from, to)
    const known = this.#regions[side].get(kind)
    if (known) return known
    const regions = outcomeRegions(judge, from, to, this.#classes)
    this.#regions[side].set(kind, regions)
    return regions
  }
}

/** Whether the same may be said on a connection that is judged before and after. */
const isJudgedAlike = ({ verdict: a }: OutcomeRegion, { verdict: b }: OutcomeRegion): boolean =>
  DIRECTIONS.every(direction => meaningOf(a[direction]) === meaningOf(b[direction]))

function meaningOf(judgement: Judgement | undefined): string | undefined {
  const rules = rulesOf(judgement)
  return rules && l7Meaning(rules)
}

/** Adds a change, joined to the one before it when that says the same of the ports below. */
function append(changes: PortChange[], change: PortChange): void {
  const previous = changes.at(-1)
  const joins =
    previous &&
    isNext(previous, change) &&
    previous.before === change.before &&
    previous.after === change.after &&
    isSameDeciders(previous.decidersBefore, change.decidersBefore) &&
    isSameDeciders(previous.decidersAfter, change.decidersAfter)
  if (joins) changes[changes.length - 1] = { ...previous, last: change.last }
  else changes.push(change)
}

const isSameChange = (a: readonly PortChange[], b: readonly PortChange[]): boolean =>
  a === b || (a.length === b.length && a.every((change, i) => isEqualChange(change, b[i] as PortChange)))

const isEqualChange = (a: PortChange, b: PortChange): boolean =>
  a.protocol === b.protocol && a.first === b.first && a.last === b.last && a.before === b.before && a.after === b.after

const isSameDeciders = (a: readonly Decider[], b: readonly Decider[]): boolean =>
  a.length === b.length && a.every(({ rule }, i) => rule?.key === b[i]?.rule?.key)
