// Rows of policy maps and rules: their numbers, their texts, and how long these last.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EMPTY_LABELS } from '../labels/index.ts'
import { type L7Rules, NOT_ISOLATED, type ResolvedPolicy, type Rule } from '../policy/index.ts'
import type { NumberedRule } from '../tables/index.ts'
import { type Memory, volatileMemory } from './memory.ts'
import type { Subject } from './pod-labels.ts'
import { PolicyRows } from './policy-rows.ts'

const subject = (key: string): Subject => ({ key, labels: EMPTY_LABELS, namedPorts: [] })

const resolved = (key: string, ...rules: readonly string[]): ResolvedPolicy => ({
  key,
  isolatedBy: { ingress: [], egress: [] },
  entries: rules.map((rule, i) => ({
    direction: 'ingress',
    identity: 256 + i,
    protocol: 0,
    port: 0,
    portPrefixLength: 0,
    verdict: 'allow',
    precedence: 1,
    rule,
  })),
})

const rule = (line: number): Rule => {
  const policy = { kind: 'NetworkPolicy', namespace: 'shop', name: 'web', origin: { file: 'web.yaml', line: 1 } }
  const about = { path: 'ingress[0]', direction: 'ingress', index: 0, action: 'allow', tier: 'normal' } as const
  return { key: 'a', policy, origin: { file: 'web.yaml', line }, precedence: 1, peers: 'any', ports: 'any', ...about }
}

const HOUR_MS = 60 * 60_000

function started(memory: Memory = volatileMemory()) {
  const clock = { nowMs: 0 }
  return { memory, clock, rows: new PolicyRows(memory, () => clock.nowMs) }
}

test('a map has its subject’s number, and its entries those of their rules', () => {
  const { memory, rows } = started()
  const [web, client] = [subject('web'), subject('client')]
  const policies = [
    [web, resolved('x', 'a', 'b', 'a')],
    [client, resolved('y', 'b', NOT_ISOLATED)],
  ] as const
  const maps = rows.policyMaps(policies)
  assert.deepEqual(
    maps.map(({ id, contentKey, entries }) => [id, contentKey, ...entries.map(entry => [entry.key, entry.rule])]),
    [
      [1, 'x', ['a', 16], ['b', 17], ['a', 16]],
      [2, 'y', ['b', 17], [NOT_ISOLATED, 1]],
    ],
  )
  assert.deepEqual(started(memory).rows.policyMaps(policies.toReversed()).toReversed(), maps)
})

test('an entry names its rule set and does not hold it', () => {
  const { rows } = started()
  const sources = ['a', 'b'].map(key => ({ rule: key, field: 'rules.kafka[0]' }))
  const rules: L7Rules = { parser: 'kafka', rules: sources }
  const { entries, ...policy } = resolved('x', 'a')
  const judged = entries.map(entry => ({ ...entry, treatment: { l7: { key: 'content', rules } } }))
  const maps = rows.policyMaps([[subject('web'), { ...policy, entries: judged }]])
  assert.deepEqual(
    maps.flatMap(map => map.entries.map(({ l7, treatment }) => [l7, treatment])),
    [[{ number: 1, key: 'content', judge: 'kafka' }, undefined]],
  )
  assert.deepEqual(rows.ruleSets(maps), [{ number: 1, rules }])
  const told = rows.rules(
    maps,
    () => undefined,
    () => undefined,
  )
  assert.deepEqual(
    told.map(({ key }) => key),
    ['a', 'b'],
    'all rules that an event may name',
  )
})

test('entries are numbered once for equal policies, and not again while they stay', () => {
  const { rows } = started()
  const policy = resolved('x', 'a')
  const [first, second] = rows.policyMaps([
    [subject('web'), policy],
    [subject('client'), policy],
  ])
  assert.equal(first?.entries, second?.entries)
  const [later] = rows.policyMaps([[subject('web'), policy]])
  assert.equal(later?.entries, first?.entries)
})

test('a rule is told with its place, and keeps its text and number while events may carry it', () => {
  const { clock, rows } = started()
  const known = new Map<number, NumberedRule>()
  const rulesOf = (policy: ResolvedPolicy, ruleOf: (key: string) => Rule | undefined) => {
    const told = rows.rules(rows.policyMaps([[subject('web'), policy]]), ruleOf, number => known.get(number))
    known.clear()
    for (const row of told) known.set(row.number, row)
    return Object.fromEntries(told.map(({ number, text, log }) => [number, log ? `${text} [${log}]` : text]))
  }
  const open = { 1: 'open: no policy isolates this direction' }
  assert.deepEqual(
    rulesOf(resolved('x', 'a'), () => ({ ...rule(7), log: 'from the till' })),
    { 16: 'NetworkPolicy shop/web ingress[0] (web.yaml:7) [from the till]' },
  )
  assert.deepEqual(
    rulesOf(resolved('y', NOT_ISOLATED), () => undefined),
    { ...open, 16: 'NetworkPolicy shop/web ingress[0] (web.yaml:7) [from the till]' },
  )
  clock.nowMs += 3 * HOUR_MS
  assert.deepEqual(
    rulesOf(resolved('y', NOT_ISOLATED), () => undefined),
    open,
  )
  assert.deepEqual(
    rulesOf(resolved('x', 'a'), () => rule(9)),
    { ...open, 17: 'NetworkPolicy shop/web ingress[0] (web.yaml:9)' },
  )
})

test('what an earlier run numbered and nothing wants any more is let go of too', () => {
  const { memory, rows } = started()
  const maps = rows.policyMaps([[subject('web'), resolved('x', 'a')]])
  rows.rules(
    maps,
    () => undefined,
    () => undefined,
  )
  const next = started(memory)
  assert.deepEqual(next.rows.subjectKeys(), ['web'])
  next.rows.forget('web')
  assert.deepEqual(next.rows.subjectKeys(), [])
  assert.deepEqual(
    next.rows.rules(
      [],
      () => undefined,
      () => undefined,
    ),
    [{ number: 16, key: 'a', text: 'a' }],
  )
  next.clock.nowMs += 3 * HOUR_MS
  assert.deepEqual(
    next.rows.rules(
      [],
      () => undefined,
      () => undefined,
    ),
    [],
  )
  assert.equal(memory.entries('rule').size + memory.entries('policy-map').size, 0)
})
