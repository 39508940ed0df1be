// What the peers of the Cilium kinds mean: who may come in, and where one may go, for
// every way to write them. The node of a pod is always let in.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cnp, townWith } from '../testing/small-town.ts'

const WEB = 'endpointSelector: {matchLabels: {app: web}}'
const IN = '* -> shop/web 80/TCP'
const OUT = 'shop/web -> * 80/TCP'
const PODS = 'shop/till bank/web bank/vault'
const EVERYBODY = `${PODS} node1 node2 near far far6`.split(' ')
const PORT = 'toPorts: [{ports: [{port: "80", protocol: TCP}]}]'

const ingress = (rules: string) => cnp(`${WEB}, ingress: [${rules}]`)
const from = (selector: string) => ingress(`{fromEndpoints: [${selector}]}`)
const clusterwide = (text: string) => cnp(text, { namespace: '*' })

/** `who`: those that one may go to; they may come in, and so may the own node, which is node1. */
const cases: readonly (readonly [name: string, policy: string, who: string])[] = [
  ['no peers and no ports: nobody', ingress('{}'), ''],
  ['ports alone: everybody', ingress(`{${PORT}}`), `${PODS} node1 node2 near far far6`],
  ['fromEndpoints empty: nobody', ingress('{fromEndpoints: []}'), ''],
  ['fromEndpoints empty, with ports: nobody', ingress(`{fromEndpoints: [], ${PORT}}`), ''],
  ['an empty selector: the pods of the namespace', from('{}'), 'shop/till'],
  ['by label: of the namespace', from('{matchLabels: {app: vault}}'), ''],
  ['by label and namespace', from('{matchLabels: {app: vault, io.kubernetes.pod.namespace: bank}}'), 'bank/vault'],
  [
    'by label and namespace, each with its source',
    from('{matchLabels: {"k8s:app": vault, "k8s:io.kubernetes.pod.namespace": bank}}'),
    'bank/vault',
  ],
  [
    'every namespace',
    from('{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: Exists}]}'),
    'shop/till bank/web bank/vault',
  ],
  [
    'every namespace but one',
    from('{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: NotIn, values: [bank]}]}'),
    'shop/till',
  ],
  [
    'by a label of namespaces',
    from('{matchLabels: {io.cilium.k8s.namespace.labels.team: blue}}'),
    'bank/web bank/vault',
  ],
  [
    'by labels of namespaces and pods: both',
    from('{matchLabels: {io.cilium.k8s.namespace.labels.team: blue, app: web}}'),
    'bank/web',
  ],
  [
    'not by a label of namespaces',
    from('{matchExpressions: [{key: io.cilium.k8s.namespace.labels.team, operator: NotIn, values: [red]}]}'),
    'bank/web bank/vault',
  ],
  [
    'by the name label of namespaces',
    from('{matchLabels: {io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name: bank}}'),
    'bank/web bank/vault',
  ],
  ['by service account', from('{matchLabels: {io.cilium.k8s.policy.serviceaccount: till}}'), 'shop/till'],
  [
    'by service account of another namespace',
    from('{matchLabels: {io.cilium.k8s.policy.serviceaccount: vault, io.kubernetes.pod.namespace: bank}}'),
    'bank/vault',
  ],
  ['by cluster', from('{matchLabels: {io.cilium.k8s.policy.cluster: default}}'), 'shop/till'],
  ['another cluster', from('{matchLabels: {io.cilium.k8s.policy.cluster: east}}'), ''],
  [
    'items are ORed',
    from('{matchLabels: {app: till}}, {matchLabels: {app: vault, io.kubernetes.pod.namespace: bank}}'),
    'shop/till bank/vault',
  ],
  [
    'rules are ORed',
    ingress('{fromEndpoints: [{matchLabels: {app: till}}]}, {fromCIDR: [203.0.113.0/24]}'),
    'shop/till near',
  ],
  ['In', from('{matchExpressions: [{key: app, operator: In, values: [till, vault]}]}'), 'shop/till'],
  ['NotIn', from('{matchExpressions: [{key: app, operator: NotIn, values: [till]}]}'), ''],
  ['Exists', from('{matchExpressions: [{key: tier, operator: Exists}]}'), 'shop/till'],
  ['DoesNotExist', from('{matchExpressions: [{key: tier, operator: DoesNotExist}]}'), ''],
  ['reserved:world', from('{matchLabels: {"reserved:world": ""}}'), 'near far far6'],
  ['reserved:host: the own node alone', from('{matchLabels: {"reserved:host": ""}}'), 'node1'],
  ['reserved:remote-node', from('{matchLabels: {"reserved:remote-node": ""}}'), 'node2'],
  ['entity all', ingress('{fromEntities: [all]}'), `${PODS} node1 node2 near far far6`],
  ['entity world', ingress('{fromEntities: [world]}'), 'near far far6'],
  ['entity world-ipv4', ingress('{fromEntities: [world-ipv4]}'), 'near far'],
  ['entity world-ipv6', ingress('{fromEntities: [world-ipv6]}'), 'far6'],
  ['entity cluster', ingress('{fromEntities: [cluster]}'), `${PODS} node1 node2`],
  ['entity cluster-mesh', ingress('{fromEntities: [cluster-mesh]}'), `${PODS} node1 node2`],
  ['entity host: the own node alone', ingress('{fromEntities: [host]}'), 'node1'],
  ['entity remote-node', ingress('{fromEntities: [remote-node]}'), 'node2'],
  ['entity none', ingress('{fromEntities: [none]}'), ''],
  ['entities are ORed', ingress('{fromEntities: [none, remote-node, world-ipv6]}'), 'node2 far6'],
  ['a prefix: of the world alone', ingress('{fromCIDR: [10.0.0.0/8, 172.30.0.0/16, 203.0.113.0/24]}'), 'near'],
  ['0.0.0.0/0: the world of IPv4', ingress('{fromCIDR: [0.0.0.0/0]}'), 'near far'],
  ['::/0: the world of IPv6', ingress('{fromCIDR: ["::/0"]}'), 'far6'],
  ['an exception', ingress('{fromCIDRSet: [{cidr: 0.0.0.0/0, except: [203.0.113.0/24]}]}'), 'far'],
  [
    'what one prefix excepts another one allows',
    ingress('{fromCIDRSet: [{cidr: 0.0.0.0/0, except: [203.0.113.0/24]}, {cidr: 203.0.113.7/32}]}'),
    'near far',
  ],
  ['clusterwide, an empty selector: every pod', clusterwide(`${WEB}, ingress: [{fromEndpoints: [{}]}]`), PODS],
  [
    'clusterwide, by label: of any namespace',
    clusterwide(`${WEB}, ingress: [{fromEndpoints: [{matchLabels: {app: vault}}]}]`),
    'bank/vault',
  ],
  [
    'clusterwide, by a negative label: pods alone',
    clusterwide(
      `${WEB}, ingress: [{fromEndpoints: [{matchExpressions: [{key: app, operator: NotIn, values: [till]}]}]}]`,
    ),
    'bank/web bank/vault',
  ],
]

for (const [name, policy, who] of cases) {
  test(`in: ${name}`, () => {
    const withOwnNode = EVERYBODY.filter(other => other === 'node1' || who.split(' ').includes(other))
    assert.equal(townWith([policy]).ask(IN), withOwnNode.join(' '))
  })
  test(`out: ${name}`, () => {
    assert.equal(townWith([policy.replaceAll('from', 'to').replace('ingress', 'egress')]).ask(OUT), who)
  })
}
