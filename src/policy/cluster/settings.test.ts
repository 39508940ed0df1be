// What is set for a cluster or a namespace beside its policies: audit, the enforcement
// mode, CIDR groups.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ip } from '../../ip/index.ts'
import { formatProblem, parseManifests } from '../../manifests/index.ts'
import type { EnforcementMode } from '../model/enforcement.ts'
import type { Cluster } from './cluster.ts'
import { readCluster } from './cluster-manifests.ts'
import { reach } from './reach.ts'

const TCP = 6
const AUDIT = 'policy.axoneme.io/audit'

const namespace = (name: string, audit?: string): string => `
---
apiVersion: v1
kind: Namespace
metadata: {name: ${name}${audit === undefined ? '' : `, annotations: {${AUDIT}: ${audit}}`}}`
const pod = (namespace: string, name: string, address: string): string => `
---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}, labels: {app: ${name}}}
spec: {containers: [{name: c}]}
status: {podIPs: [{ip: ${address}}]}`
const closed = (namespace: string): string => `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: ${namespace}}
spec: {podSelector: {}, policyTypes: [Ingress]}`

const PODS = pod('live', 'a', '10.1.0.1') + pod('tried', 'b', '10.1.0.2')
const read = (yaml: string, enforcement?: EnforcementMode) =>
  readCluster(parseManifests(yaml, 'c.yaml').objects, enforcement ? { enforcement } : {})

/** `FROM>TO VERDICT` of every pair. */
const table = (cluster: Cluster): string[] =>
  [...reach(cluster, [{ protocol: TCP, port: 80 }])].map(({ from, to, verdict }) => `${from}>${to} ${verdict}`)

test('in an audited namespace what is denied passes, and the verdict says so', () => {
  const yaml = PODS + namespace('tried', '"true"') + closed('tried') + closed('live')
  const { cluster, problems } = read(yaml)
  assert.deepEqual(problems, [])
  assert.deepEqual(table(cluster), ['live/a>tried/b allowed', 'tried/b>live/a denied'])
  const { verdict, ingress } = cluster.verdict(cluster.endAt(ip('10.1.0.1')), cluster.endAt(ip('10.1.0.2')), TCP, 80)
  assert.deepEqual([verdict, ingress?.verdict, ingress?.audit], ['allowed', 'allowed', true])
  assert.deepEqual([ingress?.entry?.rule, ingress?.entry?.verdict], ['default-deny', 'deny'])
})

test('an annotation that is neither true nor false is an error, and all is enforced', () => {
  for (const text of ['"yes"', '"True"', '""']) {
    const { cluster, problems } = read(PODS + namespace('tried', text) + closed('tried'))
    assert.match(
      problems.map(formatProblem).join('\n'),
      /^c\.yaml:\d+:\d+: error: Namespace tried: metadata\.annotations.*axoneme\.io\/audit.*: must be "true" or "false", not "/,
    )
    assert.deepEqual(table(cluster), ['live/a>tried/b denied', 'tried/b>live/a allowed'])
  }
  assert.deepEqual(table(read(PODS + namespace('tried', '"false"') + closed('tried')).cluster), [
    'live/a>tried/b denied',
    'tried/b>live/a allowed',
  ])
})

test('enforcement modes', () => {
  const rows = (mode?: EnforcementMode): string[] => table(read(PODS + closed('tried'), mode).cluster)
  assert.deepEqual(rows(), ['live/a>tried/b denied', 'tried/b>live/a allowed'])
  assert.deepEqual(rows('default'), rows())
  assert.deepEqual(rows('never'), ['live/a>tried/b allowed', 'tried/b>live/a allowed'])
  assert.deepEqual(rows('always'), ['live/a>tried/b denied', 'tried/b>live/a denied'])
})

test('mode always leaves open what a baseline allows', () => {
  const baseline = `
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: base}
spec:
  tier: Baseline
  priority: 1
  subject: {namespaces: {}}
  ingress: [{action: Accept, from: [{namespaces: {}}]}]
  egress: [{action: Accept, to: [{namespaces: {}}]}]`
  assert.deepEqual(table(read(PODS + baseline, 'always').cluster), ['live/a>tried/b allowed', 'tried/b>live/a allowed'])
  assert.deepEqual(table(read(PODS + baseline + closed('tried'), 'always').cluster), [
    'live/a>tried/b denied',
    'tried/b>live/a allowed',
  ])
})

const policyTo = (rule: string): string => `
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: out, namespace: live}
spec:
  endpointSelector: {}
  egress:
  - toCIDRSet: [${rule}]`
const group = (name: string, team: string, cidr: string): string => `
---
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {name: ${name}, labels: {team: ${team}}}
spec: {externalCIDRs: [${cidr}]}`

test('CIDR groups stand for addresses outside the cluster, by name and by label; one that is not there is told', () => {
  const groups =
    group('one', 'x', '192.0.2.0/24') + group('two', 'x', '10.1.0.0/16') + group('three', 'y', '198.51.100.0/24')
  const ways = (rule: string): string[] => {
    const { cluster, problems } = read(PODS + groups + policyTo(rule))
    assert.deepEqual(problems.map(formatProblem), [])
    const from = cluster.endAt(ip('10.1.0.1'))
    const all = ['192.0.2.1', '192.0.2.130', '10.1.9.9', '10.1.0.2', '198.51.100.1']
    return all.filter(text => cluster.verdict(from, cluster.endAt(ip(text)), TCP, 80).verdict === 'allowed')
  }
  assert.deepEqual(ways('{cidrGroupRef: one, except: [192.0.2.128/25]}'), ['192.0.2.1'])
  assert.deepEqual(ways('{cidrGroupSelector: {matchLabels: {team: x}}}'), ['192.0.2.1', '192.0.2.130', '10.1.9.9'])
  const { problems } = read(PODS + policyTo('{cidrGroupRef: four}'))
  assert.match(
    problems.map(formatProblem).join('\n'),
    /^c\.yaml:\d+:\d+: warning: CiliumNetworkPolicy live\/out: .*egress\[0\]: refers to CIDR group four, which is not there/,
  )
})
