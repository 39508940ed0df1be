// Expectations against a cluster: for each, the connections for which it does not hold,
// with what decides them.

import { PROTOCOLS } from '../../labels/index.ts'
import type { Cluster, End } from '../cluster/cluster.ts'
import { type Decider, decidersOf, deciderText } from '../cluster/deciders.ts'
import { Judge, type Outcome } from '../cluster/judge.ts'
import { type OutcomeRegion, outcomeRegions } from '../cluster/outcome-regions.ts'
import { endsBetween, type Place } from '../cluster/places.ts'
import { type PortClass, portClasses, portListText } from '../cluster/port-classes.ts'
import { policyName } from '../model/rule.ts'
import { Directory } from './directory.ts'
import { classesAt, spansIn } from './expected-ports.ts'
import type { Expectation } from './read-expectations.ts'

/** Whether an expectation holds, and where not. */
export type ExpectationResult = {
  readonly expectation: Expectation
  readonly passed: boolean
  /** How many pairs were asked for. */
  readonly pairs: number
  /** What cannot be asked, such as a name that no pod has. */
  readonly problems: readonly string[]
  /** The first of them, at most MAX_FAILURES. */
  readonly failures: readonly ExpectationFailure[]
  readonly failureCount: number
}

/** Connections of one pair for which the expectation does not hold. */
export type ExpectationFailure = {
  readonly from: string
  readonly to: string
  /** `5432/TCP`, `8000-8100/TCP`. */
  readonly ports: string
  readonly expected: Outcome
  readonly actual: Outcome
  /** The policy that should have decided, when another did. */
  readonly by?: string
  /** Empty where no policy has a say, or where no address family is common to both. */
  readonly deciders: readonly Decider[]
}

export const MAX_FAILURES = 1000

/** One result for each, in their order. */
export function runExpectations(cluster: Cluster, expectations: readonly Expectation[]): ExpectationResult[] {
  const run = new Run(cluster, expectations)
  return expectations.map(expectation => run.result(expectation))
}

/** What is expected of one ordered pair. */
type Asked = {
  readonly from: Place
  readonly to: Place
  readonly expect: Outcome
  readonly by: string | undefined
  /** A matrix tells who may reach whom, whatever is said then. */
  readonly orJudged?: true | undefined
}

class Run {
  readonly #cluster: Cluster
  readonly #directory: Directory
  readonly #classes: readonly PortClass[]
  readonly #judge: Judge
  readonly #regions = new Map<string, readonly OutcomeRegion[]>()

  constructor(cluster: Cluster, expectations: readonly Expectation[]) {
    this.#cluster = cluster
    const ends = expectations.flatMap(each =>
      each.kind === 'pair'
        ? [each.from, each.to]
        : [each.among, ...each.allowed.flatMap(({ from, to }) => [from, ...to])],
    )
    this.#directory = new Directory(cluster, ends)
    this.#classes = portClasses(
      [cluster],
      expectations.flatMap(({ ports }) => spansIn(ports)),
    )
    const places = [...this.#directory.everybody(), ...ends.flatMap(each => this.#directory.select(each).places)]
    this.#judge = new Judge(
      cluster,
      places.flatMap(place => place.ends),
    )
  }

  result(expectation: Expectation): ExpectationResult {
    const { asked, problems } = expectation.kind === 'pair' ? this.#ofPair(expectation) : this.#ofMatrix(expectation)
    const failures: ExpectationFailure[] = []
    let failureCount = 0
    let connections = 0
    for (const each of asked) {
      const classes = classesAt(expectation.ports, each.to, this.#classes)
      connections += classes.length
      for (const failure of this.#failures(each, classes)) {
        failureCount++
        if (failures.length < MAX_FAILURES) failures.push(failure)
      }
    }
    const all =
      connections > 0 || problems.length > 0
        ? problems
        : ['asks for no connection at all: no destination has such a port']
    const passed = all.length === 0 && failureCount === 0
    return { expectation, passed, pairs: asked.length, problems: all, failures, failureCount }
  }

  #ofPair(expectation: Expectation & { readonly kind: 'pair' }): AskedOrNot {
    const from = this.#directory.select(expectation.from)
    const to = this.#directory.select(expectation.to)
    const { expect, by } = expectation
    const asked = pairsOf(from.places, to.places).map(pair => ({ ...pair, expect, by }))
    const denied = (pairs: readonly Pair[]) =>
      pairs.map(pair => ({ ...pair, expect: 'denied' as const, by: undefined }))
    const { nobodyElse, nothingElse } = expectation
    const everybody = this.#directory.everybody()
    if (nobodyElse) asked.push(...denied(pairsOf(others(everybody, from.places), to.places).filter(isStoppable)))
    if (nothingElse) asked.push(...denied(pairsOf(from.places, others(everybody, to.places)).filter(isStoppable)))
    const problems = [...from.problems.map(text => `from: ${text}`), ...to.problems.map(text => `to: ${text}`)]
    return { asked, problems }
  }

  #ofMatrix({ among, allowed }: Expectation & { readonly kind: 'matrix' }): AskedOrNot {
    const all = this.#directory.select(among)
    const problems = all.problems.map(text => `among: ${text}`)
    const allowedPairs = new Map<Place, Set<Place>>()
    for (const { from, to } of allowed) {
      const senders = this.#directory.select(from)
      const receivers = this.#directory.select(to.length > 0 ? [...to] : from)
      problems.push(...senders.problems, ...(to.length > 0 ? receivers.problems : []))
      const outside = [...senders.places, ...receivers.places].find(place => !all.places.includes(place))
      if (outside) problems.push(`${outside.name} is allowed something and is not among those that the matrix is about`)
      for (const sender of to.length > 0 ? senders.places : [])
        allowedPairs.set(sender, new Set([...(allowedPairs.get(sender) ?? []), ...receivers.places]))
    }
    const asked = pairsOf(all.places, all.places).map(pair => {
      const isAllowed = allowedPairs.get(pair.from)?.has(pair.to) ?? false
      return {
        ...pair,
        expect: isAllowed ? ('allowed' as const) : ('denied' as const),
        by: undefined,
        orJudged: true as const,
      }
    })
    return { asked, problems }
  }

  *#failures({ from, to, expect, by, orJudged }: Asked, classes: readonly PortClass[]): Generator<ExpectationFailure> {
    const common = { from: from.name, to: to.name, expected: expect }
    const pairs = endsBetween(from, to)
    const families = new Set(pairs.map(([{ address }]) => address.family))
    const carried = classes.filter(({ protocol }) => isCarried(protocol, families))
    // Without a common address family nothing passes, nor does the ICMP of the other one.
    if (carried.length === 0 && expect !== 'denied')
      yield { ...common, ports: portListText(classes, classes), actual: 'denied', deciders: [] }
    const wrong = pairs.flatMap(([fromEnd, toEnd]) => this.#wrong(fromEnd, toEnd, { expect, by, orJudged }, carried))
    for (const alike of Map.groupBy(wrong, ({ key, ports }) => `${ports}\n${key}`).values()) {
      const [{ actual, deciders, ports, family }] = alike as [Wrong, ...Wrong[]]
      const where = alike.length < pairs.length ? ` over IPv${family}` : ''
      yield { ...common, ports: `${ports}${where}`, actual, ...(actual === expect && by && { by }), deciders }
    }
  }

  /** Ports of one pair of addresses that go wrong, in as many items as there are ways. */
  #wrong(from: End, to: End, { expect, by, orJudged }: Wanted, classes: readonly PortClass[]): Wrong[] {
    const found = this.#regionsOf(from, to, classes).flatMap(region => {
      const isMeant = orJudged && region.outcome === 'judged' && expect === 'allowed'
      const actual = isMeant ? expect : region.outcome
      if (actual === expect && by === undefined) return []
      const deciders = decidersOf(this.#cluster, from, to, region.verdict)
      if (actual === expect && by !== undefined && isDecidedBy(deciders, expect, by)) return []
      return [{ key: [actual, ...deciders.map(deciderText)].join('\n'), actual, deciders, region }]
    })
    return [...Map.groupBy(found, ({ key }) => key)].map(([key, alike]) => {
      const [{ actual, deciders }] = alike as [(typeof found)[number]]
      const regions = alike.map(({ region }) => region)
      return { key, actual, deciders, ports: portListText(regions, classes), family: to.address.family }
    })
  }

  #regionsOf(from: End, to: End, classes: readonly PortClass[]): readonly OutcomeRegion[] {
    const key = `${this.#judge.pairKind(from, to)} ${classes.map(({ protocol, first }) => `${protocol}/${first}`).join()}`
    const known = this.#regions.get(key)
    if (known) return known
    const regions = outcomeRegions(this.#judge, from, to, classes)
    this.#regions.set(key, regions)
    return regions
  }
}

function isCarried(protocol: number, families: ReadonlySet<4 | 6>): boolean {
  if (protocol === PROTOCOLS.ICMP) return families.has(4)
  if (protocol === PROTOCOLS.ICMPv6) return families.has(6)
  return families.size > 0
}

/** Ports of a pair that go wrong in the same way. */
type Wrong = {
  readonly key: string
  readonly actual: Outcome
  readonly deciders: readonly Decider[]
  readonly ports: string
  readonly family: 4 | 6
}

type Pair = { readonly from: Place; readonly to: Place }
type Wanted = Pick<Asked, 'expect' | 'by' | 'orJudged'>
type AskedOrNot = { readonly asked: Asked[]; readonly problems: string[] }

const pairsOf = (froms: readonly Place[], tos: readonly Place[]): Pair[] =>
  froms.flatMap(from => tos.flatMap(to => (isSame(from, to) ? [] : [{ from, to }])))

/** A way from somebody to himself, or within the world, is nothing that policies judge. */
const isSame = (from: Place, to: Place): boolean =>
  from === to || (from.pod !== undefined && from.pod === to.pod) || (from.kind === 'world' && to.kind === 'world')

function others(everybody: readonly Place[], but: readonly Place[]): Place[] {
  const pods = new Set(but.flatMap(({ pod }) => pod ?? []))
  return everybody.filter(place => !but.includes(place) && !(place.pod && pods.has(place.pod)))
}

/** Whether a policy could stop it: a node always reaches its own pods, and nothing is enforced between nodes and world. */
function isStoppable({ from, to }: Pair): boolean {
  const [fromEnd, toEnd] = [from.ends[0], to.ends[0]]
  if (fromEnd?.kind === 'node' && toEnd?.kind === 'pod') return fromEnd.node !== toEnd.pod.node
  return fromEnd?.kind === 'pod' || toEnd?.kind === 'pod'
}

function isDecidedBy(deciders: readonly Decider[], outcome: Outcome, by: string): boolean {
  return deciders
    .filter(decider => decider.outcome === outcome)
    .some(({ rule, isolatedBy }) => {
      const policies = rule ? [rule.policy] : isolatedBy
      const names = policies.flatMap(policy => {
        const name = policyName(policy)
        return [name, name.slice(policy.kind.length + 1)]
      })
      return names.includes(by) || (rule !== undefined && names.some(name => `${name} ${rule.path}` === by))
    })
}
