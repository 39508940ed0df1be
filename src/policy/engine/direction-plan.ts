// The policy of one group of subjects in one direction. Rules are prepared once. After
// that a change of identities costs what these identities cost, and a plan for other
// rules takes over from the one before it what the two have in common.

import { labelledPort } from '../../labels/index.ts'
import type { EnforcementMode } from '../model/enforcement.ts'
import type { Visibility } from '../model/l7.ts'
import type { Direction } from '../model/rule.ts'
import type { BoundRule, BoundSpec, NamedPortOfPeers } from './bound-rule.ts'
import type { PolicyEntry } from './entries.ts'
import { isolationsOf } from './isolation.ts'
import type { PeerClass, PeerClasses, SharedClasses } from './peer-classes.ts'
import type { PeerSet, PeerSets } from './peer-sets.ts'
import { type PeerRow, PeerTable } from './peer-table.ts'
import type { RuleSpans } from './port-space.ts'

/** What subjects with the same policy have in common. */
export type SubjectGroup = {
  /** Those that select them. */
  readonly specs: readonly BoundSpec[]
  /** The subject's number by `NAME/PROTOCOL`. */
  readonly ownPorts: ReadonlyMap<string, number>
  /** Nothing is enforced at them, only recorded. */
  readonly isAudited: boolean
  readonly mode: Exclude<EnforcementMode, 'never'>
  /** Where what is said is to be seen. */
  readonly visibility: readonly Visibility[]
}

/** What all plans draw on. */
export type PlanSources = { readonly peerSets: PeerSets; readonly shared: SharedClasses }

/** Lists by set. Equal lists are the same object. */
type Steps<T> = ReadonlyMap<PeerSet, readonly T[]>

export class DirectionPlan {
  readonly #peerSets: PeerSets
  readonly #classes: PeerClasses
  readonly #rules: Steps<RuleSpans>
  /** Rules with named ports of peers, by the sets of peers. */
  readonly #named: Steps<NamedPortOfPeers>
  readonly #table: PeerTable
  /** Identities that may be in other sets, or have other labels, than when the table was last brought up to date. */
  readonly #touched: Set<number>
  #areAllTouched: boolean

  constructor(
    direction: Direction,
    { specs, ownPorts, isAudited, mode, visibility }: SubjectGroup,
    { peerSets, shared }: PlanSources,
    before?: DirectionPlan,
  ) {
    this.#peerSets = peerSets
    const rules = specs.flatMap(({ rules }) => rules.filter(({ rule }) => rule.direction === direction))
    const sorted = sortRules(rules, ownPorts)
    const isolations = isolationsOf(specs, direction, mode, isAudited)
    const enforced = isAudited ? 'none' : rules.some(({ rule }) => rule.audit) ? 'some' : 'all'
    const visible = visibility
      .filter(({ direction: own }) => own === direction)
      .map(({ protocol, port, parser }) => ({ protocol, port, parser }))
    this.#classes = shared.classes({ direction, isolations, enforced, forAny: sorted.forAny, visible })
    const isHeir = before !== undefined && before.#classes === this.#classes
    this.#rules = inOrderOf(isHeir ? before.#rules : undefined, sorted.rules, list => shared.list(list))
    this.#named = inOrderOf(isHeir ? before.#named : undefined, sorted.named, list => list)
    this.#table = new PeerTable(isHeir ? before.#table : undefined)
    this.#touched = new Set(isHeir ? before.#touched : [])
    this.#areAllTouched = !isHeir || before.#areAllTouched
    if (!isHeir) return
    for (const set of [...changedSets(this.#rules, before.#rules), ...changedSets(this.#named, before.#named)])
      for (const identity of set.identities) this.#touched.add(identity)
  }

  /** An identity is in other sets now, or has other labels. */
  touch(identity: number): void {
    if (!this.#areAllTouched) this.#touched.add(identity)
  }

  /** These name the entries: as many for every plan. */
  digests(): Uint8Array[] {
    this.#update()
    return [this.#classes.digestForAny, this.#table.digest()]
  }

  /** Entries as things stand, in lists that follow each other; sorted by identity, protocol, port and prefix length. */
  lists(): (readonly PolicyEntry[])[] {
    this.#update()
    return [this.#classes.forAny, ...this.#table.lists()]
  }

  #update(): void {
    const isAll = this.#areAllTouched
    if (!isAll && this.#touched.size === 0) return
    const classes = isAll || this.#isManyTouched() ? this.#allClasses() : undefined
    const touched = isAll && classes ? new Set([...this.#table.identities(), ...classes.keys()]) : this.#touched
    const changes = new Map<number, PeerRow | undefined>()
    for (const identity of touched) {
      const peerClass = classes ? classes.get(identity) : this.#classOf(identity)
      if (this.#table.classOf(identity) !== peerClass)
        changes.set(identity, peerClass && this.#row(identity, peerClass))
    }
    this.#table.apply(changes)
    this.#touched.clear()
    this.#areAllTouched = false
  }

  /** Whether to go through the sets costs less than to ask each set for each identity. */
  #isManyTouched(): boolean {
    const asked = this.#touched.size * (this.#rules.size + this.#named.size)
    let all = 0
    for (const { identities } of [...this.#rules.keys(), ...this.#named.keys()]) {
      all += identities.size
      if (all > asked) return false
    }
    return true
  }

  #classOf(identity: number): PeerClass | undefined {
    let peerClass: PeerClass | undefined
    for (const [set, rules] of this.#rules)
      if (set.identities.has(identity)) peerClass = this.#classes.next(peerClass, rules)
    for (const [set, named] of this.#named)
      if (set.identities.has(identity)) peerClass = this.#withNamed(peerClass, named, identity)
    return peerClass
  }

  #allClasses(): Map<number, PeerClass> {
    const found = new Map<number, PeerClass>()
    for (const [set, rules] of this.#rules)
      for (const identity of set.identities) found.set(identity, this.#classes.next(found.get(identity), rules))
    for (const [set, named] of this.#named)
      for (const identity of set.identities) {
        const peerClass = this.#withNamed(found.get(identity), named, identity)
        if (peerClass) found.set(identity, peerClass)
      }
    return found
  }

  /** The class of a peer with the rules for the number that it has for each named port. */
  #withNamed(from: PeerClass | undefined, named: readonly NamedPortOfPeers[], identity: number): PeerClass | undefined {
    const labels = this.#peerSets.labelsOf(identity)
    let peerClass = from
    for (const one of named) {
      const port = labels && labelledPort(labels, one.name)
      if (port !== undefined) peerClass = this.#classes.next(peerClass, one.at(port))
    }
    return peerClass
  }

  #row(identity: number, peerClass: PeerClass): PeerRow {
    const entries = this.#classes.entries(peerClass, identity)
    return { identity, peerClass, entries, digest: this.#classes.digest(peerClass) }
  }
}

type SortedRules = {
  readonly forAny: readonly RuleSpans[]
  readonly rules: Steps<RuleSpans>
  readonly named: Steps<NamedPortOfPeers>
}

function sortRules(rules: readonly BoundRule[], ownPorts: ReadonlyMap<string, number>): SortedRules {
  const forAny: RuleSpans[] = []
  const bySet = new Map<PeerSet, RuleSpans[]>()
  const named = new Map<PeerSet, NamedPortOfPeers[]>()
  for (const bound of rules) {
    const fixed = bound.spans(ownPorts)
    if (fixed.spans.length > 0)
      if (bound.peers === 'any') forAny.push(fixed)
      else for (const set of bound.peers) append(bySet, set, fixed)
    for (const one of bound.namedOfPeers) {
      const portPeer = bound.portPeers.get(one.name)
      for (const set of bound.peers === 'any' ? (portPeer ? [portPeer] : []) : bound.peers) append(named, set, one)
    }
  }
  return { forAny, rules: bySet, named }
}

/**
 * The steps in the order of those before, and new ones after: for whom nothing has changed, the way to its class is then
 * the same. `known`: the object of a list that is equal.
 */
function inOrderOf<T>(
  before: Steps<T> | undefined,
  steps: Steps<T>,
  known: (list: readonly T[]) => readonly T[],
): Steps<T> {
  const ordered = new Map<PeerSet, readonly T[]>()
  for (const set of before?.keys() ?? []) {
    const list = steps.get(set)
    if (list) ordered.set(set, known(list))
  }
  for (const [set, list] of steps) if (!ordered.has(set)) ordered.set(set, known(list))
  return ordered
}

function changedSets<T>(now: Steps<T>, before: Steps<T>): PeerSet[] {
  const isChanged = (set: PeerSet): boolean => !isSameList(now.get(set), before.get(set))
  return [...now.keys().filter(isChanged), ...before.keys().filter(set => !now.has(set))]
}

const isSameList = <T>(a: readonly T[] | undefined, b: readonly T[] | undefined): boolean =>
  a === b || (a?.length === b?.length && a?.every((item, i) => item === b?.[i]) === true)

function append<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key)
  if (list) list.push(value)
  else lists.set(key, [value])
}
