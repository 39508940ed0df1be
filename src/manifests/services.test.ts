// Services and EndpointSlices: what they give, and what is refused or left out with
// which words.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type EndpointSliceManifest,
  formatProblem,
  type ManifestObject,
  parseManifests,
  readEndpointSlice,
  readService,
  type ServiceManifest,
} from './index.ts'

function only(text: string): ManifestObject {
  const { objects, problems } = parseManifests(text, 'f.yaml')
  assert.deepEqual(problems, [])
  assert.ok(objects[0])
  return objects[0]
}

const service = (rest: string) => only(`apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n${rest}`)
const slice = (rest: string) =>
  only(`apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: web-1\n${rest}`)

const DEFAULTS: ServiceManifest = {
  namespace: 'default',
  name: 'web',
  labels: {},
  annotations: {},
  type: 'ClusterIP',
  headless: false,
  clusterIps: [],
  ipFamilies: [],
  ports: [{ name: '', protocol: 'TCP', port: 80, targetPort: 80 }],
  externalIps: [],
  loadBalancerAddresses: [],
  loadBalancerSourceRanges: [],
  allocateNodePorts: true,
  internalTrafficPolicy: 'Cluster',
  externalTrafficPolicy: 'Cluster',
  publishNotReadyAddresses: false,
}

test('a service gives its defaults', () => {
  assert.deepEqual(readService(service('spec: {ports: [{port: 80}]}')), { value: DEFAULTS, problems: [] })
})

test('a service gives what it says', () => {
  const text = `  namespace: shop
  creationTimestamp: "2026-01-31T12:00:00Z"
  labels: {app: web, service.kubernetes.io/service-proxy-name: other}
  annotations: {service.axoneme.io/algorithm: maglev}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "FD00:10:96::A"]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: web, nodePort: 30080, appProtocol: http}
  - {name: dns, port: 53, protocol: UDP, targetPort: 5353, nodePort: 0}
  externalIPs: [192.0.2.1, 192.0.2.1]
  sessionAffinity: ClientIP
  externalTrafficPolicy: Local
  internalTrafficPolicy: Local
  healthCheckNodePort: 32000
  loadBalancerSourceRanges: [10.1.2.3/8, " 2001:DB8::/32 "]
  loadBalancerClass: axoneme.io/lb
  loadBalancerIP: 192.0.2.9
  allocateLoadBalancerNodePorts: false
  publishNotReadyAddresses: true
  trafficDistribution: PreferSameZone
status:
  loadBalancer:
    ingress:
    - {ip: 192.0.2.7, ports: [{port: 80, protocol: TCP}]}
    - {ip: 192.0.2.8, ipMode: Proxy}
    - {hostname: lb.example.com}
  conditions: []
`
  assert.deepEqual(readService(service(text)), {
    value: {
      ...DEFAULTS,
      namespace: 'shop',
      createdAt: '2026-01-31T12:00:00Z',
      labels: { app: 'web', 'service.kubernetes.io/service-proxy-name': 'other' },
      annotations: { 'service.axoneme.io/algorithm': 'maglev' },
      type: 'LoadBalancer',
      clusterIps: ['10.96.0.10', 'fd00:10:96::a'],
      ipFamilies: [4, 6],
      ipFamilyPolicy: 'RequireDualStack',
      selector: { app: 'web' },
      ports: [
        { name: 'http', protocol: 'TCP', port: 80, targetPort: 'web', nodePort: 30080, appProtocol: 'http' },
        { name: 'dns', protocol: 'UDP', port: 53, targetPort: 5353 },
      ],
      externalIps: ['192.0.2.1'],
      affinitySeconds: 10800,
      externalTrafficPolicy: 'Local',
      internalTrafficPolicy: 'Local',
      healthCheckNodePort: 32000,
      loadBalancerSourceRanges: ['10.0.0.0/8', '2001:db8::/32'],
      loadBalancerClass: 'axoneme.io/lb',
      loadBalancerAddresses: [
        { ip: '192.0.2.7', mode: 'VIP' },
        { ip: '192.0.2.8', mode: 'Proxy' },
      ],
      allocateNodePorts: false,
      publishNotReadyAddresses: true,
      trafficDistribution: 'PreferSameZone',
      proxyName: 'other',
    },
    problems: [],
  })
})

const given: readonly { name: string; given: string; want: Partial<ServiceManifest> }[] = [
  {
    name: 'headless by its address',
    given: 'spec: {clusterIP: None, clusterIPs: [None]}',
    want: { headless: true, ports: [] },
  },
  {
    name: 'headless by its label, whatever its value',
    given: '  labels: {service.kubernetes.io/headless: ""}\nspec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}',
    want: { headless: true, clusterIps: ['10.96.0.1'], labels: { 'service.kubernetes.io/headless': '' } },
  },
  {
    name: 'another name for something outside',
    given: 'spec: {type: ExternalName, externalName: db.example.com}',
    want: { type: 'ExternalName', ports: [] },
  },
  {
    name: 'a clusterIP alone',
    given: 'spec: {clusterIP: "fd00::1", ports: [{port: 80}]}',
    want: { clusterIps: ['fd00::1'] },
  },
  {
    name: 'affinity with a timeout',
    given:
      'spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}, ports: [{port: 80}]}',
    want: { affinitySeconds: 5 },
  },
  {
    name: 'a timeout without affinity',
    given: 'spec: {sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}, ports: [{port: 80}]}',
    want: {},
  },
  {
    name: 'one port number of two protocols',
    given: 'spec: {ports: [{name: a, port: 53}, {name: b, port: 53, protocol: UDP}]}',
    want: {
      ports: [
        { name: 'a', protocol: 'TCP', port: 53, targetPort: 53 },
        { name: 'b', protocol: 'UDP', port: 53, targetPort: 53 },
      ],
    },
  },
  {
    name: 'a proxy name that is empty',
    given: '  labels: {service.kubernetes.io/service-proxy-name: }\nspec: {ports: [{port: 80}]}',
    want: { proxyName: '', labels: { 'service.kubernetes.io/service-proxy-name': '' } },
  },
]

for (const { name, given: text, want } of given) {
  test(`a service: ${name}`, () => {
    assert.deepEqual(readService(service(text)), { value: { ...DEFAULTS, ...want }, problems: [] })
  })
}

test('a service of 1,000 ports is read', () => {
  const ports = Array.from({ length: 1000 }, (_, i) => `{name: p${i}, port: ${i + 1}}`)
  const { value, problems } = readService(service(`spec: {ports: [${ports.join(', ')}]}`))
  assert.deepEqual([value?.ports.length, value?.ports[999]?.port, problems], [1000, 1000, []])
})

const wrong: readonly { name: string; given: string; want: readonly string[] }[] = [
  {
    name: 'no ports',
    given: 'spec: {clusterIP: 10.96.0.1}',
    want: ['5:1: error: spec.ports: must have at least 1 item, unless the service is headless'],
  },
  { name: 'no spec', given: '', want: ['1:1: error: spec: is required'] },
  {
    name: 'ports out of range',
    given:
      'spec:\n  type: NodePort\n  ports:\n  - {name: a, port: 0, targetPort: 65536}\n  - {name: b, port: 70000, nodePort: -1}\n',
    want: [
      '8:15: error: spec.ports[0].port: must be at least 1, got 0',
      '8:24: error: spec.ports[0].targetPort: must be at most 65535, got 65536',
      '9:15: error: spec.ports[1].port: must be at most 65535, got 70000',
      '9:28: error: spec.ports[1].nodePort: must be at least 0, got -1',
    ],
  },
  {
    name: 'a node port outside of the usual range',
    given: 'spec: {type: NodePort, ports: [{port: 80, nodePort: 8080}]}',
    want: [
      '5:43: warning: spec.ports[0].nodePort: is outside of 30000-32767, where Kubernetes has node ports unless it is configured otherwise; it works, but may take a port that a process of the node uses',
    ],
  },
  {
    name: 'a node port of a type that has none',
    given: 'spec: {ports: [{port: 80, nodePort: 30080}]}',
    want: ['5:27: error: spec.ports[0].nodePort: is for the types NodePort and LoadBalancer, not for ClusterIP'],
  },
  {
    name: 'ports that are there twice',
    given:
      'spec:\n  type: NodePort\n  ports:\n  - {name: a, port: 80, nodePort: 30080}\n  - {name: a, port: 80, nodePort: 30080}\n  - {port: 81}\n',
    want: [
      '9:6: error: spec.ports[1].name: two ports are called "a"',
      '9:15: error: spec.ports[1].port: 80/TCP is there twice',
      '9:25: error: spec.ports[1].nodePort: 30080/TCP is there twice',
      '10:5: error: spec.ports[2].name: is required where a service has several ports',
    ],
  },
  {
    name: 'names and protocols that are none',
    given: 'spec: {ports: [{name: HTTP, port: 80, targetPort: "80", protocol: tcp}]}',
    want: [
      `5:17: error: spec.ports[0].name: must be at most 63 lower-case letters, digits and '-', and begin and end with a letter or digit; got "HTTP"`,
      '5:57: error: spec.ports[0].protocol: must be one of TCP, UDP, SCTP, got "tcp" (did you mean "TCP"?)',
      `5:39: error: spec.ports[0].targetPort: must be at most 15 lower-case letters, digits and single '-', with at least one letter, and begin and end with a letter or digit; got "80"`,
    ],
  },
  {
    name: 'prefixes and addresses that are none',
    given:
      'spec:\n  type: LoadBalancer\n  ports: [{port: 80}]\n  loadBalancerSourceRanges: [10.0.0.0, 10.0.0.0/33]\n  externalIPs: [example.com]\nstatus: {loadBalancer: {ingress: [{ip: 1.2.3}]}}\n',
    want: [
      '9:17: error: spec.externalIPs[0]: is not an IP address: "example.com"',
      '8:30: error: spec.loadBalancerSourceRanges[0]: is not a prefix such as 10.0.0.0/8: "10.0.0.0"',
      '8:40: error: spec.loadBalancerSourceRanges[1]: is not a prefix such as 10.0.0.0/8: "10.0.0.0/33"',
      '10:36: warning: status.loadBalancer.ingress[0].ip: is not an IP address: "1.2.3"',
    ],
  },
  {
    name: 'addresses that are every host its own',
    given:
      'spec:\n  clusterIP: 127.0.0.1\n  ports: [{port: 80}]\n  externalIPs: ["::1", 169.254.169.254]\nstatus: {loadBalancer: {ingress: [{ip: 0.0.0.0}]}}\n',
    want: [
      '6:3: error: spec.clusterIP: is a loopback address: "127.0.0.1"',
      '8:17: error: spec.externalIPs[0]: is a loopback address: "::1"',
      '8:24: error: spec.externalIPs[1]: is a link-local address: "169.254.169.254"',
      '9:36: warning: status.loadBalancer.ingress[0].ip: stands for no address: "0.0.0.0"',
    ],
  },
  {
    name: 'source ranges of a type that lets everybody in',
    given: 'spec: {type: NodePort, ports: [{port: 80}], loadBalancerSourceRanges: [10.0.0.0/8]}',
    want: ['5:45: error: spec.loadBalancerSourceRanges: is for type LoadBalancer, not for NodePort'],
  },
  {
    name: 'cluster addresses that are none',
    given: 'spec: {clusterIP: none, clusterIPs: [10.96.0.1, 10.96.0.2], ports: [{port: 80}]}',
    want: [
      '5:8: error: spec.clusterIP: must be the first of clusterIPs',
      '5:8: error: spec.clusterIP: is not an IP address (did you mean "None"?): "none"',
      '5:49: error: spec.clusterIPs[1]: is the second address of its family',
    ],
  },
  {
    name: 'None and an address',
    given: 'spec: {clusterIPs: [None, 10.96.0.2], ports: [{port: 80}]}',
    want: ['5:27: error: spec.clusterIPs[1]: must not follow None'],
  },
  {
    name: 'an affinity timeout out of range',
    given: 'spec: {sessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}, ports: [{port: 80}]}',
    want: ['5:43: error: spec.sessionAffinityConfig.clientIP.timeoutSeconds: must be at most 86400, got 86401'],
  },
  {
    name: 'an ExternalName without a name',
    given: 'spec: {type: ExternalName}',
    want: ['5:1: error: spec.externalName: is required for type ExternalName'],
  },
  {
    name: 'what has no effect',
    given:
      '  creationTimestamp: yesterday\nspec:\n  ports: [{port: 80}]\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 30000\n  trafficDistribution: Near\n  sesionAffinity: ClientIP\n',
    want: [
      '11:3: warning: spec.sesionAffinity: unknown field (did you mean "sessionAffinity"?); it has no effect',
      '8:3: warning: spec.externalTrafficPolicy: has no effect: no client from outside reaches the service',
      '9:3: warning: spec.healthCheckNodePort: has no effect without type LoadBalancer and externalTrafficPolicy Local',
      '10:3: warning: spec.trafficDistribution: "Near" is none of PreferClose, PreferSameZone, PreferSameNode; it has no effect',
      '5:3: warning: metadata.creationTimestamp: is not a time such as 2026-01-31T12:00:00Z; it has no effect',
    ],
  },
]

for (const { name, given: text, want } of wrong) {
  test(`a service, told of: ${name}`, () => {
    const { value, problems } = readService(service(text))
    const lines = problems.map(formatProblem)
    assert.deepEqual(
      lines.map(line => line.replace('f.yaml:', '').replace(' Service default/web:', '')),
      want,
    )
    assert.equal(
      value === undefined,
      want.some(line => line.includes('error:')),
    )
  })
}

test('a slice gives what it says', () => {
  const text = `  namespace: shop
  labels: {kubernetes.io/service-name: web, endpointslice.kubernetes.io/managed-by: x}
  annotations: {service.axoneme.io/weight: "7"}
addressType: IPv6
ports:
- {name: http, port: 8080, appProtocol: http}
- {port: 53, protocol: UDP}
endpoints:
- addresses: ["FD00::1"]
- addresses: ["fd00::2"]
  conditions: {ready: false, serving: true, terminating: true}
  hostname: web-2
  nodeName: node1
  zone: a
  deprecatedTopology: {a: b}
  hints: {forZones: [{name: a}, {name: b}], forNodes: [{name: node1}]}
  targetRef: {kind: Pod, namespace: other, name: web-2, uid: abc, apiVersion: v1, fieldPath: x, resourceVersion: "1"}
- {addresses: ["fd00::3"], targetRef: {kind: Pod, name: web-3}}
- {addresses: ["fd00::4"], targetRef: {kind: Machine, name: web-4}}
`
  const as = { ready: true, serving: true, terminating: false }
  const want: EndpointSliceManifest = {
    namespace: 'shop',
    name: 'web-1',
    service: 'web',
    family: 6,
    ports: [
      { name: 'http', protocol: 'TCP', port: 8080 },
      { name: '', protocol: 'UDP', port: 53 },
    ],
    endpoints: [
      { addresses: ['fd00::1'], ...as },
      {
        addresses: ['fd00::2'],
        ready: false,
        serving: true,
        terminating: true,
        node: 'node1',
        zone: 'a',
        forZones: ['a', 'b'],
        forNodes: ['node1'],
        pod: 'other/web-2',
      },
      { addresses: ['fd00::3'], ...as, pod: 'shop/web-3' },
      { addresses: ['fd00::4'], ...as },
    ],
    weight: 7,
  }
  assert.deepEqual(readEndpointSlice(slice(text)), { value: want, problems: [] })
})

test('a slice of nobody has neither service nor endpoints', () => {
  assert.deepEqual(readEndpointSlice(slice('addressType: IPv4\nendpoints: null\nports: null')), {
    value: { namespace: 'default', name: 'web-1', family: 4, ports: [], endpoints: [], weight: 1 },
    problems: [],
  })
})

test('the parts of a slice that cannot be used are left out, the rest is used', () => {
  const text = `  annotations: {service.axoneme.io/weight: heavy}
addressType: IPv4
ports: [{name: all}, {name: http, port: 80}]
endpoints:
- addresses: [10.0.0.1]
- addresses: ["fd00::1"]
- addresses: [10.0.0]
- addresses: [127.0.0.1]
- addresses: [169.254.1.1]
- addresses: [224.0.0.1]
- addresses: [0.0.0.0]
- addresses: [10.0.0.2, 10.0.0.3]
`
  const { value, problems } = readEndpointSlice(slice(text))
  assert.deepEqual(
    [value?.endpoints.map(({ addresses }) => addresses), value?.ports, value?.weight],
    [
      [['10.0.0.1'], ['10.0.0.2', '10.0.0.3']],
      [
        { name: 'all', protocol: 'TCP' },
        { name: 'http', protocol: 'TCP', port: 80 },
      ],
      1,
    ],
  )
  assert.deepEqual(
    problems.map(formatProblem).map(line => line.replace('EndpointSlice default/web-1: ', '')),
    [
      'f.yaml:7:9: warning: ports[0]: has no port number, which means all ports; nothing can be translated to it',
      'f.yaml:10:15: warning: endpoints[1].addresses[0]: is not an IPv4 address, as addressType says: "fd00::1"; it is left out',
      'f.yaml:11:15: warning: endpoints[2].addresses[0]: is not an IP address: "10.0.0"; it is left out',
      'f.yaml:12:15: warning: endpoints[3].addresses[0]: is a loopback address: "127.0.0.1"; it is left out',
      'f.yaml:13:15: warning: endpoints[4].addresses[0]: is a link-local address: "169.254.1.1"; it is left out',
      'f.yaml:14:15: warning: endpoints[5].addresses[0]: is a multicast address: "224.0.0.1"; it is left out',
      'f.yaml:15:15: warning: endpoints[6].addresses[0]: stands for no address: "0.0.0.0"; it is left out',
      'f.yaml:16:25: warning: endpoints[7].addresses[1]: only the first address of an endpoint is used; write one endpoint for each',
      'f.yaml:5:17: warning: metadata.annotations["service.axoneme.io/weight"]: must be a whole number from 0 to 100, got "heavy"; 1 is used',
    ],
  )
})

test('a slice of DNS names has no endpoints', () => {
  const { value, problems } = readEndpointSlice(slice('addressType: FQDN\nendpoints: [{addresses: [db.example.com]}]'))
  assert.deepEqual(value?.endpoints, [])
  assert.deepEqual(problems.map(formatProblem), [
    'f.yaml:5:1: warning: EndpointSlice default/web-1: addressType: slices of DNS names are not used; write the addresses in a slice of IPv4 or IPv6',
  ])
})

test('a slice is refused for what makes all of it unsure', () => {
  const text = 'addressType: IPv5\nports: [{name: a, port: 1}, {name: a, port: 0}]\nendpoints: [{}]\n'
  assert.deepEqual(
    readEndpointSlice(slice(text))
      .problems.map(formatProblem)
      .map(line => line.replace('EndpointSlice default/web-1: ', '')),
    [
      'f.yaml:5:1: error: addressType: must be one of IPv4, IPv6, FQDN, got "IPv5" (did you mean "IPv4"?)',
      'f.yaml:7:13: error: endpoints[0].addresses: is required',
      'f.yaml:6:39: error: ports[1].port: must be at least 1, got 0',
    ],
  )
  const twice = readEndpointSlice(slice('addressType: IPv4\nports: [{name: a, port: 1}, {name: a, port: 2}]'))
  assert.deepEqual(
    [twice.value, twice.problems.map(formatProblem)],
    [undefined, ['f.yaml:6:30: error: EndpointSlice default/web-1: ports[1].name: two ports are called "a"']],
  )
})
