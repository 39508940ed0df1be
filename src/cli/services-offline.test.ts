// Services of manifests alone: the addresses, slices and conflicts that a sandbox would
// make of them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseManifests } from '../manifests/index.ts'
import { explainService, readServiceQuestion, type ServiceExplanation } from '../services/index.ts'
import { clusterObjects } from './manifest-files.ts'
import { servicesWorld } from './services-offline.ts'

function why(text: string, target: string): ServiceExplanation {
  const parsed = parseManifests(text, 'shop.yaml')
  const { world, problems } = servicesWorld(clusterObjects(parsed.objects), 'node1')
  assert.deepEqual(
    [...parsed.problems, ...problems].filter(({ severity }) => severity === 'error'),
    [],
  )
  return explainService(world, readServiceQuestion(world, { target }))
}

const service = (name: string, spec: object, created?: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop', ...(created && { creationTimestamp: created }) },
    spec,
  })

const DEPLOYMENT = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: a, image: x, ports: [{name: http, containerPort: 8080, hostPort: 9090}]}]}
`

const web = (more: object = {}) => ({
  selector: { app: 'web' },
  ports: [{ name: 'http', port: 80, targetPort: 'http' }],
  ...more,
})

test('pods that a service selects are its backends, with the number of a named port', () => {
  const { match, backends } = why(`${DEPLOYMENT}---\n${service('web', web())}`, 'shop/web:http')
  assert.match(match?.address ?? '', /^10\.96\./)
  assert.deepEqual(
    backends.map(({ address, port, pod, node, ready }) => [address, port, pod, node, ready]),
    [['10.244.0.1', 8080, 'shop/web', 'node1', true]],
  )
})

test('the slices of the manifests stand in the place of those', () => {
  const slice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 9999}]
endpoints: [{addresses: [192.0.2.9], conditions: {ready: false}}]
`
  const { backends, clients } = why(`${DEPLOYMENT}---\n${service('web', web())}\n---${slice}`, 'shop/web')
  assert.deepEqual(
    backends.map(({ address, port, notForCluster }) => [address, port, notForCluster]),
    [['192.0.2.9', 9999, 'not ready']],
  )
  assert.equal(clients[0]?.result, 'rejected')
})

test('node ports and host ports are on the addresses of the node', () => {
  const text = `${DEPLOYMENT}---\n${service('web', web({ type: 'NodePort', ports: [{ name: 'http', port: 80, targetPort: 'http', nodePort: 30080 }] }))}`
  assert.equal(why(text, '172.30.0.2:30080').match?.kind, 'NodePort')
  const { match, backends } = why(text, '172.30.0.2:9090')
  assert.deepEqual([match?.service, match?.kind, backends.length], ['shop/web:host-ports', 'HostPort', 1])
  const node =
    'apiVersion: v1\nkind: Node\nmetadata: {name: a}\nstatus: {addresses: [{type: InternalIP, address: 192.168.0.5}]}'
  assert.equal(why(`${text}\n---\n${node}`, '192.168.0.5:30080').match?.kind, 'NodePort')
})

test('of two that claim one external IP the older one has it', () => {
  const external = web({ externalIPs: ['198.51.100.1'] })
  const text = [
    service('late', external, '2026-02-01T00:00:00Z'),
    service('early', external, '2026-01-01T00:00:00Z'),
  ].join('\n---\n')
  const { match, near } = why(text, '198.51.100.1:80')
  assert.deepEqual([match?.service, near], ['shop/early', [{ kind: 'lost', service: 'shop/late', to: 'shop/early' }]])
})

test('a policy that names a service finds it, and what is wrong with a service is told once', () => {
  const policy = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: out, namespace: shop}
spec:
  endpointSelector: {}
  egress: [{toServices: [{k8sService: {serviceName: web, namespace: shop}}]}]
`
  const odd = service('odd', { ports: [{ port: 80, nodePort: 99 }], type: 'NodePort', clusterIP: 'nonsense' })
  const parsed = parseManifests([DEPLOYMENT, service('web', web()), policy, odd].join('\n---\n'), 'shop.yaml')
  const { problems } = servicesWorld(clusterObjects(parsed.objects), 'node1')
  const texts = problems.map(({ object, path, message }) => `${object} ${path} ${message}`)
  assert.equal(new Set(texts).size, texts.length, texts.join('\n'))
  assert.ok(
    texts.some(text => text.startsWith('Service shop/odd spec.clusterIP')),
    texts.join('\n'),
  )
  assert.ok(!texts.some(text => text.startsWith('CiliumNetworkPolicy')), texts.join('\n'))
})
