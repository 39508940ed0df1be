// Pods, namespaces and nodes: what they give, and what is refused with which words.
// The checks that all kinds share are in parse.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatProblem, type ManifestObject, parseManifests, readNamespace, readNode, readPod } from './index.ts'

function only(text: string): ManifestObject {
  const { objects, problems } = parseManifests(text, 'f.yaml')
  assert.deepEqual(problems, [])
  assert.ok(objects[0])
  return objects[0]
}

const pod = (rest: string) => only(`apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n${rest}`)
const podProblems = (rest: string) => readPod(pod(rest)).problems.map(formatProblem)

test('a pod gives its defaults', () => {
  const { value, problems } = readPod(pod('spec:\n  containers:\n  - name: c\n    image: nginx\n'))
  assert.deepEqual(problems, [])
  assert.deepEqual(value, {
    namespace: 'default',
    name: 'web',
    labels: {},
    annotations: {},
    serviceAccount: 'default',
    hostNetwork: false,
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    containers: [{ name: 'c', image: 'nginx', command: [], args: [], env: [], ports: [] }],
    namedPorts: [],
    hostPorts: [],
    ips: [],
  })
})

test('a pod gives what it says', () => {
  const { value, problems } = readPod(
    pod(`  namespace: shop
  labels: {app: web, empty: }
spec:
  serviceAccountName: buyer
  hostNetwork: true
  nodeName: node1
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  initContainers:
  - name: once
    ports: [{name: setup, containerPort: 1}]
  - name: mesh
    restartPolicy: Always
    ports: [{name: metrics, containerPort: 9090}]
  containers:
  - name: c
    command: [serve]
    args: ["--port", "80"]
    env: [{name: A, value: b}, {name: FROM, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    ports:
    - {name: http, containerPort: 80, hostPort: 8080, hostIP: 127.0.0.1}
    - {name: dns, containerPort: 53, protocol: UDP}
    - {containerPort: 81}
status:
  phase: Running
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: "FD00::0:1"}]
`),
  )
  assert.deepEqual(problems, [])
  assert.deepEqual(
    { ...value, containers: [], annotations: {} },
    {
      namespace: 'shop',
      name: 'web',
      labels: { app: 'web', empty: '' },
      annotations: {},
      serviceAccount: 'buyer',
      hostNetwork: true,
      nodeName: 'node1',
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
      containers: [],
      namedPorts: [
        { name: 'metrics', protocol: 'TCP', port: 9090 },
        { name: 'http', protocol: 'TCP', port: 80 },
        { name: 'dns', protocol: 'UDP', port: 53 },
      ],
      hostPorts: [],
      phase: 'Running',
      ips: ['10.0.0.1', 'fd00::1'],
    },
  )
  assert.deepEqual(value?.containers[0]?.env, [
    { name: 'A', value: 'b' },
    { name: 'FROM', value: '' },
  ])
  assert.deepEqual(value.containers[0].args, ['--port', '80'])
})

test('ports of the node: of sidecars and containers, not of what ends, not on the network of the node', () => {
  const spec = (hostNetwork: boolean) => `spec:
  hostNetwork: ${hostNetwork}
  initContainers:
  - {name: once, ports: [{containerPort: 1, hostPort: 1}]}
  - {name: mesh, restartPolicy: Always, ports: [{containerPort: 2, hostPort: 1002, protocol: UDP}]}
  containers:
  - name: c
    ports:
    - {containerPort: 80, hostPort: 8080, hostIP: 172.30.0.2}
    - {containerPort: 80, hostPort: 8080, hostIP: "FD00:0::2"}
    - {containerPort: 81, hostPort: 0}
    - {containerPort: 82, hostPort: 8082, hostIP: ""}
`
  assert.deepEqual(readPod(pod(spec(false))), {
    value: {
      ...readPod(pod(spec(false))).value,
      hostPorts: [
        { hostPort: 1002, protocol: 'UDP', containerPort: 2 },
        { hostPort: 8080, protocol: 'TCP', containerPort: 80, hostIp: '172.30.0.2' },
        { hostPort: 8080, protocol: 'TCP', containerPort: 80, hostIp: 'fd00::2' },
        { hostPort: 8082, protocol: 'TCP', containerPort: 82 },
      ],
    },
    problems: [],
  })
  assert.deepEqual(readPod(pod(spec(true))).value?.hostPorts, [])
  assert.deepEqual(
    podProblems('spec: {containers: [{name: c, ports: [{containerPort: 80, hostPort: 80, hostIP: node1}]}]}'),
    ['f.yaml:5:73: error: Pod default/web: spec.containers[0].ports[0].hostIP: is not an IP address: "node1"'],
  )
})

test('one address may stand in podIP alone', () => {
  assert.deepEqual(readPod(pod('spec: {containers: [{name: c}]}\nstatus: {podIP: 10.0.0.7}')).value?.ips, ['10.0.0.7'])
})

test('fields that Kubernetes has and this does not use are no problem', () => {
  const text = `spec:
  affinity: {podAntiAffinity: {anything: [goes]}}
  securityContext: {runAsUser: 1000}
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - name: c
    readinessProbe: {httpGet: {path: /, port: 80}}
    resources: {limits: {cpu: 100m}}
    volumeMounts: [{name: v, mountPath: /v}]
status: {conditions: [], hostIP: 172.18.0.2}
`
  assert.deepEqual(podProblems(text), [])
})

const refused: readonly { name: string; given: string; want: readonly string[] }[] = [
  {
    name: 'a misspelt field',
    given: 'spec:\n  contaniers: [{name: c}]\n',
    want: [
      'f.yaml:5:1: error: Pod default/web: spec.containers: is required (there is "contaniers"; did you mean "containers"?)',
      'f.yaml:6:3: warning: Pod default/web: spec.contaniers: unknown field (did you mean "containers"?); it has no effect',
    ],
  },
  {
    name: 'no containers',
    given: 'spec: {containers: []}',
    want: ['f.yaml:5:8: error: Pod default/web: spec.containers: must have at least 1 item'],
  },
  {
    name: 'two containers, two ports of one name',
    given:
      'spec:\n  containers:\n  - name: c\n    ports: [{name: a, containerPort: 1}, {name: a, containerPort: 2}]\n  - name: c\n',
    want: [
      'f.yaml:8:43: error: Pod default/web: spec.containers[0].ports[1].name: two ports are called "a"',
      'f.yaml:9:5: error: Pod default/web: spec.containers[1].name: two containers are called "c"',
    ],
  },
  {
    name: 'ports that are none',
    given:
      'spec:\n  containers:\n  - name: c\n    ports:\n    - {name: HTTP, containerPort: "80", protocol: tcp}\n    - {containerPort: 70000}\n    - {}\n',
    want: [
      `f.yaml:9:8: error: Pod default/web: spec.containers[0].ports[0].name: must be at most 15 lower-case letters, digits and single '-', with at least one letter, and begin and end with a letter or digit; got "HTTP"`,
      'f.yaml:9:20: error: Pod default/web: spec.containers[0].ports[0].containerPort: expected a number, got "80"',
      'f.yaml:9:41: error: Pod default/web: spec.containers[0].ports[0].protocol: must be one of TCP, UDP, SCTP, got "tcp" (did you mean "TCP"?)',
      'f.yaml:10:8: error: Pod default/web: spec.containers[0].ports[1].containerPort: must be at most 65535, got 70000',
      'f.yaml:11:7: error: Pod default/web: spec.containers[0].ports[2].containerPort: is required',
    ],
  },
  {
    name: 'addresses that are none',
    given:
      'spec: {containers: [{name: c}]}\nstatus:\n  podIP: 10.0.0.9\n  podIPs: [{ip: 10.0.0.01}, {ip: 10.0.0.2}, {ip: "::1"}, {ip: fe80::1}]\n',
    want: [
      'f.yaml:7:3: error: Pod default/web: status.podIP: must be the first of podIPs',
      'f.yaml:8:13: error: Pod default/web: status.podIPs[0].ip: is not an IP address: "10.0.0.01"',
      'f.yaml:8:30: error: Pod default/web: status.podIPs[1].ip: is the second address of its family',
      'f.yaml:8:59: error: Pod default/web: status.podIPs[3].ip: is the second address of its family',
    ],
  },
]

for (const { name, given, want } of refused) {
  test(`a pod is refused for ${name}`, () => {
    assert.deepEqual(podProblems(given), want)
    assert.equal(readPod(pod(given)).value, undefined)
  })
}

test('a namespace has its own name as label, whatever it says', () => {
  const object = only(
    'apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {team: x, kubernetes.io/metadata.name: forged}}\nspec: {finalizers: [kubernetes]}\n',
  )
  assert.deepEqual(readNamespace(object), {
    value: { name: 'a', labels: { team: 'x', 'kubernetes.io/metadata.name': 'a' } },
    problems: [],
  })
})

test('a node gives its addresses and prefixes', () => {
  const node = (rest: string) => readNode(only(`apiVersion: v1\nkind: Node\nmetadata: {name: node1}\n${rest}`))
  const { value, problems } = node(`spec: {podCIDR: 10.244.0.0/24, podCIDRs: [10.244.0.0/24, fd00:10::/64]}
status:
  addresses: [{type: Hostname, address: node1}, {type: InternalIP, address: 172.30.0.2}, {type: ExternalIP, address: 2001:DB8::1}]
`)
  assert.deepEqual(problems, [])
  assert.deepEqual(value, {
    name: 'node1',
    labels: {},
    addresses: [
      { type: 'InternalIP', address: '172.30.0.2' },
      { type: 'ExternalIP', address: '2001:db8::1' },
    ],
    podCidrs: ['10.244.0.0/24', 'fd00:10::/64'],
  })
  assert.deepEqual(node('').value, { name: 'node1', labels: {}, addresses: [], podCidrs: [] })
  const wrong = node('spec: {podCIDR: 10.244.0.1/24}\nstatus: {addresses: [{type: InternalIP, address: node}]}')
  assert.equal(wrong.value, undefined)
  assert.deepEqual(wrong.problems.map(formatProblem), [
    'f.yaml:5:41: error: Node node1: status.addresses[0].address: is not an IP address: "node"',
    'f.yaml:4:8: error: Node node1: spec.podCIDR: has bits set beyond its prefix; write 10.244.0.0/24',
  ])
})
