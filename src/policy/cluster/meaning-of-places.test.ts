// What addresses, groups of them, host networks, names of ports and labels that look
// like our own mean in the Cilium kinds, and the enforcement modes with their knobs.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clusterPolicy, cnp, np, townWith } from '../testing/small-town.ts'

const WEB = 'endpointSelector: {matchLabels: {app: web}}'
const IN = '* -> shop/web 80/TCP'
const OUT = 'shop/web -> * 80/TCP'
const EVERYBODY = 'shop/till bank/web bank/vault node1 node2 near far far6'
const port = (text: string) => `toPorts: [{ports: [{${text}}]}]`
const group = (name: string, labels: string, ...cidrs: readonly string[]) =>
  `{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: ${name}, labels: {${labels}}}, spec: {externalCIDRs: [${cidrs.join(', ')}]}}`
const agent = (name: string) =>
  `{apiVersion: v1, kind: Pod, metadata: {name: agent, namespace: shop, labels: {app: agent}}, spec: {hostNetwork: true, nodeName: ${name}, containers: [{name: c}]}}`
const relabelled = (labels: string) =>
  `{apiVersion: v1, kind: Pod, metadata: {name: stranger, namespace: bank, labels: {${labels}}}, spec: {nodeName: node2, containers: [{name: c}]}, status: {podIP: 198.51.100.1}}`

type Case = {
  readonly name: string
  readonly objects: readonly string[]
  readonly want: Readonly<Record<string, string>>
  readonly problems?: readonly RegExp[]
  readonly enforcement?: 'always' | 'never'
}

const cases: readonly Case[] = [
  {
    name: 'prefixes inside one another: an address has the rules of all that cover it',
    objects: [
      cnp(`${WEB}, egress: [{toCIDR: [203.0.0.0/8]}]`),
      cnp(`${WEB}, egress: [{toCIDR: [0.0.0.0/0], ${port('port: "443"')}}]`),
      cnp(`${WEB}, egress: [{toCIDRSet: [{cidr: 0.0.0.0/0, except: [203.0.113.7/32]}], ${port('port: "53"')}}]`),
    ],
    want: { [OUT]: 'near', 'shop/web -> * 443/TCP': 'near far', 'shop/web -> * 53/UDP': 'near far' },
  },
  {
    name: 'a narrow denial in a broad allow',
    objects: [
      cnp(`${WEB}, egress: [{toEntities: [world]}], egressDeny: [{toCIDR: [203.0.113.0/24], ${port('port: "80"')}}]`),
    ],
    want: { [OUT]: 'far far6', 'shop/web -> * 81/TCP': 'near far far6' },
  },
  {
    name: 'an exception of a denial is allowed by what allows it',
    objects: [
      cnp(
        `${WEB}, egress: [{toEntities: [world]}], egressDeny: [{toCIDRSet: [{cidr: 0.0.0.0/0, except: [203.0.113.0/24]}]}]`,
      ),
    ],
    want: { [OUT]: 'near far6' },
  },
  {
    name: 'CIDR groups by name, by label, and without some',
    objects: [
      group('offices', 'kind: office', '203.0.113.0/24', '"2001:db8::/32"'),
      group('partners', 'kind: partner', '198.51.100.0/24'),
      cnp(`${WEB}, egress: [{toCIDRSet: [{cidrGroupRef: offices, except: [203.0.113.7/32]}]}]`),
      cnp(
        `${WEB}, ingress: [{fromCIDRSet: [{cidrGroupSelector: {matchExpressions: [{key: kind, operator: Exists}]}}]}]`,
      ),
    ],
    want: { [OUT]: 'far6', [IN]: 'node1 near far far6' },
  },
  {
    name: 'a CIDR group that is not there: nobody, also in a denial',
    objects: [
      cnp(`${WEB}, egress: [{toCIDRSet: [{cidrGroupRef: gone}]}]`),
      cnp(`${WEB}, ingressDeny: [{fromCIDRSet: [{cidrGroupRef: gone}]}], enableDefaultDeny: {ingress: false}`),
    ],
    problems: [/egress\[0\]: refers to CIDR group gone, which is not there/, /ingressDeny\[0\]: refers to CIDR group/],
    want: { [OUT]: '', [IN]: EVERYBODY },
  },
  {
    name: 'a CIDR group of another version: refused, never passed over',
    objects: [group('offices', '', '203.0.113.0/24').replace('cilium.io/v2', 'cilium.io/v3')],
    problems: [/^error: CiliumCIDRGroup offices: apiVersion: must be cilium\.io\/v2 or cilium\.io\/v2alpha1$/],
    want: { [OUT]: EVERYBODY },
  },
  {
    name: 'a name of a port is nothing outside: only pods have names',
    objects: [cnp(`${WEB}, egress: [{toEntities: [all], ${port('port: http')}}]`)],
    want: { 'shop/web -> * 9090/TCP': 'shop/till', 'shop/web -> * 8080/TCP': '', [OUT]: '' },
  },
  {
    name: 'a pod on the network of a node has no labels as a peer',
    objects: [agent('node2'), cnp(`${WEB}, ingress: [{fromEndpoints: [{matchLabels: {app: agent}}]}]`)],
    want: { [IN]: 'node1' },
  },
  {
    name: 'and no policy of any kind is about it',
    objects: [
      agent('node2'),
      np('podSelector: {}, policyTypes: [Ingress, Egress]'),
      cnp('endpointSelector: {matchLabels: {app: agent}}, ingressDeny: [{fromEntities: [all]}]'),
      cnp('endpointSelector: {matchLabels: {app: agent}}, egress: [{}]', { namespace: '*' }),
      clusterPolicy(
        'tier: Admin, priority: 1, subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: agent}}}}, egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]',
      ),
    ],
    want: {
      '* -> node2 80/TCP': 'bank/web bank/vault node1 near far far6',
      'node2 -> * 80/TCP': 'bank/web bank/vault node1 near far far6',
    },
  },
  {
    name: 'an endpointSelector cannot reach out of its namespace by an expression either',
    objects: [
      cnp(
        'endpointSelector: {matchExpressions: [{key: io.kubernetes.pod.namespace, operator: In, values: [bank]}]}, ingress: [{}]',
      ),
    ],
    want: { '* -> bank/web 80/TCP': 'shop/web shop/till bank/vault node1 node2 near far far6', [IN]: EVERYBODY },
  },
  {
    name: 'labels named as reserved ones, as internal ones, or both, give no rights',
    objects: [
      relabelled(
        'host: "", remote-node: "", world: "", io.kubernetes.pod.namespace: shop, io.cilium.k8s.policy.serviceaccount: till, io.cilium.k8s.namespace.labels.team: red',
      ),
      cnp(
        `${WEB}, ingress: [{fromEntities: [host, remote-node, world]}, {fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.serviceaccount: till}}, {matchLabels: {io.cilium.k8s.namespace.labels.team: red}}]}]`,
      ),
    ],
    want: { [IN]: 'shop/till node1 node2 near far6' },
  },
  {
    name: 'nor do they take a pod out of the policies that select it',
    objects: [
      relabelled('app: stranger, host: "", io.kubernetes.pod.namespace: shop'),
      cnp('endpointSelector: {matchLabels: {app: stranger}}, ingress: [{}]', { namespace: 'bank' }),
      cnp('endpointSelector: {matchLabels: {host: ""}}, egress: [{}]', { namespace: '*' }),
    ],
    want: { '* -> far 80/TCP': 'node2', 'far -> * 80/TCP': '' },
  },
  {
    name: 'such a label selects by its own key, as any other does',
    objects: [
      relabelled('host: ""'),
      cnp(`${WEB}, ingress: [{fromEndpoints: [{matchLabels: {host: "", io.kubernetes.pod.namespace: bank}}]}]`),
    ],
    want: { [IN]: 'node1 far' },
  },
  {
    name: 'mode never: nothing is denied, not even by a denial',
    objects: [cnp(`${WEB}, ingressDeny: [{fromEntities: [all]}]`), np('podSelector: {}')],
    enforcement: 'never',
    want: { [IN]: EVERYBODY },
  },
  {
    name: 'mode always: every pod is isolated, the own node comes in',
    objects: [],
    enforcement: 'always',
    want: { [IN]: 'node1', [OUT]: '', '* -> bank/vault 80/TCP': 'node2' },
  },
  {
    name: 'mode always isolates whom a policy without default deny selects, and its rules count',
    objects: [
      cnp(
        'endpointSelector: {}, ingress: [{fromEndpoints: [{}]}], egress: [{toEntities: [all]}], enableDefaultDeny: {ingress: false, egress: false}',
      ),
    ],
    enforcement: 'always',
    want: { [IN]: 'shop/till node1', 'shop/till -> * 80/TCP': 'shop/web node1 node2 near far far6' },
  },
]

for (const { name, objects, want, problems = [], enforcement } of cases)
  test(name, () => {
    const town = townWith(objects, enforcement ? { enforcement } : {})
    assert.equal(town.problems.length, problems.length, town.problems.join('\n'))
    for (const [i, problem] of problems.entries()) assert.match(town.problems[i] ?? '', problem)
    assert.deepEqual(Object.fromEntries(Object.keys(want).map(question => [question, town.ask(question)])), want)
  })
