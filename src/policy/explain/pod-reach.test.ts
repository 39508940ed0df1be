// All that may reach a pod, in groups: the whole answer for a small cluster, and that
// each group's answer is the verdict of each of its members on every port.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterOf, clusterPolicy, networkPolicy, node, pod } from '../testing/cluster-text.ts'
import type { Decision } from './explanation.ts'
import { type DirectionReach, explainPod } from './pod-reach.ts'
import { findPod } from './question.ts'

const TEXT = [
  node('node1', '172.30.0.2'),
  node('node2', '172.30.0.3'),
  pod(
    'shop/cart',
    { app: 'cart' },
    { ip: '10.0.0.2', ports: '[{name: http, containerPort: 8080}]', more: ', nodeName: node1' },
  ),
  pod('shop/front-1', { app: 'front' }, { ip: '10.0.0.3' }),
  pod('shop/front-2', { app: 'front' }, { ip: '10.0.0.4' }),
  pod('other/guest', { app: 'guest' }, { ip: '10.0.0.5' }),
  pod('other/strange', { app: 'strange' }, { ip: '10.0.0.6' }),
  networkPolicy(
    'shop/cart',
    '{podSelector: {matchLabels: {app: cart}}, ingress: [{from: [{podSelector: {matchLabels: {app: front}}}], ports: [{port: http}, {port: 9000, endPort: 9010}, {port: 53, protocol: UDP}]}, {from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}',
  ),
  clusterPolicy(
    'guests',
    'Admin',
    5,
    '{namespaces: {}}',
    'ingress: [{action: Accept, from: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: other}}}], protocols: [{tcp: {destinationPort: {number: 8080}}}]}]',
  ),
].join('')

const decisionText = (decision: Decision | undefined): string =>
  decision?.kind === 'rule' ? `${decision.rule.policy.name} ${decision.rule.path}` : (decision?.kind ?? '-')

const lines = ({ groups }: DirectionReach): string[] =>
  groups.flatMap(({ peers, answers }) => [
    peers
      .map(({ name, members, memberCount }) => (memberCount > 0 ? `${name}: ${members.join(' ')}` : name))
      .join(', '),
    ...answers.map(({ ports, verdict, ingress }) => `  ${ports.join(' ')}: ${verdict} ${decisionText(ingress)}`),
  ])

test('peers with the same answer stand together, those who may first', () => {
  const cluster = clusterOf(TEXT)
  const { ingress, egress, pod: self, addresses, unenforced } = explainPod(cluster, findPod(cluster, 'shop/cart'))
  assert.deepEqual([self.name, addresses, unenforced], ['shop/cart', ['10.0.0.2'], []])
  assert.deepEqual(
    ingress.isolatedBy.map(({ name }) => name),
    ['cart'],
  )
  assert.deepEqual(lines(ingress), [
    'shop/front: shop/front-1 shop/front-2',
    '  8080/TCP 9000-9010/TCP 53/UDP: allowed cart ingress[0]',
    '  everything else: denied default-deny',
    'other/guest: other/guest, other/strange: other/strange',
    '  8080/TCP: allowed guests ingress[0]',
    '  everything else: denied default-deny',
    'its own node: node node1',
    '  everything: allowed -',
    '192.0.2.0/24',
    '  everything: allowed cart ingress[1]',
    'other nodes: node node2, IPv4 addresses outside',
    '  everything: denied default-deny',
  ])
  assert.deepEqual(egress.isolatedBy, [])
  assert.ok(egress.groups.every(({ answers }) => answers.every(({ egress: own }) => own?.kind === 'not-isolated')))
})

test('a pod on the network of its node has no answer', () => {
  const cluster = clusterOf(node('node1', '172.30.0.2') + pod('shop/host', {}, { more: ', hostNetwork: true' }))
  assert.throws(
    () => explainPod(cluster, findPod(cluster, 'shop/host')),
    /pod shop\/host is on the network of its node: no policy applies to it/,
  )
})
