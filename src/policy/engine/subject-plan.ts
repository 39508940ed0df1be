// The policy of one group of subjects: those that the same specs select and that have
// the same numbers for the named ports the specs use. Rules are prepared once; a change
// of identities afterwards only sorts peers into classes that the same rules match.

import { labelledPort, namedPortKey } from '../../labels/index.ts'
import type { EnforcementMode } from '../model/enforcement.ts'
import { DIRECTIONS, type Direction, type PolicySpec, type Rule } from '../model/rule.ts'
import { EntryCompiler, type PolicyEntry } from './entries.ts'
import { isolationsOf } from './isolation.ts'
import type { PeerSet, PeerSets } from './peer-sets.ts'
import { ALL_PORTS, Decider, LAST_PORT, type PortSpan, type RuleSpans } from './port-space.ts'
import type { PortPrefix } from './prefix-cover.ts'

/** A spec whose peers are bound to sets of identities. */
export type BoundSpec = { readonly spec: PolicySpec; readonly rules: readonly BoundRule[] }

export type BoundRule = {
  readonly rule: Rule
  readonly peers: 'any' | readonly PeerSet[]
  /** For named ports of egress rules with any peer: those that have such a port. By `NAME/PROTOCOL`. */
  readonly portPeers: ReadonlyMap<string, PeerSet>
}

/** What subjects with the same policy have in common. */
export type SubjectGroup = {
  /** Those that select them. */
  readonly specs: readonly BoundSpec[]
  /** The subject's number by `NAME/PROTOCOL`. */
  readonly ownPorts: ReadonlyMap<string, number>
  /** Nothing is enforced at them, only recorded. */
  readonly isAudited: boolean
  readonly mode: Exclude<EnforcementMode, 'never'>
}

/** Named ports of a rule. Ingress resolves them on the subject, egress on each peer. */
export function namedPortsOf({ ports }: Rule): string[] {
  if (ports === 'any') return []
  return ports.flatMap(({ protocol, ports: match }) =>
    match !== 'any' && 'name' in match ? [namedPortKey({ name: match.name, protocol })] : [],
  )
}

export class SubjectPlan {
  readonly #directions: readonly DirectionPlan[]

  constructor(group: SubjectGroup, peerSets: PeerSets) {
    this.#directions = DIRECTIONS.map(direction => new DirectionPlan(direction, group, peerSets))
  }

  /** Entries as things stand, sorted by direction, identity, protocol, port and prefix length. */
  entries(): PolicyEntry[] {
    return this.#directions.flatMap(direction => direction.entries())
  }
}

/** Peers that the same rules match. `next`: the class of those of them that are in one more set. */
type PeerClass = {
  readonly rules: readonly RuleSpans[]
  readonly next: Map<unknown, PeerClass>
  prefixes: readonly PortPrefix[] | undefined
}

type MadeEntries = { readonly peerClass: PeerClass; readonly entries: readonly PolicyEntry[] }

/** Classes outlive the identities they were made for; past this many they are made anew. */
const MAX_KEPT_CLASSES = 50_000

type NamedUse = { readonly rule: Rule; readonly key: string; readonly protocol: number }

class DirectionPlan {
  readonly #peerSets: PeerSets
  readonly #compiler: EntryCompiler
  readonly #bySet = new Map<PeerSet, RuleSpans[]>()
  /** Egress rules with named ports, by the set of peers on which they resolve. */
  readonly #named = new Map<PeerSet, NamedUse[]>()
  readonly #resolved = new Map<NamedUse, Map<number, RuleSpans>>()
  readonly #forAny: readonly PolicyEntry[]
  #root = emptyClass()
  #classCount = 0
  /** Entries made last time, to be used again where an identity's class is the same. */
  #made: ReadonlyMap<number, MadeEntries> = new Map()

  constructor(direction: Direction, { specs, ownPorts, isAudited, mode }: SubjectGroup, peerSets: PeerSets) {
    this.#peerSets = peerSets
    const forAny: RuleSpans[] = []
    const rules = specs.flatMap(({ rules }) => rules.filter(({ rule }) => rule.direction === direction))
    for (const bound of rules) {
      const fixed = { rule: bound.rule, spans: fixedSpans(bound.rule, ownPorts) }
      if (fixed.spans.length > 0)
        if (bound.peers === 'any') forAny.push(fixed)
        else for (const set of bound.peers) append(this.#bySet, set, fixed)
      if (direction === 'egress') this.#addNamed(bound)
    }
    const isolations = isolationsOf(specs, direction, mode, isAudited)
    const enforced = isAudited ? 'none' : rules.some(({ rule }) => rule.audit) ? 'some' : 'all'
    this.#compiler = new EntryCompiler(direction, new Decider(isolations, enforced), forAny)
    this.#forAny = this.#compiler.entriesForAny()
  }

  #addNamed({ rule, peers, portPeers }: BoundRule): void {
    for (const { protocol, ports } of rule.ports === 'any' ? [] : rule.ports) {
      if (ports === 'any' || !('name' in ports)) continue
      const use: NamedUse = { rule, key: namedPortKey({ name: ports.name, protocol }), protocol }
      const portPeer = portPeers.get(use.key)
      for (const set of peers === 'any' ? (portPeer ? [portPeer] : []) : peers) append(this.#named, set, use)
    }
  }

  entries(): PolicyEntry[] {
    const classes = this.#classes()
    const identities = Uint32Array.from(classes.keys()).sort()
    const entries = [...this.#forAny]
    const made = new Map<number, MadeEntries>()
    for (const identity of identities) {
      const peerClass = classes.get(identity) as PeerClass
      const known = this.#made.get(identity)
      const mine = known?.peerClass === peerClass ? known : this.#make(identity, peerClass)
      made.set(identity, mine)
      for (const entry of mine.entries) entries.push(entry)
    }
    this.#made = made
    return entries
  }

  #make(identity: number, peerClass: PeerClass): MadeEntries {
    peerClass.prefixes ??= this.#compiler.prefixesFor(peerClass.rules)
    return { peerClass, entries: this.#compiler.entries(identity, peerClass.prefixes) }
  }

  #classes(): Map<number, PeerClass> {
    if (this.#classCount > MAX_KEPT_CLASSES) {
      this.#root = emptyClass()
      this.#classCount = 0
    }
    const classes = new Map<number, PeerClass>()
    for (const [set, rules] of this.#bySet)
      for (const identity of set.identities)
        classes.set(identity, this.#nextClass(classes.get(identity) ?? this.#root, set, rules))
    for (const [set, uses] of this.#named)
      for (const identity of set.identities)
        for (const use of uses) {
          const resolved = this.#resolve(use, identity)
          if (resolved)
            classes.set(identity, this.#nextClass(classes.get(identity) ?? this.#root, resolved, [resolved]))
        }
    return classes
  }

  #nextClass(from: PeerClass, step: unknown, rules: readonly RuleSpans[]): PeerClass {
    const known = from.next.get(step)
    if (known) return known
    const next: PeerClass = { ...emptyClass(), rules: [...from.rules, ...rules] }
    from.next.set(step, next)
    this.#classCount++
    return next
  }

  /** The rule with the number that the peer has for the named port. */
  #resolve(use: NamedUse, identity: number): RuleSpans | undefined {
    const labels = this.#peerSets.labelsOf(identity)
    const port = labels && labelledPort(labels, use.key)
    if (port === undefined) return undefined
    const byPort = this.#resolved.get(use) ?? new Map<number, RuleSpans>()
    this.#resolved.set(use, byPort)
    const known = byPort.get(port)
    if (known) return known
    const resolved = { rule: use.rule, spans: [{ protocol: use.protocol, first: port, last: port }] }
    byPort.set(port, resolved)
    return resolved
  }
}

const emptyClass = (): PeerClass => ({ rules: [], next: new Map(), prefixes: undefined })

/** Ports that do not depend on the peer. */
function fixedSpans({ ports, direction }: Rule, ownPorts: ReadonlyMap<string, number>): PortSpan[] {
  if (ports === 'any') return [ALL_PORTS]
  return ports.flatMap(({ protocol, ports: match }) => {
    if (match === 'any') return [{ protocol, first: 0, last: LAST_PORT }]
    if ('first' in match) return [{ protocol, first: match.first, last: match.last }]
    const port = direction === 'ingress' ? ownPorts.get(namedPortKey({ name: match.name, protocol })) : undefined
    return port === undefined ? [] : [{ protocol, first: port, last: port }]
  })
}

function append<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key)
  if (list) list.push(value)
  else lists.set(key, [value])
}

/** Numbers that a subject has for the named ports that ingress rules of these specs use, as part of a group's key. */
export function ownPortsFor(specs: readonly BoundSpec[], numbers: ReadonlyMap<string, number>): Map<string, number> {
  const used = new Map<string, number>()
  for (const { rules } of specs)
    for (const { rule } of rules)
      if (rule.direction === 'ingress')
        for (const key of namedPortsOf(rule)) {
          const number = numbers.get(key)
          if (number !== undefined) used.set(key, number)
        }
  return used
}
