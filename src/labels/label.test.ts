// Labels and label sets: texts that read back as what they were made from, and are
// equal only for equal labels.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatLabel, LABEL_SOURCES, type Label, parseLabel } from './label.ts'
import { labelSet, labelValue, parseLabelSet, withLabels } from './label-set.ts'

// Mostly the characters that separate labels, where a text could be read in two ways.
const part = fc.string({ unit: fc.constantFrom('a', 'b', ':', '=', ';', '%', '3', 'B', 'D', '5', '/', ' ') })
const anyLabel: fc.Arbitrary<Label> = fc.record(
  { source: fc.constantFrom(...LABEL_SOURCES), key: part, value: part },
  { noNullPrototype: true },
)
const anyLabels = fc.uniqueArray(anyLabel, { selector: ({ source, key }) => `${source}:${key}`, maxLength: 5 })

test('texts of labels', async t => {
  const cases: readonly { text: string; label: Label }[] = [
    { text: 'k8s:app=web', label: { source: 'k8s', key: 'app', value: 'web' } },
    { text: 'reserved:host', label: { source: 'reserved', key: 'host', value: '' } },
    { text: 'k8s:host', label: { source: 'k8s', key: 'host', value: '' } },
    { text: 'k8s:reserved:host', label: { source: 'k8s', key: 'reserved:host', value: '' } },
    { text: 'cidr:fd00::/8', label: { source: 'cidr', key: 'fd00::/8', value: '' } },
    { text: 'port:http/TCP=8080', label: { source: 'port', key: 'http/TCP', value: '8080' } },
  ]
  for (const { text, label } of cases)
    await t.test(text, () => {
      assert.equal(formatLabel(label), text)
      assert.deepEqual(parseLabel(text), label)
    })
})

test('a text without a known source, or with a broken escape, is no label', () => {
  for (const text of ['', 'app=web', 'K8s:app', 'unknown:app', ':app', 'k8s:a%zz'])
    assert.equal(parseLabel(text), undefined)
})

test('format then parse is the identity, so that texts are equal only for equal labels', () => {
  fc.assert(fc.property(anyLabel, label => assert.deepEqual(parseLabel(formatLabel(label)), label)))
})

test('the key of a set is the same in any order, and reads back as the set', () => {
  fc.assert(
    fc.property(anyLabels, labels => {
      const set = labelSet(labels)
      assert.equal(labelSet([...labels].reverse().concat(labels)).key, set.key)
      assert.deepEqual(parseLabelSet(set.key), set)
      for (const { source, key, value } of labels) assert.equal(labelValue(set, source, key), value)
    }),
  )
})

test('different sets have different keys', () => {
  fc.assert(
    fc.property(anyLabels, anyLabels, (a, b) => {
      const texts = (labels: readonly Label[]): string =>
        labels
          .map(l => JSON.stringify([l.source, l.key, l.value]))
          .sort()
          .join()
      assert.equal(labelSet(a).key === labelSet(b).key, texts(a) === texts(b))
    }),
  )
})

test('one key with two values is refused, also when labels are added', () => {
  const set = labelSet([{ source: 'k8s', key: 'app', value: 'a' }])
  assert.throws(() => withLabels(set, [{ source: 'k8s', key: 'app', value: 'b' }]), /k8s:app has two values/)
  assert.equal(withLabels(set, [{ source: 'pod', key: 'app', value: 'b' }]).key, 'k8s:app=a;pod:app=b')
  assert.equal(withLabels(set, []), set)
})

test('nothing of a set can be changed', () => {
  const set = labelSet([{ source: 'k8s', key: 'app', value: 'a' }])
  assert.throws(() => (set.labels as Label[]).push({ source: 'reserved', key: 'host', value: '' }), TypeError)
  assert.throws(() => Object.assign(set.labels[0] as Label, { value: 'b' }), TypeError)
})
