// The yardstick counts what it says it counts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { labelSet, podLabels, reservedLabels } from '../../src/labels/index.ts'
import { manifestObject } from '../../src/policy/testing/manifest-object.ts'
import { naiveEntries, rangePrefixes } from './naive-expansion.ts'
import { policyOf } from './policy-cluster.ts'

const pod = (app: string, ...more: readonly string[]) => {
  const { labels } = podLabels({ namespace: 'shop', namespaceLabels: {}, labels: { app } })
  return labelSet([...labels, ...more.map(key => ({ source: 'port' as const, key, value: '8080' }))])
}

const IDENTITIES = new Map([
  [9, reservedLabels('world-ipv4')],
  [300, pod('web', 'http/TCP')],
  [301, pod('api', 'http/TCP')],
  [302, pod('db')],
])

function count(spec: object): readonly [keys: number, written: number] {
  const object = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { namespace: 'shop', name: 'one' },
    spec,
  }
  const subject = { labels: pod('db'), namedPorts: [{ name: 'sql', protocol: 6, port: 5432 }] }
  const { keys, written } = naiveEntries([policyOf(manifestObject(object))], IDENTITIES, subject)
  return [keys, written]
}

const ANY_POD = { podSelector: {} }

/** Each with the entry that lets everything out: nothing isolates that way. */
const CASES: readonly { readonly name: string; readonly spec: object; readonly want: readonly [number, number] }[] = [
  { name: 'another pod’s policy', spec: { podSelector: { matchLabels: { app: 'web' } } }, want: [2, 2] },
  { name: 'nothing let in', spec: { podSelector: {} }, want: [1, 1] },
  { name: 'any peer and any port are one entry', spec: { podSelector: {}, ingress: [{}] }, want: [2, 2] },
  {
    name: 'each peer with each port',
    spec: { podSelector: {}, ingress: [{ from: [ANY_POD], ports: [{ port: 80 }, { port: 'sql' }] }] },
    want: [7, 7],
  },
  {
    name: 'a key that two rules write is there once',
    spec: {
      podSelector: {},
      ingress: [{ from: [ANY_POD] }, { from: [{ podSelector: { matchLabels: { app: 'web' } } }] }],
    },
    want: [4, 5],
  },
  {
    name: 'a range is its prefixes',
    spec: {
      podSelector: {},
      ingress: [
        {
          ports: [
            { port: 80, endPort: 95 },
            { port: 1000, endPort: 1002 },
          ],
        },
      ],
    },
    want: [4, 4],
  },
  {
    name: 'a named port is for the peers that have it',
    spec: { podSelector: {}, policyTypes: ['Egress'], egress: [{ ports: [{ port: 'http' }] }] },
    want: [3, 3],
  },
]

for (const { name, spec, want } of CASES) test(`naive expansion: ${name}`, () => assert.deepEqual(count(spec), want))

test('the prefixes of a range hold its ports, each once', () => {
  for (const [first, last] of [
    [0, 65_535],
    [1, 65_534],
    [80, 80],
    [30_000, 32_767],
    [1000, 1002],
  ] as const) {
    const ports = rangePrefixes(first, last).flatMap(prefix => {
      const [port = 0, length = 0] = prefix.split('/').map(Number)
      return Array.from({ length: 2 ** (16 - length) }, (_, i) => port + i)
    })
    assert.deepEqual(
      ports,
      Array.from({ length: last - first + 1 }, (_, i) => first + i),
    )
  }
})
