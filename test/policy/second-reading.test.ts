// Policies of every kind, from the YAML of random objects through the engine, against a
// second reading of the same objects. Another seed for every run; AXONEME_SEED repeats one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatIp, ip } from '../../src/ip/index.ts'
import { Judge } from '../../src/policy/cluster/judge.ts'
import { type ConnectionVerdict, type L7Rules, rulesOf } from '../../src/policy/index.ts'
import { POLICY_SERVICES } from '../e2e/random-cilium-policies.ts'
import { clusterManifests, policySet } from '../e2e/random-policies.ts'
import { clusterOf, NODE_ADDRESS, QUESTIONS, WORLD } from './random-cluster.ts'
import { requestPolicySet } from './random-request-policies.ts'
import { servicePolicySet } from './random-service-policies.ts'
import type { Pod, Somebody } from './reading-values.ts'
import { type Group, type Policy, SecondReading, type Service, type Slice } from './second-reading.ts'

const seed = Number(process.env['AXONEME_SEED'] ?? Math.floor(Math.random() * 2 ** 31)) | 0

type Manifest = {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace: string; readonly labels: Pod['labels'] }
  readonly spec: { readonly containers: readonly { readonly ports: Pod['ports'] }[] }
  readonly status: { readonly podIPs: readonly { readonly ip: string }[] }
}

const manifests = clusterManifests() as Manifest[]
const pods = manifests
  .filter(({ kind }) => kind === 'Pod')
  .flatMap(({ metadata, spec, status }): Somebody[] => {
    const labels = manifests.find(({ kind, metadata: { name } }) => kind === 'Namespace' && name === metadata.namespace)
    const pod = {
      namespace: metadata.namespace,
      labels: metadata.labels,
      namespaceLabels: labels?.metadata.labels ?? {},
      ports: spec.containers.flatMap(({ ports }) => ports),
    }
    return status.podIPs.map(({ ip }) => ({ address: ip, pod }))
  })
const everybody: readonly Somebody[] = [
  ...pods,
  { address: NODE_ADDRESS, isNode: true },
  ...WORLD.map(address => ({ address })),
]

function agrees(set: readonly object[]): void {
  const second = new SecondReading([...POLICY_SERVICES, ...set] as (Policy | Group | Service | Slice)[])
  const cluster = clusterOf(set)
  const ends = new Map(everybody.map(somebody => [somebody, cluster.endAt(ip(somebody.address))]))
  const judge = new Judge(cluster, ends.values())
  for (const [from, fromEnd] of ends)
    for (const [to, toEnd] of ends) {
      if (from === to || fromEnd.address.family !== toEnd.address.family) continue
      const verdict = judge.between(fromEnd, toEnd)
      for (const question of QUESTIONS)
        assert.equal(
          engineAnswer(verdict(question.protocol, question.port)),
          second.answer(from, to, question),
          `${formatIp(fromEnd.address.bytes)} to ${formatIp(toEnd.address.bytes)} ${question.protocol}/${question.port}`,
        )
    }
}

/** In the words of the second reading. */
function engineAnswer(verdict: ConnectionVerdict): string {
  if (verdict.verdict === 'denied') return 'denied'
  return (['egress', 'ingress'] as const).map(direction => requestsText(rulesOf(verdict[direction]))).join(' / ')
}

function requestsText(rules: L7Rules | undefined): string {
  if (!rules || rules.audit) return 'open'
  const word = `${rules.parser}${tlsText(rules)}`
  return [...new Set(rules.rules.map(rule => `${word} ${JSON.stringify(written(rule))}`))].sort().join(', ')
}

function tlsText(rules: L7Rules): string {
  if (rules.parser !== 'http' || !(rules.terminating || rules.originating)) return ''
  const names = [rules.terminating, rules.originating].map(context =>
    context ? `${context.secret.namespace}/${context.secret.name}` : '',
  )
  return `<${names.join('|')}>`
}

/** A rule as the random policies write it. */
function written(rule: L7Rules['rules'][number]): object {
  if ('pattern' in rule) return { matchPattern: rule.pattern.replace(/\.$/, '') }
  if ('headers' in rule) return rule.method === undefined ? {} : { method: rule.method }
  return 'topic' in rule ? { topic: rule.topic } : {}
}

test('the engine agrees with a second reading: requests, questions and messages beside open ports', () => {
  fc.assert(fc.property(requestPolicySet, agrees), { seed, numRuns: 200 })
})

test('the engine agrees with a second reading: every kind, every pair, every port', () => {
  fc.assert(fc.property(policySet, agrees), { seed, numRuns: 400 })
})

test('the engine agrees with a second reading: services of every kind, policies that name them', () => {
  fc.assert(fc.property(servicePolicySet, agrees), { seed, numRuns: 150 })
})
