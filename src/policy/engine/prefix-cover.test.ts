// Prefixes against exhaustive search in a space small enough to try every set of them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Decision } from './port-space.ts'
import { coverPorts, type Need, type NeedRegion, type PortPrefix } from './prefix-cover.ts'

// Two bits of port and one protocol beside "every other": small enough to try every set of prefixes there is.
const PORT_BITS = 2
const PORTS = [0, 1, 2, 3]
const PROTOCOL = 6

const decision = (rule: string, precedence: number): Decision => ({ verdict: 'allow', precedence, rule })
const DECISIONS = [decision('a', 30), decision('b', 20), decision('c', 20), decision('d', 10)]

const anyNeed: fc.Arbitrary<Need> = fc.oneof(
  fc.constant<Need>({ decisions: [], below: 0, orNothing: true }),
  fc.record({
    decisions: fc.subarray(DECISIONS, { minLength: 1, maxLength: 2 }),
    below: fc.constantFrom(0, 0, 20, 30),
    orNothing: fc.boolean(),
  }),
)

const anyNeeds = fc
  .tuple(anyNeed, fc.array(anyNeed, { minLength: 4, maxLength: 4 }))
  .filter(([rest, ports]) => rest.orNothing || ports.every(need => need.decisions.length > 0))

function regionsOf(needs: readonly Need[]): NeedRegion[] {
  const regions: NeedRegion[] = []
  for (const [port, need] of needs.entries()) {
    const previous = regions.at(-1)
    if (previous?.need === need) regions[regions.length - 1] = { ...previous, last: port }
    else regions.push({ first: port, last: port, need })
  }
  return regions
}

const isMet = ({ decisions, below, orNothing }: Need, found: Decision | undefined): boolean =>
  found ? decisions.includes(found) || found.precedence < below : orNothing

function find(prefixes: readonly PortPrefix[], protocol: number, port: number): Decision | undefined {
  const longest = prefixes
    .filter(
      p =>
        p.protocol === 0 ||
        (p.protocol === protocol &&
          port >> (PORT_BITS - p.portPrefixLength) === p.port >> (PORT_BITS - p.portPrefixLength)),
    )
    .sort((a, b) => b.protocol - a.protocol || b.portPrefixLength - a.portPrefixLength)
  return longest[0]?.decision
}

const isCover = (prefixes: readonly PortPrefix[], rest: Need, ports: readonly Need[]): boolean =>
  isMet(rest, find(prefixes, 0, 0)) && PORTS.every(port => isMet(ports[port] as Need, find(prefixes, PROTOCOL, port)))

/** All places a prefix can have. */
const PLACES: readonly Omit<PortPrefix, 'decision'>[] = [
  { protocol: 0, port: 0, portPrefixLength: 0 },
  ...[0, 1, 2].flatMap(portPrefixLength =>
    PORTS.filter(port => port % 2 ** (PORT_BITS - portPrefixLength) === 0).map(port => ({
      protocol: PROTOCOL,
      port,
      portPrefixLength,
    })),
  ),
]

/** Whether at most `count` more prefixes, from the given place on, can complete a cover. */
function canCover(
  count: number,
  from: number,
  chosen: readonly PortPrefix[],
  candidates: readonly Decision[],
  isDone: (prefixes: readonly PortPrefix[]) => boolean,
): boolean {
  if (isDone(chosen)) return true
  if (count === 0) return false
  return PLACES.slice(from).some((place, i) =>
    candidates.some(decision =>
      canCover(count - 1, from + i + 1, [...chosen, { ...place, decision }], candidates, isDone),
    ),
  )
}

test('every look-up finds what it must, by the fewest prefixes that can do it', () => {
  fc.assert(
    fc.property(anyNeeds, ([rest, ports]) => {
      const needs = new Map([
        [PROTOCOL, regionsOf(ports)],
        [0, [{ first: 0, last: 3, need: rest }]],
      ])
      const prefixes = coverPorts(needs, PORT_BITS)
      const decisions = [...new Set([rest, ...ports].flatMap(need => need.decisions))]
      const isDone = (chosen: readonly PortPrefix[]): boolean => isCover(chosen, rest, ports)
      assert.ok(isDone(prefixes), JSON.stringify(prefixes))
      assert.ok(prefixes.length === 0 || !canCover(prefixes.length - 1, 0, [], decisions, isDone), 'fewer would do')
    }),
    { numRuns: 1500 },
  )
})

test('the same needs in another order of protocols give the same prefixes', () => {
  const whole = (need: Need): NeedRegion[] => [{ first: 0, last: 0xffff, need }]
  const [a, b] = DECISIONS as [Decision, Decision]
  const of = (protocols: readonly number[]): PortPrefix[] =>
    coverPorts(new Map(protocols.map(p => [p, whole({ decisions: [p === 17 ? b : a], below: 0, orNothing: false })])))
  assert.deepEqual(of([6, 17, 0]), of([0, 17, 6]))
  assert.deepEqual(of([0, 17, 6]), [
    { protocol: 0, port: 0, portPrefixLength: 0, decision: a },
    { protocol: 17, port: 0, portPrefixLength: 0, decision: b },
  ])
})
