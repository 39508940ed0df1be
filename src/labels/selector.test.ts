// Selectors as Kubernetes defines them, their canonical keys, and both indexes against
// a plain scan.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { LABEL_SOURCES, type Label } from './label.ts'
import { LabelIndex, SelectorIndex } from './label-index.ts'
import { type LabelSet, labelSet } from './label-set.ts'
import { podLabels } from './pod-labels.ts'
import {
  EVERYTHING,
  has,
  inNamespace,
  type KubernetesSelector,
  lacks,
  matches,
  namespaceRequirements,
  podRequirements,
  prefixedRequirements,
  type Requirement,
  type Selector,
  selector,
} from './selector.ts'

const pod = (labels: Record<string, string>, namespaceLabels: Record<string, string> = {}): LabelSet =>
  podLabels({ namespace: 'shop', namespaceLabels, labels })

const reservedHost = labelSet([{ source: 'reserved', key: 'host', value: '' }])

test('a podSelector asks what Kubernetes says it does', async t => {
  const cases: readonly {
    name: string
    selector: KubernetesSelector
    labels: Record<string, string>
    want: boolean
  }[] = [
    { name: 'empty selects all', selector: {}, labels: {}, want: true },
    {
      name: 'matchLabels, equal',
      selector: { matchLabels: { app: 'web' } },
      labels: { app: 'web', x: 'y' },
      want: true,
    },
    { name: 'matchLabels, other value', selector: { matchLabels: { app: 'web' } }, labels: { app: 'db' }, want: false },
    { name: 'matchLabels, absent', selector: { matchLabels: { app: 'web' } }, labels: {}, want: false },
    {
      name: 'matchLabels are ANDed',
      selector: { matchLabels: { app: 'web', tier: 'x' } },
      labels: { app: 'web' },
      want: false,
    },
    { name: 'empty value is a value', selector: { matchLabels: { app: '' } }, labels: { app: '' }, want: true },
    { name: 'empty value is not absence', selector: { matchLabels: { app: '' } }, labels: {}, want: false },
    {
      name: 'In',
      selector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['a', 'b'] }] },
      labels: { app: 'b' },
      want: true,
    },
    {
      name: 'In needs the key',
      selector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['a'] }] },
      labels: {},
      want: false,
    },
    {
      name: 'NotIn',
      selector: { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['a'] }] },
      labels: { app: 'a' },
      want: false,
    },
    {
      name: 'NotIn holds without the key',
      selector: { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['a'] }] },
      labels: {},
      want: true,
    },
    {
      name: 'Exists',
      selector: { matchExpressions: [{ key: 'app', operator: 'Exists' }] },
      labels: { app: '' },
      want: true,
    },
    {
      name: 'Exists, absent',
      selector: { matchExpressions: [{ key: 'app', operator: 'Exists' }] },
      labels: {},
      want: false,
    },
    {
      name: 'DoesNotExist',
      selector: { matchExpressions: [{ key: 'app', operator: 'DoesNotExist' }] },
      labels: { app: 'a' },
      want: false,
    },
    {
      name: 'DoesNotExist, absent',
      selector: { matchExpressions: [{ key: 'app', operator: 'DoesNotExist' }] },
      labels: {},
      want: true,
    },
    {
      name: 'labels and expressions are ANDed',
      selector: { matchLabels: { a: '1' }, matchExpressions: [{ key: 'b', operator: 'Exists' }] },
      labels: { a: '1' },
      want: false,
    },
  ]
  for (const { name, selector: given, labels, want } of cases)
    await t.test(name, () => assert.equal(matches(selector(podRequirements(given)), pod(labels)), want))
})

test('a podSelector sees pod labels only', () => {
  const selects = (given: KubernetesSelector, set: LabelSet): boolean => matches(selector(podRequirements(given)), set)
  assert.equal(selects({ matchExpressions: [{ key: 'host', operator: 'Exists' }] }, reservedHost), false)
  assert.equal(selects({ matchLabels: { team: 'a' } }, pod({}, { team: 'a' })), false)
  const internal = 'io.kubernetes.pod.namespace'
  assert.equal(selects({ matchLabels: { [internal]: 'shop' } }, pod({})), false)
})

test('a namespaceSelector sees labels of namespaces only, and pods only', () => {
  const selects = (given: KubernetesSelector, set: LabelSet): boolean =>
    matches(selector(namespaceRequirements(given)), set)
  assert.equal(selects({}, pod({})), true)
  assert.equal(selects({}, reservedHost), false)
  assert.equal(selects({ matchLabels: { team: 'a' } }, pod({}, { team: 'a' })), true)
  assert.equal(selects({ matchLabels: { team: 'a' } }, pod({ team: 'a' })), false)
  assert.equal(selects({ matchLabels: { 'kubernetes.io/metadata.name': 'shop' } }, pod({})), true)
  assert.equal(selects({ matchExpressions: [{ key: 'team', operator: 'DoesNotExist' }] }, reservedHost), false)
})

test('source prefixes', () => {
  const selects = (key: string, set: LabelSet): boolean =>
    matches(selector(prefixedRequirements({ matchExpressions: [{ key, operator: 'Exists' }] })), set)
  const podHost = pod({ host: '' })
  assert.equal(selects('reserved:host', reservedHost), true)
  assert.equal(selects('reserved:host', podHost), false)
  assert.equal(selects('k8s:host', podHost), true)
  assert.equal(selects('k8s:host', reservedHost), false)
  assert.equal(selects('any:host', podHost) && selects('any:host', reservedHost), true)
  assert.equal(selects('host', podHost) && selects('host', reservedHost), true)
  assert.equal(selects('unspec:host', podHost) && selects('unspec:host', reservedHost), true)
  const block = labelSet([{ source: 'cidr', key: '10.0.0.0/8', value: '' }])
  assert.equal(selects('cidr:10.0.0.0/8', block), true)
  // A key with a colon whose head is no source is a key of any source.
  assert.equal(selects('team:a', labelSet([{ source: 'k8s', key: 'team:a', value: '' }])), true)
})

test('a key of any source that is an internal name sees what Kubernetes says alone', () => {
  const account = 'io.cilium.k8s.policy.serviceaccount'
  const forged = labelSet([
    { source: 'k8s', key: account, value: 'default' },
    { source: 'pod', key: account, value: 'admin' },
  ])
  for (const key of [account, `any:${account}`, `unspec:${account}`, `k8s:${account}`]) {
    const ask = (value: string): boolean =>
      matches(selector(prefixedRequirements({ matchLabels: { [key]: value } })), forged)
    assert.deepEqual([ask('default'), ask('admin')], [true, false], key)
  }
})

test('any source: In needs one match, NotIn forbids all', () => {
  const both = labelSet([
    { source: 'k8s', key: 'app', value: 'a' },
    { source: 'pod', key: 'app', value: 'b' },
  ])
  const ask = (operator: 'In' | 'NotIn', value: string): boolean =>
    matches(selector([{ source: 'any', key: 'app', operator, values: [value] }]), both)
  assert.deepEqual([ask('In', 'a'), ask('In', 'b'), ask('In', 'c')], [true, true, false])
  assert.deepEqual([ask('NotIn', 'a'), ask('NotIn', 'b'), ask('NotIn', 'c')], [false, false, true])
})

test('equal requirements make equal keys, in any order', () => {
  const a = selector([has('k8s', 'a'), { source: 'k8s', key: 'b', operator: 'In', values: ['2', '1', '2'] }])
  const b = selector([
    { source: 'k8s', key: 'b', operator: 'In', values: ['1', '2'] },
    has('k8s', 'a'),
    has('k8s', 'a'),
  ])
  assert.equal(a.key, b.key)
  assert.equal(a.key, 'k8s:a; k8s:b in (1, 2)')
  assert.equal(
    selector([inNamespace('x'), lacks('cidr', '10.0.0.0/8')]).key,
    '!cidr:10.0.0.0/8; k8s:io.kubernetes.pod.namespace = x',
  )
  assert.equal(EVERYTHING.key, '')
})

const byNumber = (a: number, b: number): number => a - b

const word = fc.constantFrom('a', 'b', 'c', '')
const anyLabelSet = fc
  .uniqueArray(fc.record({ source: fc.constantFrom(...LABEL_SOURCES.slice(0, 3)), key: word, value: word }), {
    selector: (label: Label) => `${label.source}:${label.key}`,
    maxLength: 5,
  })
  .map(labelSet)
const anyRequirement: fc.Arbitrary<Requirement> = fc
  .record({
    source: fc.constantFrom(...LABEL_SOURCES.slice(0, 3), 'any' as const),
    key: word,
    operator: fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist'),
    values: fc.array(word, { maxLength: 3 }),
  })
  .map(r => ({ ...r, values: r.operator === 'In' || r.operator === 'NotIn' ? r.values : [] }))
const anySelector = fc.array(anyRequirement, { maxLength: 3 }).map(selector)

test('different requirements make different keys', () => {
  const confusing = fc.string({ unit: fc.constantFrom('a', ' ', '=', ',', ';', '(', ')', '!', '%') })
  const confusingRequirement = fc.record({
    source: fc.constant('k8s' as const),
    key: confusing,
    operator: fc.constantFrom('In' as const, 'NotIn' as const, 'Exists' as const),
    values: fc.array(confusing, { maxLength: 2 }),
  })
  const confusingSelector = fc
    .array(
      confusingRequirement.map(r => (r.operator === 'Exists' ? { ...r, values: [] } : r)),
      { maxLength: 2 },
    )
    .map(selector)
  fc.assert(
    fc.property(confusingSelector, confusingSelector, (a, b) => {
      const plain = (s: Selector): string =>
        s.requirements
          .map(r => JSON.stringify([r.key, r.operator, r.values]))
          .sort()
          .join()
      assert.equal(a.key === b.key, plain(a) === plain(b))
    }),
  )
})

test('both indexes answer as a scan does, whatever was added and taken away', () => {
  const step = fc.record({ slot: fc.nat({ max: 7 }), set: fc.option(anyLabelSet), selector: fc.option(anySelector) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), anyLabelSet, anySelector, (steps, probeSet, probeSelector) => {
      const things = new LabelIndex<number>()
      const selectors = new SelectorIndex<number>()
      const setBySlot = new Map<number, LabelSet>()
      const selectorBySlot = new Map<number, Selector>()
      for (const { slot, set, selector } of steps) {
        if (set) things.set(slot, set)
        else things.delete(slot)
        if (set) setBySlot.set(slot, set)
        else setBySlot.delete(slot)
        if (selector) selectors.set(slot, selector)
        else selectors.delete(slot)
        if (selector) selectorBySlot.set(slot, selector)
        else selectorBySlot.delete(slot)
      }
      const scannedSets = [...setBySlot].filter(([, set]) => matches(probeSelector, set)).map(([slot]) => slot)
      const scannedSelectors = [...selectorBySlot].filter(([, s]) => matches(s, probeSet)).map(([slot]) => slot)
      assert.deepEqual([...things.select(probeSelector)].sort(byNumber), scannedSets.sort(byNumber))
      assert.deepEqual([...selectors.matching(probeSet)].sort(byNumber), scannedSelectors.sort(byNumber))
      assert.deepEqual([things.size, selectors.size], [setBySlot.size, selectorBySlot.size])
    }),
    { numRuns: 500 },
  )
})
