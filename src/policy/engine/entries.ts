// From the rules that apply to one subject in one direction to the entries that the
// kernel looks up. Entries of identity 0 answer for any peer; a peer's own entries say
// only what differs from those. An entry is left out exactly where verdict, reported
// rule and treatment stay the same without it.

import { compareRules, DEFAULT_DENY, type Direction, type RuleKey, type Treatment } from '../model/rule.ts'
import {
  type Decider,
  type Decision,
  LAST_PORT,
  type PortSpace,
  type Region,
  type RuleSpans,
  type Verdict,
} from './port-space.ts'
import { coverPorts, type Need, type NeedRegion, type PortPrefix } from './prefix-cover.ts'

/** Identity of entries that answer for any peer. */
export const ANY_PEER = 0

/**
 * One row of a policy map. The look-up is by longest prefix of (direction, identity, protocol, port), for the peer's
 * identity and for identity 0; the higher precedence decides, on a tie the peer's own; nothing found is a denial.
 */
export type PolicyEntry = {
  readonly direction: Direction
  /** Of the other side; 0: any. */
  readonly identity: number
  /** IP protocol number; 0: any, then any port. */
  readonly protocol: number
  /** Of the destination; for ICMP the type. Bits past the prefix are zero. */
  readonly port: number
  /** 0 (any port) to 16 (one port). */
  readonly portPrefixLength: number
  /** A denial whose treatment says `audit` is recorded and passes. */
  readonly verdict: Verdict
  /** u32, the higher wins. */
  readonly precedence: number
  readonly rule: RuleKey
  readonly treatment?: Treatment | undefined
}

/** Makes the entries of one subject in one direction. */
export class EntryCompiler {
  readonly #direction: Direction
  readonly #decider: Decider
  readonly #rulesForAny: readonly RuleSpans[]
  readonly #protocolsForAny: ReadonlySet<number>

  /** `rulesForAny`: the rules that match any peer. */
  constructor(direction: Direction, decider: Decider, rulesForAny: readonly RuleSpans[]) {
    this.#direction = direction
    this.#decider = decider
    this.#rulesForAny = ranked(rulesForAny.filter(({ rule }) => decider.considers(rule)))
    this.#protocolsForAny = protocolsOf(this.#rulesForAny)
  }

  /** What the entries of identity 0 must be. */
  prefixesForAny(): PortPrefix[] {
    const space = this.#decider.space(this.#rulesForAny, this.#protocolsForAny)
    return coverPorts(needsOfAny(space, this.#decider))
  }

  /** What a peer that these rules match too needs beside the entries for any. The order of the rules and repetitions do not matter. */
  prefixesFor(rules: readonly RuleSpans[]): PortPrefix[] {
    const considered = rules.filter(({ rule }) => this.#decider.considers(rule))
    const protocols = this.#protocolsForAny.union(protocolsOf(considered))
    const forPeer = this.#decider.space(ranked([...this.#rulesForAny, ...new Set(considered)]), protocols)
    const forAny = this.#decider.space(this.#rulesForAny, protocols)
    return considered.length === 0 ? [] : coverPorts(needsBeside(forPeer, forAny, this.#decider))
  }

  /** The entries of a peer, or of `ANY_PEER`. */
  entries(identity: number, prefixes: readonly PortPrefix[]): PolicyEntry[] {
    const direction = this.#direction
    // As a small integer whatever it came as: entries are many, and a number of another kind takes 16 bytes more in each.
    const id = identity >>> 0
    return prefixes.map(({ protocol, port, portPrefixLength, decision: { verdict, precedence, rule, treatment } }) => {
      const entry = { direction, identity: id, protocol, port, portPrefixLength, verdict, precedence, rule }
      return treatment ? { ...entry, treatment } : entry
    })
  }
}

const ranked = (rules: readonly RuleSpans[]): RuleSpans[] => [...rules].sort((a, b) => compareRules(a.rule, b.rule))

/** Protocols that some rule names. */
function protocolsOf(rules: readonly RuleSpans[]): Set<number> {
  return new Set(rules.flatMap(({ spans }) => spans.map(span => span.protocol)).filter(protocol => protocol !== 0))
}

/** What the entries for any peer must hold: decisions with the precedence of their rules, for none stands above them. */
function needsOfAny(space: PortSpace, decider: Decider): Map<number, NeedRegion[]> {
  const natural = new Map(
    [...space].map(([protocol, regions]) => [
      protocol,
      regions.map(({ first, last, decision }) => ({
        first,
        last,
        decision: decision && decider.withOwnPrecedence(decision),
      })),
    ]),
  )
  const nothing = new Map([...space.keys()].map(protocol => [protocol, [UNDECIDED]]))
  return needsBeside(natural, nothing, decider)
}

const UNDECIDED: Region = { first: 0, last: LAST_PORT, decision: undefined }

/**
 * What a peer's own entries must hold beside those for any peer, which have the precedences of their rules. The peer's
 * rules include the others, and a decision has the precedence of the first rule that either reading of the Decider asks.
 * Whether it is asked depends on the rule and the subject alone, so what decides for a peer is never weaker than what
 * decides for any: true of audit too, where a decision may be an enforced rule's and its precedence an audited one's.
 */
function needsBeside(ofPeer: PortSpace, ofAny: PortSpace, decider: Decider): Map<number, NeedRegion[]> {
  const pairs = new Map(
    [...ofPeer].map(([protocol, regions]) => [protocol, overlay(regions, ofAny.get(protocol) ?? [])]),
  )
  const variants = new Map<Decision, Set<Decision>>()
  for (const { own } of [...pairs.values()].flat()) {
    if (!own) continue
    const natural = decider.withOwnPrecedence(own)
    variants.set(natural, (variants.get(natural) ?? new Set([natural])).add(own))
  }
  const needOf = ({ own, forAny }: Pair): Need => {
    if (!own) return { decisions: [], below: 0, orNothing: true }
    const natural = decider.withOwnPrecedence(own)
    const standing = forAny && decider.withOwnPrecedence(forAny)
    const same = [...(variants.get(natural) ?? [])]
    // It needs an entry only to stand against another answer.
    if (saysNoMoreThanSilence(own) && (!standing || saysNoMoreThanSilence(standing)))
      return { decisions: same, below: 0, orNothing: true }
    if (standing === natural) return { decisions: same, below: standing.precedence, orNothing: true }
    const standsAgainst = standing?.precedence ?? 0
    return { decisions: same.filter(({ precedence }) => precedence >= standsAgainst), below: 0, orNothing: false }
  }
  return new Map(
    [...pairs].map(([protocol, list]) => [protocol, joinEqual(list.map(pair => ({ ...pair, need: needOf(pair) })))]),
  )
}

/** A denial by default, unless it is one for the record: that passes. */
const saysNoMoreThanSilence = ({ rule, treatment }: Decision): boolean => rule === DEFAULT_DENY && !treatment?.audit

type Pair = {
  readonly first: number
  readonly last: number
  readonly own: Decision | undefined
  readonly forAny: Decision | undefined
}

/** Both lists are whole and sorted; cuts them at every bound of either. */
function overlay(ofPeer: readonly Region[], ofAny: readonly Region[]): Pair[] {
  const pairs: Pair[] = []
  let [i, j] = [0, 0]
  let [peer, any] = [ofPeer[i], ofAny[j]]
  while (peer && any) {
    const last = Math.min(peer.last, any.last)
    pairs.push({ first: Math.max(peer.first, any.first), last, own: peer.decision, forAny: any.decision })
    if (peer.last === last) peer = ofPeer[++i]
    if (any.last === last) any = ofAny[++j]
  }
  return pairs
}

function joinEqual(regions: readonly NeedRegion[]): NeedRegion[] {
  const joined: NeedRegion[] = []
  for (const { first, last, need } of regions) {
    const previous = joined.at(-1)
    if (previous && isSameNeed(previous.need, need)) joined[joined.length - 1] = { ...previous, last }
    else joined.push({ first, last, need })
  }
  return joined
}

const isSameNeed = (a: Need, b: Need): boolean =>
  a.below === b.below &&
  a.orNothing === b.orNothing &&
  a.decisions.length === b.decisions.length &&
  a.decisions.every((decision, i) => decision === b.decisions[i])
