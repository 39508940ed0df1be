// From what a look-up must find at each protocol and port to the fewest prefixes that
// make it so. One trie: all protocols at the top, below it each protocol, below that
// 16 bits of port; the longest prefix answers. The method is optimal route table
// construction (Draves, King, Venkatachary, Zill, INFOCOM 1999), extended by places
// where nothing may be found and places where something weaker may.

import type { Decision } from './port-space.ts'

/** What the look-up may find in a place. */
export type Need = {
  /** Any of these will do. */
  readonly decisions: readonly Decision[]
  /** So will any of a precedence below this, because it loses to an answer found elsewhere. 0: none. */
  readonly below: number
  /** So will nothing. */
  readonly orNothing: boolean
}

export type NeedRegion = { readonly first: number; readonly last: number; readonly need: Need }

/** A prefix of the port space. `protocol` 0: any, then the port is 0 and its prefix length 0. */
export type PortPrefix = {
  readonly protocol: number
  readonly port: number
  readonly portPrefixLength: number
  readonly decision: Decision
}

/**
 * The fewest prefixes after which every look-up finds what it must, sorted by protocol, port and length.
 * `needs` has, for each protocol, regions whole from 0 to the last port; those of protocol 0, every other protocol, are
 * one. Where it needs a decision, no other place may need nothing: a rule for all protocols decides everywhere.
 * `portBits` is other than 16 in tests alone.
 */
export function coverPorts(needs: ReadonlyMap<number, readonly NeedRegion[]>, portBits = 16): PortPrefix[] {
  const decisions = decisionsIn(needs)
  const weakest = decisions.at(-1)
  if (!weakest) return []
  const tree = (regions: readonly NeedRegion[]): Node => buildNode(regions, 0, 0, portBits, weakest.precedence)
  const protocols = [...needs.keys()].filter(protocol => protocol !== 0).sort((a, b) => a - b)
  const trees = new Map(protocols.map(protocol => [protocol, tree(needs.get(protocol) ?? [])]))
  const top = chooseTop(needs.get(0)?.[0]?.need ?? NO_NEED, decisions, [...trees.values()])
  const prefixes: PortPrefix[] = top ? [{ protocol: 0, port: 0, portPrefixLength: 0, decision: top }] : []
  for (const [protocol, node] of trees)
    place(node, top, weakest, ({ port, length }, decision) =>
      prefixes.push({ protocol, port, portPrefixLength: length, decision }),
    )
  return prefixes.sort((a, b) => a.protocol - b.protocol || a.port - b.port || a.portPrefixLength - b.portPrefixLength)
}

const NO_NEED: Need = { decisions: [], below: 0, orNothing: true }

/** All decisions, in a fixed order that ends with one of lowest precedence. */
function decisionsIn(needs: ReadonlyMap<number, readonly NeedRegion[]>): Decision[] {
  const decisions = new Set<Decision>()
  for (const regions of needs.values())
    for (const { need } of regions) for (const decision of need.decisions) decisions.add(decision)
  return [...decisions].sort(compareDecisions)
}

const compareDecisions = (a: Decision, b: Decision): number =>
  b.precedence - a.precedence || (a.rule < b.rule ? -1 : a.rule > b.rule ? 1 : 0)

/** Decisions: those listed, and every one whose precedence is lower than `below`. */
type Choice = { readonly listed: ReadonlySet<Decision>; readonly below: number }

const includes = (choice: Choice, decision: Decision): boolean =>
  choice.listed.has(decision) || decision.precedence < choice.below

type Node = {
  readonly port: number
  readonly length: number
  readonly halves: readonly [Node, Node] | undefined
  /** Prefixes needed in here when nothing matches from above. */
  readonly alone: number
  /** Prefixes needed in here when a decision of `best` matches from above; with any other, one more. */
  readonly below: number
  readonly best: Choice
}

/** Prefixes needed in a node when `inherited` matches from above. */
const cost = (node: Node, inherited: Decision | undefined): number =>
  inherited ? node.below + (includes(node.best, inherited) ? 0 : 1) : node.alone

/** `regions` are those that touch the node, of which the first and last may reach beyond it. */
function buildNode(
  regions: readonly NeedRegion[],
  port: number,
  length: number,
  portBits: number,
  weakest: number,
): Node {
  const [only] = regions
  if (regions.length === 1 && only) return leaf(only.need, port, length)
  const middle = port + (1 << (portBits - length - 1))
  const build = (half: readonly NeedRegion[], start: number): Node =>
    buildNode(half, start, length + 1, portBits, weakest)
  // Regions are sorted, so both halves are runs, and at most one region is in both.
  const split = lowerBound(regions, middle)
  const low = build(regions.slice(0, split), port)
  const high = build(
    regions.slice((regions[split]?.first ?? Number.POSITIVE_INFINITY) === middle ? split : split - 1),
    middle,
  )
  const shared = intersection(low.best, high.best)
  const isShared = shared.listed.size > 0 || weakest < shared.below
  const below = low.below + high.below + (isShared ? 0 : 1)
  return {
    port,
    length,
    halves: [low, high],
    alone: Math.min(low.alone + high.alone, 1 + below),
    below,
    best: isShared ? shared : union(low.best, high.best),
  }
}

/** How many regions begin before `port`. */
function lowerBound(regions: readonly NeedRegion[], port: number): number {
  let low = 0
  let high = regions.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((regions[middle] as NeedRegion).first < port) low = middle + 1
    else high = middle
  }
  return low
}

function leaf({ decisions, below, orNothing }: Need, port: number, length: number): Node {
  return {
    port,
    length,
    halves: undefined,
    alone: orNothing ? 0 : 1,
    below: decisions.length > 0 ? 0 : Number.POSITIVE_INFINITY,
    best: { listed: new Set(decisions), below },
  }
}

function intersection(a: Choice, b: Choice): Choice {
  const listed = new Set<Decision>()
  for (const decision of a.listed) if (includes(b, decision)) listed.add(decision)
  for (const decision of b.listed) if (includes(a, decision)) listed.add(decision)
  return { listed, below: Math.min(a.below, b.below) }
}

const union = (a: Choice, b: Choice): Choice => ({
  listed: a.listed.union(b.listed),
  below: Math.max(a.below, b.below),
})

/** The decision for all protocols at once that leaves the least to do below; none when that is as good. */
function chooseTop(rest: Need, decisions: readonly Decision[], trees: readonly Node[]): Decision | undefined {
  if (rest.decisions.length === 0) return undefined
  const total = (top: Decision | undefined): number => trees.reduce((sum, tree) => sum + cost(tree, top), top ? 1 : 0)
  const { best: suitable } = leaf(rest, 0, 0)
  const candidates = decisions.filter(decision => includes(suitable, decision)).reverse()
  return [...(rest.orNothing ? [undefined] : []), ...candidates].reduce((best, candidate) =>
    total(candidate) < total(best) ? candidate : best,
  )
}

function place(
  node: Node,
  inherited: Decision | undefined,
  weakest: Decision,
  emit: (node: Node, decision: Decision) => void,
): void {
  let matching = inherited
  const costBelow = node.halves
    ? cost(node.halves[0], inherited) + cost(node.halves[1], inherited)
    : isLeft(node, inherited)
      ? 0
      : Number.POSITIVE_INFINITY
  if (1 + node.below < costBelow) {
    matching = pick(node.best, weakest)
    emit(node, matching)
  }
  for (const half of node.halves ?? []) place(half, matching, weakest, emit)
}

/** Whether a leaf is right without a prefix of its own. */
const isLeft = (node: Node, inherited: Decision | undefined): boolean =>
  inherited ? includes(node.best, inherited) : node.alone === 0

/** One of the choice's decisions, the same one every time: of lowest precedence, so nearest to its rule's own. */
function pick(choice: Choice, weakest: Decision): Decision {
  return [...choice.listed].sort(compareDecisions).at(-1) ?? weakest
}
