// What a pod's reach looks like for people where there are many peers.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { explainPod, parseManifests, readCluster } from '../policy/index.ts'
import { podReachText } from './policy-explain-pod-text.ts'

const pod = (name: string, host: number, ...more: readonly string[]): string =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}, spec: {containers: [{name: m}]}, status: {podIPs: [${[`10.0.0.${host}`, ...more].map(ip => `{ip: "${ip}"}`).join()}]}}`
const policy = (name: string, spec: string): string =>
  `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: ${name}, namespace: shop}, spec: {podSelector: {matchLabels: {app: ${name}}}, ${spec}}}`

function reachOf(...manifests: readonly string[]): readonly string[] {
  const { objects } = parseManifests(manifests.join('\n---\n'), 'shop.yaml')
  const { cluster } = readCluster(objects)
  const [first = assert.fail()] = cluster.content.pods
  return stripVTControlCharacters(podReachText(explainPod(cluster, first))).split('\n')
}

test('peers that are denied for many reasons are one list, which ends somewhere', () => {
  const names = Array.from({ length: 20 }, (_, i) => `peer-${i + 10}`)
  const lines = reachOf(
    pod('web', 1),
    policy('web', 'policyTypes: [Ingress]'),
    ...names.map((name, i) => pod(name, i + 10)),
    ...names.map(name => policy(name, 'egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]')),
  )
  const from = lines.filter(line => line.startsWith('  from '))
  assert.ok(from.some(line => /peer-10, .*and \d+ more; -o json names all of them$/.test(line)))
  assert.ok(lines.includes('    everything: denied  by the policies of this pod, of theirs, or of both'))
  assert.ok(from.length <= 4, from.join('\n'))
})

test('two addresses with the same answers are one peer, though a block holds only one of them', () => {
  const lines = reachOf(
    pod('web', 1, 'fd00::1'),
    pod('client', 2, 'fd00::2'),
    policy('web', 'ingress: [{ports: [{port: 80}]}, {from: [{ipBlock: {cidr: 10.0.0.128/25}}]}]'),
    policy('other', 'egress: [{to: [{ipBlock: {cidr: 10.0.0.0/25}}]}]'),
  )
  assert.ok(lines.includes('  from shop/client'), lines.join('\n'))
})
