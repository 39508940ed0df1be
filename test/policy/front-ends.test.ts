// What users count on whatever their policies are, from the YAML of random objects to
// the verdict on every pair: the order of objects, adding allows, and that two kinds
// that say the same mean the same. Another seed for every run; AXONEME_SEED repeats one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatIp, ip } from '../../src/ip/index.ts'
import { Judge, outcomeOf } from '../../src/policy/cluster/judge.ts'
import { ciliumPolicySet } from '../e2e/random-cilium-policies.ts'
import { policySet } from '../e2e/random-policies.ts'
import {
  allowsOf,
  asCilium,
  clusterwide,
  denialsOf,
  inTheWorld,
  isCilium,
  oneForEach,
  type RandomObject,
} from './equivalent-policies.ts'
import { clusterOf, NODE_ADDRESS, QUESTIONS, WORLD } from './random-cluster.ts'

const seed = Number(process.env['AXONEME_SEED'] ?? Math.floor(Math.random() * 2 ** 31)) | 0

/** `FROM TO PROTOCOL/PORT` to the outcome, for all pods, the node and some of the world. */
function outcomes(policies: readonly object[]): Map<string, string> {
  const cluster = clusterOf(policies)
  const pods = cluster.content.pods.flatMap(pod => pod.addresses)
  const ends = [...pods, ip(NODE_ADDRESS), ...WORLD.map(ip)].map(address => cluster.endAt(address))
  const judge = new Judge(cluster, ends)
  const found = new Map<string, string>()
  for (const from of ends)
    for (const to of ends) {
      if (from === to || from.address.family !== to.address.family) continue
      const verdict = judge.between(from, to)
      const pair = `${formatIp(from.address.bytes)} ${formatIp(to.address.bytes)}`
      for (const { protocol, port } of QUESTIONS)
        found.set(`${pair} ${protocol}/${port}`, outcomeOf(verdict(protocol, port)))
    }
  return found
}

function assertSame(one: readonly object[], other: readonly object[]): void {
  const [was, is] = [outcomes(one), outcomes(other)]
  const different = [...was].filter(([question, outcome]) => is.get(question) !== outcome)
  assert.deepEqual(different.slice(0, 5), [], JSON.stringify([one, other], undefined, 1))
}

/** Of every kind. */
const anySet = policySet.map(set => set as RandomObject[])

test('the order of objects makes no difference', () => {
  fc.assert(
    fc.property(
      anySet.chain(set => fc.tuple(fc.constant(set), fc.shuffledSubarray(set, { minLength: set.length }))),
      ([set, shuffled]) => assertSame(set, shuffled),
    ),
    { seed, numRuns: 40 },
  )
})

const TEAM_TWO = [{ namespaceSelector: { matchLabels: { team: 'two' } } }]
const PORT_80 = { ports: [{ port: 80 }] }

/** Every pod is isolated, and much passes. */
const isolation = ['x', 'y', 'z'].map(namespace => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { namespace, name: 'isolated' },
  spec: {
    podSelector: {},
    policyTypes: ['Ingress', 'Egress'],
    ingress: [PORT_80, { from: TEAM_TWO }],
    egress: [PORT_80, { to: TEAM_TWO }],
  },
}))

test('a policy that only allows denies nothing that passed between pods that are isolated already', () => {
  fc.assert(
    fc.property(anySet, anySet, (set, others) => {
      const more = allowsOf(others)
      const [was, is] = [outcomes([...set, ...isolation]), outcomes([...set, ...isolation, ...more])]
      const cut = [...was].filter(([question, outcome]) => outcome !== 'denied' && is.get(question) === 'denied')
      assert.deepEqual(cut.slice(0, 5), [], JSON.stringify([set, more], undefined, 1))
    }),
    { seed, numRuns: 40 },
  )
})

test('a policy that only denies opens nothing', () => {
  fc.assert(
    fc.property(anySet, anySet, (set, others) => {
      const more = denialsOf(others)
      const [was, is] = [outcomes(set), outcomes([...set, ...more])]
      const opened = [...was].filter(([question, outcome]) => outcome === 'denied' && is.get(question) !== 'denied')
      assert.deepEqual(opened.slice(0, 5), [], JSON.stringify([set, more], undefined, 1))
    }),
    { seed, numRuns: 40 },
  )
})

test('a NetworkPolicy and a CiliumNetworkPolicy that say the same mean the same', () => {
  fc.assert(
    fc.property(policySet, set => {
      const policies = (set as RandomObject[]).filter(object => object.kind === 'NetworkPolicy').map(inTheWorld)
      assertSame(policies, policies.map(asCilium))
      const [first, ...rest] = policies
      if (first) assertSame(policies, [asCilium(first), ...rest])
    }),
    { seed, numRuns: 40 },
  )
})

test('a clusterwide policy for namespaces means what one policy in each of them means', () => {
  fc.assert(
    fc.property(ciliumPolicySet, set => {
      const objects = set as RandomObject[]
      const groups = objects.filter(object => !isCilium(object))
      const policies = objects.filter(isCilium)
      assertSame([...groups, ...policies.map(clusterwide)], [...groups, ...policies.flatMap(oneForEach)])
    }),
    { seed, numRuns: 40 },
  )
})
