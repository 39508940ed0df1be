// Which backends new clients get: the situations of kube-proxy's own tests, the end-to-end
// tests' of Kubernetes, and random ones against a second reading of the rules.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type Candidate, choose, type TrafficPolicy } from './traffic-policy.ts'

const HERE = { nodeName: 'node1', zone: 'a' }

/** `r` ready, `t` going and serving still, `T` going and not serving, `n` not ready; `@` here, `!` elsewhere; zones, nodes as hints. */
function candidate(text: string, i: number): Candidate {
  const [state = '', ...hints] = text.split(' ')
  const forZones = hints.filter(hint => hint.length === 1)
  const forNodes = hints.filter(hint => hint.startsWith('node'))
  const weight = hints.find(hint => hint.startsWith('*'))
  return {
    address: `10.0.0.${i}`,
    port: 80,
    node: state.includes('@') ? 'node1' : 'node2',
    ready: state.includes('r'),
    serving: state.includes('r') || state.includes('t'),
    terminating: /[tT]/.test(state),
    weight: weight === undefined ? 1 : Number(weight.slice(1)),
    ...(forZones.length > 0 && { forZones }),
    ...(forNodes.length > 0 && { forNodes }),
  }
}

type Case = {
  readonly name: string
  readonly given: readonly string[]
  /** Under each policy: why not, of each candidate; empty: chosen. */
  readonly cluster: readonly string[]
  readonly local: readonly string[]
  readonly withoutLocal?: 'drop'
  readonly zone?: string
}

const FAR = 'not on this node'
const ZONE = 'meant for another zone'
const NODE = 'meant for another node'
const cases: readonly Case[] = [
  { name: 'nothing', given: [], cluster: [], local: [] },
  { name: 'all ready', given: ['r@', 'r!'], cluster: ['', ''], local: ['', FAR] },
  { name: 'all elsewhere', given: ['r!', 'r!'], cluster: ['', ''], local: [FAR, FAR], withoutLocal: 'drop' },
  { name: 'none ready', given: ['n@', 'n!'], cluster: ['not ready', 'not ready'], local: ['not ready', FAR] },
  { name: 'some ready', given: ['n@', 'r@'], cluster: ['not ready', ''], local: ['not ready', ''] },
  { name: 'all going', given: ['t@', 't!'], cluster: ['', ''], local: ['', FAR] },
  {
    name: 'all going, elsewhere',
    given: ['t!', 't!'],
    cluster: ['', ''],
    local: [FAR, FAR],
    withoutLocal: 'drop',
  },
  {
    name: 'a ready one elsewhere, one here is going',
    given: ['r!', 'n@', 't@', 't!'],
    cluster: ['', 'not ready', 'terminating', 'terminating'],
    local: [FAR, 'not ready', '', FAR],
  },
  {
    name: 'ready ones keep those that are going out',
    given: ['r@', 't@', 'r!', 't!'],
    cluster: ['', 'terminating', '', 'terminating'],
    local: ['', 'terminating', FAR, FAR],
  },
  {
    name: 'going and no longer serving',
    given: ['T@', 'n@'],
    cluster: ['terminating', 'not ready'],
    local: ['terminating', 'not ready'],
  },
  {
    name: 'going and no longer serving, others serve',
    given: ['T@', 't!'],
    cluster: ['terminating', ''],
    local: ['terminating', FAR],
    withoutLocal: 'drop',
  },
  { name: 'going, but published as ready', given: ['rt@', 'r!'], cluster: ['', ''], local: ['', FAR] },
  {
    name: 'hints of zones; none for the policy Local',
    given: ['r@ a', 'r@ b', 'r! c', 'r! a'],
    cluster: ['', ZONE, ZONE, ''],
    local: ['', '', FAR, FAR],
  },
  {
    name: 'hints of several zones',
    given: ['r! a b c', 'r! b', 'r! a'],
    cluster: ['', ZONE, ''],
    local: [FAR, FAR, FAR],
    withoutLocal: 'drop',
  },
  {
    name: 'hints for other zones only',
    given: ['r! b', 'r! c'],
    cluster: ['', ''],
    local: [FAR, FAR],
    withoutLocal: 'drop',
  },
  {
    name: 'a ready one without a hint',
    given: ['r! a', 'r! b', 'r!'],
    cluster: ['', '', ''],
    local: [FAR, FAR, FAR],
    withoutLocal: 'drop',
  },
  {
    name: 'only ones that are not ready have no hint',
    given: ['r! a', 'r! b', 'n!'],
    cluster: ['', ZONE, 'not ready'],
    local: [FAR, FAR, FAR],
    withoutLocal: 'drop',
  },
  {
    name: 'our zone has none that is ready',
    given: ['n! a', 'r! b', 'r! c'],
    cluster: ['not ready', '', ''],
    local: [FAR, FAR, FAR],
    withoutLocal: 'drop',
  },
  {
    name: 'our zone has one left',
    given: ['r! a', 'n! a', 'r! b'],
    cluster: ['', 'not ready', ZONE],
    local: [FAR, FAR, FAR],
    withoutLocal: 'drop',
  },
  {
    name: 'a node of no zone',
    given: ['r! a', 'r! b'],
    zone: '',
    cluster: ['', ''],
    local: [FAR, FAR],
    withoutLocal: 'drop',
  },
  {
    name: 'no hint for those that are going',
    given: ['t! b', 't! a'],
    cluster: ['', ''],
    local: [FAR, FAR],
    withoutLocal: 'drop',
  },
  {
    name: 'hints of nodes come before those of zones',
    given: ['r@ a node1', 'r! a node2', 'r! b node3'],
    cluster: ['', NODE, NODE],
    local: ['', FAR, FAR],
  },
  {
    name: 'hints of nodes, none for us: those of zones',
    given: ['r! a node2', 'r! b node3'],
    cluster: ['', ZONE],
    local: [FAR, FAR],
    withoutLocal: 'drop',
  },
  {
    name: 'hints of nodes where one has none: those of zones',
    given: ['r@ a node1', 'r! b'],
    cluster: ['', ZONE],
    local: ['', FAR],
  },
  { name: 'weight 0 gets nobody', given: ['r@ *0', 'r@ *5'], cluster: ['weight 0', ''], local: ['weight 0', ''] },
  {
    name: 'weight 0 is as good as gone',
    given: ['r@ *0', 't@', 'n@ *0'],
    cluster: ['weight 0', '', 'not ready'],
    local: ['weight 0', '', 'not ready'],
  },
]

for (const { name, given, cluster, local, withoutLocal, zone } of cases) {
  test(`backends: ${name}`, () => {
    const viewpoint = zone === undefined ? HERE : { nodeName: 'node1' }
    const want = (reasons: readonly string[], without: string): unknown => ({
      reasons: reasons.map(reason => reason || undefined),
      without,
    })
    const candidates = given.map(candidate)
    assert.deepEqual(choose(candidates, 'Cluster', viewpoint), want(cluster, 'reject'))
    assert.deepEqual(choose(candidates, 'Local', viewpoint), want(local, withoutLocal ?? 'reject'))
  })
}

/**
 * The rules a second time, as sentences: in order of preference, what the set of backends may be; the first that is not
 * empty is it.
 */
function secondReading(all: readonly Candidate[], policy: TrafficPolicy): readonly Candidate[] {
  const open = all.filter(({ weight }) => weight !== 0)
  const here = policy === 'Cluster' ? open : open.filter(({ node }) => node === HERE.nodeName)
  const ready = here.filter(one => one.ready)
  const going = here.filter(one => one.serving && one.terminating)
  if (policy === 'Local') return [ready, going].find(set => set.length > 0) ?? []
  const readyOnes = open.filter(one => one.ready)
  const hinted = (hintsOf: (one: Candidate) => readonly string[] | undefined, us: string): readonly Candidate[] =>
    readyOnes.some(one => (hintsOf(one) ?? []).length === 0) ? [] : readyOnes.filter(one => hintsOf(one)?.includes(us))
  const byNode = hinted(one => one.forNodes, HERE.nodeName)
  const byZone = hinted(one => one.forZones, HERE.zone)
  return [byNode, byZone, ready, going].find(set => set.length > 0) ?? []
}

const words = fc
  .tuple(
    fc.constantFrom('r', 'r', 'r', 't', 'T', 'n', 'rt'),
    fc.constantFrom('@', '!'),
    fc.subarray([' a', ' b', ' node1', ' node2', ' *0']),
  )
  .map(([state, place, hints]) => `${state}${place}${hints.join('')}`)

test('any backends: as a second reading of the rules has it', () => {
  fc.assert(
    fc.property(
      fc.array(words, { maxLength: 6 }),
      fc.constantFrom<TrafficPolicy>('Cluster', 'Local'),
      (given, policy) => {
        const candidates = given.map(candidate)
        const { reasons, without } = choose(candidates, policy, HERE)
        const chosen = candidates.filter((_, i) => reasons[i] === undefined)
        assert.deepEqual(chosen, secondReading(candidates, policy))
        const isDropped = policy === 'Local' && chosen.length === 0 && secondReading(candidates, 'Cluster').length > 0
        assert.equal(without, isDropped ? 'drop' : 'reject')
      },
    ),
    { numRuns: 3000 },
  )
})
