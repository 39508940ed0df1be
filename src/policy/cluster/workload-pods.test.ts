// Pods that stand for workloads.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { objectName, parseManifests } from '../../manifests/index.ts'
import { readCluster } from './cluster-manifests.ts'
import { withWorkloadPods } from './workload-pods.ts'

const template = (labels: string, spec = '{containers: [{name: m, ports: [{name: http, containerPort: 80}]}]}') =>
  `{metadata: {labels: ${labels}}, spec: ${spec}}`
const deployment = (name: string, pod: string) =>
  `{apiVersion: apps/v1, kind: Deployment, metadata: {name: ${name}, namespace: shop}, spec: {template: ${pod}}}`

const cases: readonly { readonly name: string; readonly given: readonly string[]; readonly want: readonly string[] }[] =
  [
    { name: 'a Deployment', given: [deployment('web', template('{app: web}'))], want: ['Pod shop/web'] },
    {
      name: 'a CronJob',
      given: [
        `{apiVersion: batch/v1, kind: CronJob, metadata: {name: tidy}, spec: {jobTemplate: {spec: {template: ${template('{}')}}}}}`,
      ],
      want: ['Pod default/tidy'],
    },
    {
      name: 'a Deployment whose pods are there',
      given: [
        deployment('web', template('{app: web}')),
        '{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: shop, labels: {app: web, hash: a}}, spec: {containers: [{name: m}]}}',
      ],
      want: [],
    },
    {
      name: 'two workloads of one name',
      given: [
        deployment('web', template('{app: web}')),
        deployment('web', template('{app: web}')).replace('Deployment', 'DaemonSet'),
      ],
      want: ['Pod shop/web'],
    },
    { name: 'a workload without template', given: [deployment('web', '[]')], want: [] },
    { name: 'a Service', given: ['{apiVersion: v1, kind: Service, metadata: {name: web}}'], want: [] },
  ]

for (const { name, given, want } of cases)
  test(`workload: ${name}`, () => {
    const { objects } = parseManifests(given.join('\n---\n'), 'shop.yaml')
    const made = withWorkloadPods(objects).slice(objects.length)
    assert.deepEqual(made.map(objectName), want)
  })

test('a pod that stands for a workload has its labels and ports, and errors tell the place in the template', () => {
  const text = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: m
        ports: [{name: http, containerPort: PORT}]`
  const read = (port: string) =>
    readCluster(withWorkloadPods(parseManifests(text.replace('PORT', port), 'web.yaml').objects))
  const [pod] = read('8080').cluster.content.pods
  assert.deepEqual([pod?.labels, pod?.namedPorts], [{ app: 'web' }, [{ name: 'http', protocol: 6, port: 8080 }]])
  const [problem] = read('80808').problems
  assert.deepEqual([problem?.line, problem?.object], [10, 'Pod shop/web'])
})
