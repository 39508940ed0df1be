// What explain offers as the smallest change, applied, changes just what it says: on
// random clusters with random policies of every kind, the asked connection flips, and
// beside it those connections that the explanation lists, and no other, on no other
// port. Another seed for every run; AXONEME_SEED repeats one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parse } from 'yaml'
import {
  type AddedRule,
  type Change,
  type Cluster,
  type End,
  type Explanation,
  explain,
  type Question,
} from '../../src/policy/index.ts'
import { policySet } from '../e2e/random-policies.ts'
import { ASKED, clusterOf, endsOf, isSamePod, OUTSIDE, outcomes, pods } from './explained-cluster.ts'

const RUNS = 60
const QUESTIONS_PER_RUN = 12
const seed = Number(process.env['AXONEME_SEED'] ?? Math.floor(Math.random() * 2 ** 31)) | 0

test(`the smallest change changes what it says and nothing else, seed ${seed}`, t => {
  const told = { changed: 0, impossible: 0, others: 0, instead: 0, world: 0 }
  const choices = fc.array(fc.nat(), { minLength: QUESTIONS_PER_RUN, maxLength: QUESTIONS_PER_RUN })
  const random = fc.sample(fc.tuple(policySet, fc.tuple(choices, choices, choices)), { numRuns: RUNS, seed })
  for (const [policies, [froms, tos, ports]] of random) {
    const trial = new Trial(policies)
    for (const [i, from] of froms.entries()) {
      const question = trial.question(from, tos[i] ?? 0, ports[i] ?? 0)
      const change = question && trial.check(question)
      if (!change) continue
      if (!change.possible) told.impossible++
      else {
        told.changed++
        told.others += change.alsoCount
        told.instead += change.instead.length
        told.world += change.world ? 1 : 0
      }
    }
  }
  t.diagnostic(JSON.stringify(told))
  assert.ok(told.changed > RUNS, 'too few changes to prove anything')
  assert.ok(told.others > 0 && told.world > 0)
})

type Asked = { readonly question: Question; readonly names: readonly [string, string]; readonly where: string }

/** A cluster with some policies, and what becomes of every connection of it. */
class Trial {
  readonly #policies: readonly object[]
  readonly #cluster: Cluster
  readonly #before: ReadonlyMap<string, string>
  readonly #ends: readonly (readonly [string, End])[]

  constructor(policies: readonly object[]) {
    this.#policies = policies
    this.#cluster = clusterOf([...pods, ...policies])
    this.#before = outcomes(this.#cluster)
    this.#ends = [...endsOf(this.#cluster)]
  }

  /** Undefined for two that never speak to each other. */
  question(from: number, to: number, asked: number): Asked | undefined {
    const [source, target] = [from, to].map(choice => this.#ends[choice % this.#ends.length])
    const [protocol, port] = ASKED[asked % ASKED.length] ?? []
    if (!source || !target || !protocol || !port) return undefined
    const [[fromName, fromEnd], [toName, toEnd]] = [source, target]
    if (fromEnd.address.family !== toEnd.address.family || isSamePod(fromEnd, toEnd)) return undefined
    // Now and then the address stands for the whole world.
    const world =
      asked % 2 === 0 ? undefined : fromEnd.kind === 'world' ? 'from' : toEnd.kind === 'world' ? 'to' : undefined
    return {
      question: { from: fromEnd, to: toEnd, protocol, port, ...(world && { world }) },
      names: [fromName, toName],
      where: `${protocol}/${port}`,
    }
  }

  /** Explains it and checks all that is said. */
  check(asked: Asked): Change {
    const { question, names, where } = asked
    const explanation = explain(this.#cluster, question)
    const { change } = explanation
    const name = `${names.join(' > ')} ${where}`
    const context = (): string => `${name}\n${JSON.stringify(this.#policies)}\n${JSON.stringify(change, undefined, 1)}`
    assert.equal(explanation.verdict, this.#before.get(name), context())
    checkRoles(explanation, context)
    if (!change.possible) return change
    const listed = change.also.map(flip => {
      const [from, to] = [question.from, question.to].map((end, i) => {
        return end.kind === 'pod' ? `${i === 0 ? flip.from : flip.to} ${flip.family}` : names[i]
      })
      return `${from} > ${to} ${where}`
    })
    const after = outcomes(clusterOf([...pods, ...this.#policies], change.yaml))
    assert.equal(after.get(name), change.to === 'allow' ? 'allowed' : 'denied', context())
    const flipped = this.#flipped(after, asked)
    assert.deepEqual(flipped, [name, ...listed].sort(), context())
    // Where there is such a rule for each object, both ways are one.
    if (change.instead.length === change.objects.length) {
      const edited = outcomes(clusterOf([...pods, ...withRules(this.#policies, change.instead)]))
      assert.deepEqual(this.#flipped(edited, asked), flipped, context())
    }
    return change
  }

  /** What is of another address outside is left out where the whole world is meant. */
  #flipped(after: ReadonlyMap<string, string>, { question, names }: Asked): string[] {
    const flipped = [...after].filter(([key, outcome]) => this.#before.get(key) !== outcome).map(([key]) => key)
    const others = OUTSIDE.filter(address => question.world && !names.includes(address))
    return flipped.filter(key => !others.some(address => key.includes(address))).sort()
  }
}

/** The policies with more rules. */
function withRules(policies: readonly object[], added: readonly AddedRule[]): object[] {
  return policies.map(object => {
    const { kind, metadata, spec } = object as Manifest
    const more = added.filter(({ policy }) => {
      return policy.kind === kind && policy.name === metadata.name && policy.namespace === metadata.namespace
    })
    const lists = more.map(({ path, yaml }) => {
      const direction = path.replace('spec.', '') as 'ingress' | 'egress'
      return [direction, [...(spec?.[direction] ?? []), ...(parse(yaml) as object[])]]
    })
    return more.length === 0 ? object : { ...object, spec: { ...spec, ...Object.fromEntries(lists) } }
  })
}

type Manifest = {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly spec?: Readonly<Partial<Record<'ingress' | 'egress', readonly object[]>>>
}

/** What decides is named once, and its role fits the decision. */
function checkRoles(explanation: Explanation, context: () => string): void {
  for (const side of [explanation.egress, explanation.ingress]) {
    if (!side.judged) continue
    const deciding = side.matching.filter(({ role }) => role === 'decides')
    const { decision } = side
    assert.equal(deciding.length, decision.kind === 'rule' ? 1 : 0, context())
    if (decision.kind === 'rule') assert.equal(deciding[0]?.path, decision.rule.path, context())
    const shadowed = side.matching.filter(({ role }) => role === 'shadowed' || role === 'tie')
    if (decision.kind !== 'rule') assert.deepEqual(shadowed, [], context())
  }
}
