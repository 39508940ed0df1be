// Manifests of every kind that has a definition: those that use each feature once, and
// those that a definition alone has to refuse.

export const EXAMPLES = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: peers, namespace: shop, labels: { team: shop } }
spec:
  description: who may ask the shop
  endpointSelector: { matchLabels: { "k8s:app": cart }, matchExpressions: [{ key: tier, operator: In, values: [a, b] }] }
  enableDefaultDeny: { ingress: true, egress: false }
  labels: [{ key: owner, value: shop, source: k8s }]
  log: { value: "shop 1" }
  ingress:
  - fromEndpoints: [{}, { matchLabels: { "k8s:io.kubernetes.pod.namespace": web } }]
    toPorts: [{ ports: [{ port: "8080", protocol: TCP }, { port: "9000", endPort: 9010 }, { port: metrics }] }]
  - fromEntities: [host, world-ipv4]
    icmps: [{ fields: [{ type: 8 }, { family: IPv6, type: EchoRequest }] }]
  - fromCIDRSet: [{ cidr: 10.0.0.0/8, except: [10.1.0.0/16] }, { cidrGroupRef: partners }]
    authentication: { mode: required }
  ingressDeny:
  - fromCIDR: [192.0.2.0/24]
  egress:
  - toFQDNs: [{ matchName: example.com }, { matchPattern: "*.example.com" }]
  - toServices: [{ k8sService: { serviceName: db, namespace: data } }]
  - toEndpoints: [{ matchLabels: { app: dns } }]
    toPorts: [{ ports: [{ port: "53", protocol: ANY }], rules: { dns: [{ matchPattern: "*" }] } }]
  - toPorts: [{ ports: [{ port: "80", protocol: TCP }], rules: { http: [{ method: GET, path: "/a/.*", headers: ["X-A: 1"] }] } }]
  - toPorts: [{ ports: [{ port: "9092", protocol: TCP }], rules: { kafka: [{ role: Produce, topic: orders }] } }]
  egressDeny:
  - toEntities: [cluster]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: several, namespace: shop }
specs:
- { endpointSelector: {}, ingress: [{}] }
- { endpointSelector: { matchLabels: { app: a } }, egress: [{ toCIDR: ["fd00::/8"] }] }
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: { name: nodes }
spec: { nodeSelector: { matchLabels: { role: edge } }, ingress: [{ fromEntities: [cluster] }] }
---
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: { name: partners, labels: { kind: partner } }
spec: { externalCIDRs: [198.51.100.0/24, "2001:db8::/32"] }
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: { name: guard }
spec:
  tier: Admin
  priority: 10
  subject: { pods: { namespaceSelector: {}, podSelector: { matchLabels: { guarded: "yes" } } } }
  ingress:
  - name: monitoring
    action: Accept
    from: [{ namespaces: { matchLabels: { role: monitoring } } }]
    protocols: [{ tcp: { destinationPort: { number: 9100 } } }, { destinationNamedPort: metrics }]
  - { action: Pass, from: [{ namespaces: {} }] }
  egress:
  - { action: Deny, to: [{ networks: [169.254.0.0/16] }], protocols: [{ udp: { destinationPort: { range: { start: 1, end: 1023 } } } }] }
  - { action: Accept, to: [{ domainNames: ["*.example.com"] }, { nodes: { matchLabels: { role: edge } } }] }
`

const guard = (spec: string): string =>
  `{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: guard}, spec: {${spec}}}`
const cilium = (spec: string): string =>
  `{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: web, namespace: shop}, spec: {${spec}}}`

export const REFUSED = [
  { name: 'a missing field', text: guard('tier: Admin, subject: {namespaces: {}}') },
  { name: 'a value of another type', text: guard('tier: Admin, priority: "10", subject: {namespaces: {}}') },
  { name: 'a value out of range', text: guard('tier: Admin, priority: 1001, subject: {namespaces: {}}') },
  { name: 'a word that is none of those known', text: guard('tier: Normal, priority: 1, subject: {namespaces: {}}') },
  {
    name: 'two kinds of peer in one item',
    text: guard(
      'tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{namespaces: {}, networks: [10.0.0.0/8]}]}]',
    ),
  },
  { name: 'a subject of neither form', text: guard('tier: Admin, priority: 1, subject: {}') },
  {
    name: 'more than 40 ports',
    text: cilium(
      `endpointSelector: {}, ingress: [{toPorts: [{ports: [${Array.from({ length: 41 }, (_, i) => `{port: "${i + 1}"}`).join()}]}]}]`,
    ),
  },
  { name: 'an unknown entity', text: cilium('endpointSelector: {}, ingress: [{fromEntities: [everyone]}]') },
  {
    name: 'a text of the wrong form',
    text: cilium('endpointSelector: {}, egress: [{toFQDNs: [{matchName: "a b"}]}]'),
  },
  {
    name: 'an unknown operator',
    text: cilium('endpointSelector: {matchExpressions: [{key: a, operator: Is}]}, ingress: [{}]'),
  },
] as const
