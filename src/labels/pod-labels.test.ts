// What a pod's and an address's labels are, and that a pod can forge none of them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cidr, ip, PrefixTrie } from '../ip/index.ts'
import { labelTexts, labelValue } from './label-set.ts'
import { PROTOCOLS } from './named-port.ts'
import { addressLabels, podLabels, shadowedKeys } from './pod-labels.ts'

const facts = { namespace: 'shop', namespaceLabels: { team: 'a' }, labels: { app: 'web' } }

test("a pod has its labels, its namespace and that one's labels, its service account and its cluster", () => {
  assert.deepEqual(labelTexts(podLabels({ ...facts, serviceAccount: 'robot' })), [
    'k8s:app=web',
    'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop',
    'k8s:io.cilium.k8s.namespace.labels.team=a',
    'k8s:io.cilium.k8s.policy.cluster=default',
    'k8s:io.cilium.k8s.policy.serviceaccount=robot',
    'k8s:io.kubernetes.pod.namespace=shop',
  ])
})

test('a pod cannot forge what is not its own to say', () => {
  const forged = {
    'io.kubernetes.pod.namespace': 'kube-system',
    'io.cilium.k8s.policy.serviceaccount': 'admin',
    'io.cilium.k8s.policy.cluster': 'other',
    'io.cilium.k8s.namespace.labels.team': 'b',
    'io.cilium.k8s.namespace.labels.extra': 'c',
    'reserved:host': '',
    host: '',
  }
  const honest = podLabels(facts)
  const kept = new Set(Object.keys(forged))
  for (const set of [podLabels({ ...facts, labels: forged }), podLabels({ ...facts, labels: forged }, kept)]) {
    for (const [key] of Object.entries(forged).slice(0, 5))
      assert.equal(labelValue(set, 'k8s', key), labelValue(honest, 'k8s', key), key)
    assert.ok(set.labels.every(label => label.source === 'k8s' || label.source === 'pod'))
  }
  assert.deepEqual(shadowedKeys(forged), Object.keys(forged).slice(0, 5))
  // A policy that names such a key in a podSelector sees the pod's own label, as Kubernetes does.
  assert.equal(
    labelValue(podLabels({ ...facts, labels: forged }, kept), 'pod', 'io.kubernetes.pod.namespace'),
    'kube-system',
  )
})

test("the name label of a namespace is the API server's, whatever the manifest says", () => {
  const set = podLabels({ ...facts, namespaceLabels: { 'kubernetes.io/metadata.name': 'kube-system' } })
  assert.equal(labelValue(set, 'k8s', 'io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name'), 'shop')
})

test('labels with a value per pod make no identity, unless a policy names the key', () => {
  const one = { ...facts, labels: { app: 'web', 'pod-template-hash': '1', 'batch.kubernetes.io/job-name': 'j1' } }
  const two = { ...facts, labels: { app: 'web', 'pod-template-hash': '2', 'batch.kubernetes.io/job-name': 'j2' } }
  assert.equal(podLabels(one).key, podLabels(two).key)
  const kept = new Set(['pod-template-hash'])
  assert.equal(labelValue(podLabels(one, kept), 'k8s', 'pod-template-hash'), '1')
  assert.equal(labelValue(podLabels(one, kept), 'k8s', 'batch.kubernetes.io/job-name'), undefined)
})

test('an address has a label for every referenced prefix that covers it, of its own family alone', () => {
  const prefixes = new PrefixTrie<true>()
  for (const text of ['10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24', '0.0.0.0/0', '::/0', 'fd00::/8'])
    prefixes.set(cidr(text), true)
  const references = { prefixes, egressNamedPorts: new Set(['http/TCP']) }
  const cidrsOf = (text: string): string[] =>
    addressLabels(podLabels(facts), ip(text), references)
      .labels.filter(label => label.source === 'cidr')
      .map(label => label.key)
  assert.deepEqual(cidrsOf('10.1.2.3'), ['0.0.0.0/0', '10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24'])
  assert.deepEqual(cidrsOf('10.2.0.1'), ['0.0.0.0/0', '10.0.0.0/8'])
  assert.deepEqual(cidrsOf('fd00::1'), ['::/0', 'fd00::/8'])
  assert.deepEqual(cidrsOf('2001:db8::1'), ['::/0'])
})

test('an address has a label for every referenced named port of its pod', () => {
  const references = {
    prefixes: new PrefixTrie<true>(),
    egressNamedPorts: new Set(['http/TCP', 'dns/UDP', 'other/TCP']),
  }
  const ports = [
    { name: 'http', protocol: PROTOCOLS.TCP, port: 8080 },
    { name: 'http', protocol: PROTOCOLS.TCP, port: 9090 },
    { name: 'http', protocol: PROTOCOLS.UDP, port: 8081 },
    { name: 'dns', protocol: PROTOCOLS.UDP, port: 53 },
    { name: 'dns', protocol: PROTOCOLS.TCP, port: 53 },
    { name: 'unnamed-by-policies', protocol: PROTOCOLS.TCP, port: 1 },
  ]
  const labels = addressLabels(podLabels(facts), ip('10.0.0.1'), references, ports)
  // The first container that declares a name has it.
  assert.deepEqual(
    labelTexts(labels).filter(text => text.startsWith('port:')),
    ['port:dns/UDP=53', 'port:http/TCP=8080'],
  )
})
