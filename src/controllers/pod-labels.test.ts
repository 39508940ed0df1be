// Tests of pod-labels.ts: labels are worked out once for as long as what they depend on stays.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { cidr, PrefixTrie } from '../ip/index.ts'
import type { References } from '../policy/index.ts'
import type { Pod } from '../tables/index.ts'
import { PodLabels } from './pod-labels.ts'

const ADDRESS = '10.244.0.7'

/** Rows and label objects are replaced when they change, never changed in place; references live and count up. */
const PODS: readonly Pod[] = [{}, { app: 'web' }, { app: 'web', 'pod-template-hash': '1' }].map(labels => ({
  namespace: 'default',
  name: 'a',
  labels,
  serviceAccount: 'default',
  hostNetwork: false,
  addresses: [ADDRESS],
  ports: [{ name: 'http', protocol: 6, port: 80 }],
  origin: { file: 'pod.yaml', line: 1 },
}))
const NAMESPACE_LABELS = [{}, { team: 'blue' }] as const

function liveReferences() {
  const prefixes = new PrefixTrie<number>()
  const [egressNamedPorts, labelKeys] = [new Set<string>(), new Set<string>()]
  const references = { revision: 0, prefixes, egressNamedPorts, labelKeys, nameSelectors: new Set<string>() }
  const changes = [
    () => prefixes.set(cidr('10.244.0.0/24'), 1),
    () => prefixes.delete(cidr('10.244.0.0/24')),
    () => egressNamedPorts.add('http/TCP'),
    () => egressNamedPorts.delete('http/TCP'),
    () => labelKeys.add('pod-template-hash'),
    () => labelKeys.delete('pod-template-hash'),
  ]
  const change = (index: number): void => {
    changes[index % changes.length]?.()
    references.revision++
  }
  return { references: references satisfies References, change }
}

test('whatever changes in between, the answer is that of somebody who asks for the first time', () => {
  const step = fc.record({ pod: fc.nat(PODS.length - 1), namespace: fc.nat(1), change: fc.option(fc.nat(5)) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), steps => {
      const { references, change } = liveReferences()
      const podLabels = new PodLabels()
      for (const { pod: index, namespace, change: reference } of steps) {
        if (reference !== null) change(reference)
        const pod = PODS[index] as Pod
        const namespaceLabels = NAMESPACE_LABELS[namespace] as Readonly<Record<string, string>>
        const first = new PodLabels()
        assert.deepEqual(
          podLabels.subject(pod, namespaceLabels, references),
          first.subject(pod, namespaceLabels, references),
        )
        assert.deepEqual(
          podLabels.address(ADDRESS, pod, namespaceLabels, references),
          first.address(ADDRESS, pod, namespaceLabels, references),
        )
      }
    }),
  )
})

test('what nothing has changed for is not worked out again', () => {
  const { references, change } = liveReferences()
  const podLabels = new PodLabels()
  const [pod] = PODS as [Pod]
  const ask = () => podLabels.address(ADDRESS, pod, NAMESPACE_LABELS[0], references)
  const before = ask()
  assert.equal(before?.prefix, '10.244.0.7/32')
  assert.equal(ask(), before)
  change(0)
  assert.match(ask()?.labels.key ?? '', /cidr:10\.244\.0\.0\/24/)
})

test('a text that is no address has no identity', () => {
  const { references } = liveReferences()
  assert.equal(new PodLabels().address('10.244.0', PODS[0] as Pod, {}, references), undefined)
})
