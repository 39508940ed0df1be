// Step by step from one template to the next.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextSteps, type Replica, type RolloutPlan } from './rollout.ts'

const plan = (more: Partial<RolloutPlan> = {}): RolloutPlan => ({
  replicas: 3,
  maxSurge: 1,
  maxUnavailable: 0,
  recreate: false,
  ...more,
})

/** `old1`, `new1 ready`, `old2 ready terminating` */
const replica = (text: string): Replica => ({
  name: text.replace(/ .*/, ''),
  current: text.startsWith('new'),
  ready: text.includes(' ready'),
  terminating: text.includes(' terminating'),
})

const OLD = ['old1 ready', 'old2 ready', 'old3 ready']

const CASES: readonly {
  readonly name: string
  readonly plan?: Partial<RolloutPlan>
  readonly given: readonly string[]
  readonly want: readonly [create: number, ...deleted: string[]]
}[] = [
  { name: 'none yet', given: [], want: [3] },
  { name: 'all there', given: ['new1 ready', 'new2 ready', 'new3'], want: [0] },
  {
    name: 'too many: one that is not ready goes',
    given: ['new1 ready', 'new2', 'new3 ready', 'new4 ready'],
    want: [0, 'new2'],
  },
  { name: 'another template: one more at first', given: OLD, want: [1] },
  { name: 'nobody goes while the new one is not ready', given: [...OLD, 'new1'], want: [0] },
  { name: 'one goes when the new one is ready', given: [...OLD, 'new1 ready'], want: [0, 'old1'] },
  {
    name: 'what is ending leaves its room at once',
    given: ['old1 ready terminating', 'old2 ready', 'old3 ready', 'new1 ready'],
    want: [1],
  },
  {
    name: 'an old one that is not ready goes at once',
    given: ['old1', 'old2 ready', 'old3 ready', 'new1'],
    want: [0, 'old1'],
  },
  { name: 'without surge: one goes first', plan: { maxSurge: 0, maxUnavailable: 1 }, given: OLD, want: [0, 'old1'] },
  { name: 'all at once', plan: { maxUnavailable: 3, maxSurge: 3 }, given: OLD, want: [3, 'old1', 'old2', 'old3'] },
  { name: 'recreate: all old go', plan: { recreate: true }, given: OLD, want: [0, 'old1', 'old2', 'old3'] },
  {
    name: 'recreate: nobody comes while they end',
    plan: { recreate: true },
    given: ['old1 ready terminating'],
    want: [0],
  },
  { name: 'recreate: then all come', plan: { recreate: true }, given: [], want: [3] },
  { name: 'fewer replicas', plan: { replicas: 0 }, given: ['new1 ready', 'old1 ready'], want: [0, 'new1', 'old1'] },
]

for (const { name, plan: more, given, want } of CASES)
  test(`rollout: ${name}`, () => {
    const steps = nextSteps(plan(more), given.map(replica))
    assert.deepEqual([steps.create, ...steps.delete], want)
  })
