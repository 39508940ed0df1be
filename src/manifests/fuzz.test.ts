// Whatever the text: problems with positions inside it, never an exception, and
// never an object that breaks a promise of ManifestObject.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  formatProblem,
  isDnsSubdomain,
  isLabelKey,
  isLabelValue,
  type ParsedManifests,
  parseManifests,
  readEndpointSlice,
  readNamespace,
  readNode,
  readPod,
  readService,
} from './index.ts'

const SEED_TEXT = `# seed
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  labels: &labels {app: web, "app.kubernetes.io/name": 'x'}
  annotations:
    note: |
      several
      lines
spec:
  nodeName: node1
  containers:
    - name: c
      image: nginx
      args: ["a", 'b', c]
      ports:
        - {name: http, containerPort: 80}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Namespace
  metadata: {name: shop, labels: *labels}
- apiVersion: v1
  kind: Service
  metadata: {name: web, creationTimestamp: "2026-01-31T12:00:00Z"}
  spec:
    type: LoadBalancer
    clusterIPs: [10.96.0.1, "fd00::1"]
    ports: [{name: a, port: 80, targetPort: http, nodePort: 30080}, {name: b, port: 53, protocol: UDP}]
    externalIPs: [192.0.2.1]
    loadBalancerSourceRanges: [10.0.0.0/8]
    sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}
  status: {loadBalancer: {ingress: [{ip: 192.0.2.7, ipMode: VIP}]}}
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  metadata: {name: web-1, labels: {kubernetes.io/service-name: web}, annotations: {service.axoneme.io/weight: "3"}}
  addressType: IPv4
  ports: [{name: a, port: 8080}, {name: b}]
  endpoints:
  - {addresses: [10.0.0.1], conditions: {ready: true}, nodeName: n, hints: {forZones: [{name: z}]}, targetRef: {kind: Pod, name: web}}
- {apiVersion: v1, kind: Node, metadata: {name: n}, status: {addresses: [{type: InternalIP, address: 10.0.0.1}]}}
...
`

const PIECES = [
  '---\n',
  '\n',
  '\t',
  '  ',
  '- ',
  ': ',
  '{',
  '}',
  '[',
  ']',
  '"',
  "'",
  '|',
  '>',
  '&a ',
  '*a',
  '<<: ',
  '!!str ',
  '? ',
  '#',
  '%',
  '~',
  '__proto__',
  '\0',
  '\uFEFF',
  '\uD800',
  '\r',
  'null',
  'yes',
  '0777',
  '.nan',
  '1e999',
  '"\\u0000"',
  'kind: List',
]

type Mutation = { readonly at: number; readonly remove: number; readonly insert: string }
const mutation: fc.Arbitrary<Mutation> = fc.record(
  {
    at: fc.nat(SEED_TEXT.length),
    remove: fc.oneof(fc.constant(0), fc.nat(3), fc.nat(60)),
    insert: fc.oneof(fc.constantFrom(...PIECES), fc.string({ maxLength: 4, unit: 'binary' })),
  },
  { noNullPrototype: true },
)
const mutated = fc
  .array(mutation, { minLength: 1, maxLength: 6 })
  .map(all =>
    all.reduce((text, { at, remove, insert }) => text.slice(0, at) + insert + text.slice(at + remove), SEED_TEXT),
  )

function checkPromises(text: string, parsed: ParsedManifests): void {
  const lines = text.split('\n').length
  const problems = [...parsed.problems]
  for (const object of parsed.objects) {
    assert.ok(isDnsSubdomain(object.metadata.name))
    for (const [key, value] of Object.entries(object.metadata.labels)) assert.ok(isLabelKey(key) && isLabelValue(value))
    for (const read of [readPod, readNamespace, readNode, readService, readEndpointSlice]) {
      const { value, problems: found } = read(object)
      assert.equal(
        value === undefined,
        found.some(problem => problem.severity === 'error'),
      )
      problems.push(...found)
    }
  }
  for (const problem of problems) {
    assert.ok(problem.line >= 1 && problem.line <= lines && problem.column >= 1, formatProblem(problem))
    assert.ok(problem.message.length < 1000)
  }
  if (!parsed.complete) assert.ok(parsed.problems.some(problem => problem.severity === 'error'))
}

test('a mutated manifest gives objects and problems, never an exception', () => {
  fc.assert(
    fc.property(mutated, text => checkPromises(text, parseManifests(text, 'f.yaml'))),
    { numRuns: 400 },
  )
})

test('arbitrary text gives problems, never an exception', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 200 }),
        fc.array(fc.constantFrom(...PIECES)).map(pieces => pieces.join('')),
      ),
      text => checkPromises(text, parseManifests(text, 'f.yaml')),
    ),
    { numRuns: 400 },
  )
})

test('any plain value in an object gives problems, never an exception', () => {
  const value = fc.jsonValue({ maxDepth: 5, stringUnit: 'binary' })
  fc.assert(
    fc.property(value, value, fc.constantFrom('Pod', 'Namespace', 'Node', 'Service'), (spec, status, kind) => {
      const text = JSON.stringify({ apiVersion: 'v1', kind, metadata: { name: 'x' }, spec, status })
      checkPromises(text, parseManifests(text, 'f.json'))
    }),
    { numRuns: 300 },
  )
})

test('what JSON says is read as JSON says it', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), spec => {
      const text = JSON.stringify({ apiVersion: 'v1', kind: 'Thing', metadata: { name: 'x' }, spec })
      fc.pre(!text.includes('__proto__') && !text.includes('\\u0000'))
      const { objects } = parseManifests(text, 'f.json')
      assert.equal(JSON.stringify(objects[0]?.content), JSON.stringify(JSON.parse(text)))
    }),
    { numRuns: 300 },
  )
})
