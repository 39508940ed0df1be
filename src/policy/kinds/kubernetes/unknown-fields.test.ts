// A rule with a field that nobody here knows, of a newer version or misspelt, fails
// closed: without the field it might mean more than was written. An API server of
// Kubernetes refuses or drops such a field; a file has nobody to do so.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatProblem, parseManifests } from '../../../manifests/index.ts'
import { readPolicy } from '../read-policy.ts'

const TYPES = {
  NetworkPolicy: 'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: shop, name: p}\n',
  ClusterNetworkPolicy:
    'apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: p}\n',
}
const cluster = (rules: string): string => `spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, ${rules}}`

type Case = {
  readonly kind: keyof typeof TYPES
  readonly spec: string
  readonly path: string
  readonly becomes: 'nobody' | 'a denial of everybody'
}

const cases: readonly Case[] = [
  {
    kind: 'NetworkPolicy',
    spec: 'spec: {podSelector: {}, ingress: [{form: [{podSelector: {}}]}]}',
    path: 'ingress[0].form',
    becomes: 'nobody',
  },
  {
    kind: 'NetworkPolicy',
    spec: 'spec: {podSelector: {}, egress: [{to: [{podSelector: {}, names: [a]}]}]}',
    path: 'egress[0].to[0].names',
    becomes: 'nobody',
  },
  {
    kind: 'NetworkPolicy',
    spec: 'spec: {podSelector: {}, ingress: [{ports: [{port: 80, protocl: UDP}]}]}',
    path: 'ingress[0].ports[0].protocl',
    becomes: 'nobody',
  },
  {
    kind: 'ClusterNetworkPolicy',
    spec: cluster('ingress: [{action: Accept, from: [{namespaces: {}}], protocol: [{tcp: {}}]}]'),
    path: 'ingress[0].protocol',
    becomes: 'nobody',
  },
  {
    kind: 'ClusterNetworkPolicy',
    spec: cluster('egress: [{action: Pass, to: [{pods: {podSelector: {}, namespaceSelektor: {}}}]}]'),
    path: 'egress[0].to[0].pods.namespaceSelektor',
    becomes: 'a denial of everybody',
  },
]

for (const { kind, spec, path, becomes } of cases)
  test(`not known: ${kind} ${path} makes ${becomes}`, () => {
    const { objects } = parseManifests(TYPES[kind] + spec, 'policy.yaml')
    assert.ok(objects[0])
    const read = readPolicy(objects[0])
    const [rule] = read?.value?.specs[0]?.rules ?? []
    assert.deepEqual([rule?.action, rule?.peers], becomes === 'nobody' ? ['allow', []] : ['deny', 'any'])
    assert.deepEqual(
      read?.value?.unenforced?.map(field => field.path),
      [`spec.${path}`],
    )
    const told = read?.problems.map(formatProblem).join('\n') ?? ''
    assert.match(told, becomes === 'nobody' ? /this rule matches no traffic/ : /this rule denies all traffic/)
  })
