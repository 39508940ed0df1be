// The engine against a second reading of NetworkPolicy, written straight from the text
// of the API reference, on random clusters and policies. It works on the manifests as
// they are written and shares no code with the engine, not even for addresses.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ip } from '../../ip/index.ts'
import { formatProblem, parseManifests } from '../../manifests/index.ts'
import { readCluster } from './cluster-manifests.ts'

type Labels = Record<string, string>
type Expression = { key: string; operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'; values?: string[] }
type LabelSelector = { matchLabels?: Labels; matchExpressions?: Expression[] }
type Block = { cidr: string; except?: string[] }
type PeerManifest = { podSelector?: LabelSelector; namespaceSelector?: LabelSelector; ipBlock?: Block }
type PortManifest = { protocol?: string; port?: number | string; endPort?: number }
type RuleManifest = { from?: PeerManifest[]; to?: PeerManifest[]; ports?: PortManifest[] }
type PolicyManifest = {
  namespace: string
  spec: { podSelector?: LabelSelector; policyTypes?: string[]; ingress?: RuleManifest[]; egress?: RuleManifest[] }
}
type ContainerPort = { name: string; protocol: string; containerPort: number }
type PodManifest = {
  namespace: string
  name: string
  labels: Labels
  addresses: string[]
  /** Of its containers, one after the other. */
  ports: ContainerPort[][]
  hostNetwork: boolean
  node: string
}
type World = { namespaces: Record<string, Labels>; pods: PodManifest[]; policies: PolicyManifest[] }
type Place = { pod?: PodManifest; node?: string; address: string }

// ---- The second reading.

function selects(selector: LabelSelector, labels: Labels): boolean {
  for (const key in selector.matchLabels) if (labels[key] !== selector.matchLabels[key]) return false
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    const value = labels[key]
    if (operator === 'In' && (value === undefined || !values.includes(value))) return false
    if (operator === 'NotIn' && value !== undefined && values.includes(value)) return false
    if (operator === 'Exists' && value === undefined) return false
    if (operator === 'DoesNotExist' && value !== undefined) return false
  }
  return true
}

/** An address or the base of a prefix as binary digits: 32 or 128 of them. Understands what the generators below write. */
function bits(address: string): string {
  if (address.includes('.'))
    return address
      .split('.')
      .map(octet => Number(octet).toString(2).padStart(8, '0'))
      .join('')
  const [head = '', tail = ''] = address.split('::')
  const groups = (text: string): string[] => text.split(':').filter(Boolean)
  const zeros = Array<string>(8 - groups(head).length - groups(tail).length).fill('0')
  return [...groups(head), ...zeros, ...groups(tail)]
    .map(group => Number.parseInt(group, 16).toString(2).padStart(16, '0'))
    .join('')
}

function isInside(address: string, cidr: string): boolean {
  const [base = '', length] = cidr.split('/')
  const [a, b] = [bits(address), bits(base)]
  return a.length === b.length && a.slice(0, Number(length)) === b.slice(0, Number(length))
}

function isPeer(world: World, peer: PeerManifest, policyNamespace: string, { pod, address }: Place): boolean {
  if (peer.ipBlock)
    return isInside(address, peer.ipBlock.cidr) && !peer.ipBlock.except?.some(cidr => isInside(address, cidr))
  if (!pod || pod.hostNetwork) return false
  const namespaceLabels = { ...world.namespaces[pod.namespace], 'kubernetes.io/metadata.name': pod.namespace }
  if (peer.namespaceSelector ? !selects(peer.namespaceSelector, namespaceLabels) : pod.namespace !== policyNamespace)
    return false
  return selects(peer.podSelector ?? {}, pod.labels)
}

function isPort(
  { protocol = 'TCP', port, endPort }: PortManifest,
  to: Place,
  asked: { protocol: string; port: number },
): boolean {
  if (protocol !== asked.protocol) return false
  if (port === undefined) return true
  if (typeof port === 'number') return port <= asked.port && asked.port <= (endPort ?? port)
  if (!to.pod || to.pod.hostNetwork) return false
  return to.pod.ports.flat().find(p => p.name === port && p.protocol === protocol)?.containerPort === asked.port
}

function permits(
  world: World,
  direction: 'ingress' | 'egress',
  subject: Place,
  peer: Place,
  to: Place,
  asked: { protocol: string; port: number },
): boolean {
  const { pod } = subject
  if (!pod || pod.hostNetwork) return true
  const type = direction === 'ingress' ? 'Ingress' : 'Egress'
  const applicable = world.policies.filter(({ namespace, spec }) => {
    const types = spec.policyTypes?.length
      ? spec.policyTypes
      : spec.egress?.length
        ? ['Ingress', 'Egress']
        : ['Ingress']
    return types.includes(type) && namespace === pod.namespace && selects(spec.podSelector ?? {}, pod.labels)
  })
  if (applicable.length === 0) return true
  return applicable.some(({ namespace, spec }) =>
    spec[direction]?.some(rule => {
      const peers = (direction === 'ingress' ? rule.from : rule.to) ?? []
      const ports = rule.ports ?? []
      return (
        (peers.length === 0 || peers.some(one => isPeer(world, one, namespace, peer))) &&
        (ports.length === 0 || ports.some(one => isPort(one, to, asked)))
      )
    }),
  )
}

function naiveVerdict(
  world: World,
  from: Place,
  to: Place,
  asked: { protocol: string; port: number },
): 'allowed' | 'denied' {
  const isOwnNode = from.node !== undefined && to.pod !== undefined && !to.pod.hostNetwork && from.node === to.pod.node
  const leaves = permits(world, 'egress', from, to, to, asked)
  const enters = isOwnNode || permits(world, 'ingress', to, from, to, asked)
  return leaves && enters ? 'allowed' : 'denied'
}

// ---- Random worlds: few names and numbers, so that they meet.

const NAMESPACES = ['n', 'm']
const NODES = ['node1', 'node2']
const NODE_ADDRESSES: Record<string, string[]> = {
  node1: ['172.30.0.1', 'fd00:172::1'],
  node2: ['172.30.0.2', 'fd00:172::2'],
}
const OUTSIDE = ['192.0.2.1', '10.0.0.200', '2001:db8::1', 'fd00:1::99']
const KEYS = [
  'a',
  'b',
  'pod-template-hash',
  'io.kubernetes.pod.namespace',
  'io.cilium.k8s.namespace.labels.a',
  'kubernetes.io/metadata.name',
]
const VALUES = ['1', '2', 'n', '']
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const
const NUMBERS = { TCP: 6, UDP: 17, SCTP: 132 } as const
const PORTS = [1, 79, 80, 81, 90, 443, 8080, 65535]

const anyLabels = fc.dictionary(fc.constantFrom(...KEYS), fc.constantFrom(...VALUES), {
  maxKeys: 3,
  noNullPrototype: true,
})
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined })
const anyExpression: fc.Arbitrary<Expression> = fc.oneof(
  fc.record({
    key: fc.constantFrom(...KEYS),
    operator: fc.constantFrom('In' as const, 'NotIn' as const),
    values: fc.subarray(VALUES, { minLength: 1 }),
  }),
  fc.record({ key: fc.constantFrom(...KEYS), operator: fc.constantFrom('Exists' as const, 'DoesNotExist' as const) }),
)
const anySelector = fc.record(
  {
    matchLabels: fc.dictionary(fc.constantFrom(...KEYS), fc.constantFrom(...VALUES), {
      maxKeys: 1,
      noNullPrototype: true,
    }),
    matchExpressions: fc.array(anyExpression, { maxLength: 1 }),
  },
  { requiredKeys: [] },
)
const anyBlock: fc.Arbitrary<Block> = fc.constantFrom(
  { cidr: '0.0.0.0/0' },
  { cidr: '::/0' },
  { cidr: '10.0.0.0/8' },
  { cidr: '10.0.0.0/30', except: ['10.0.0.2/32'] },
  { cidr: '10.0.0.0/24', except: ['10.0.0.0/30', '10.0.0.128/25'] },
  { cidr: '10.0.0.1/32' },
  { cidr: '172.30.0.0/31' },
  { cidr: '0.0.0.0/0', except: ['10.0.0.0/8', '172.30.0.1/32'] },
  { cidr: 'fd00::/16', except: ['fd00:1::/32'] },
  { cidr: 'fd00:1::/126' },
)
const anyPeer: fc.Arbitrary<PeerManifest> = fc.oneof(
  fc.record({ podSelector: anySelector }),
  fc.record({ namespaceSelector: anySelector }),
  fc.record({ podSelector: anySelector, namespaceSelector: anySelector }),
  fc.record({ ipBlock: anyBlock }),
)
const anyPortManifest: fc.Arbitrary<PortManifest> = fc.oneof(
  fc.record(
    {
      protocol: fc.constantFrom(...PROTOCOLS),
      port: fc.oneof(fc.constantFrom<number | string>(...PORTS), fc.constantFrom('http', 'dns')),
    },
    { requiredKeys: [] },
  ),
  fc
    .tuple(fc.constantFrom(...PORTS), fc.constantFrom(...PORTS), fc.constantFrom(...PROTOCOLS))
    .map(([one, other, protocol]) => ({ protocol, port: Math.min(one, other), endPort: Math.max(one, other) })),
)
const anyPeers = maybe(fc.array(anyPeer, { maxLength: 2 }))
const anyPorts = maybe(fc.array(anyPortManifest, { maxLength: 2 }))
/** As JSON leaves out what is undefined, so does this. */
const withoutUndefined = <T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  JSON.parse(JSON.stringify(fields)) as { [K in keyof T]?: Exclude<T[K], undefined> }
const anyPolicy: fc.Arbitrary<PolicyManifest> = fc.record({
  namespace: fc.constantFrom(...NAMESPACES),
  spec: fc
    .record({
      podSelector: maybe(anySelector),
      policyTypes: maybe(fc.subarray(['Ingress', 'Egress'])),
      ingress: maybe(fc.array(fc.record({ from: anyPeers, ports: anyPorts }).map(withoutUndefined), { maxLength: 2 })),
      egress: maybe(fc.array(fc.record({ to: anyPeers, ports: anyPorts }).map(withoutUndefined), { maxLength: 2 })),
    })
    .map(withoutUndefined),
})
const anyContainer = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom('http', 'dns'),
    protocol: fc.constantFrom('TCP', 'TCP', 'UDP', 'SCTP'),
    containerPort: fc.constantFrom(80, 8080),
  }),
  { selector: port => port.name, maxLength: 2 },
)

const anyPods: fc.Arbitrary<PodManifest[]> = fc
  .array(
    fc.record({
      namespace: fc.constantFrom(...NAMESPACES),
      labels: anyLabels,
      ports: fc.array(anyContainer, { minLength: 1, maxLength: 2 }),
      hostNetwork: fc.nat({ max: 7 }).map(n => n === 0),
      node: fc.constantFrom(...NODES),
    }),
    { minLength: 2, maxLength: 5 },
  )
  .map(pods =>
    pods.map((pod, i) => ({
      ...pod,
      name: `p${i}`,
      addresses: pod.hostNetwork ? (NODE_ADDRESSES[pod.node] as string[]) : [`10.0.0.${i}`, `fd00:1::${i}`],
    })),
  )
const anyWorld: fc.Arbitrary<World> = fc.record({
  namespaces: fc.record({ n: anyLabels, m: anyLabels }),
  pods: anyPods,
  policies: fc.array(anyPolicy, { maxLength: 4 }),
})

const manifestsOf = ({ namespaces, pods, policies }: World): unknown[] => [
  ...NODES.map(name => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
    status: { addresses: NODE_ADDRESSES[name]?.map(address => ({ type: 'InternalIP', address })) },
  })),
  ...Object.entries(namespaces).map(([name, labels]) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  })),
  ...pods.map(({ namespace, name, labels, addresses, ports, hostNetwork, node }) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name, labels },
    spec: { nodeName: node, hostNetwork, containers: ports.map((list, i) => ({ name: `c${i}`, ports: list })) },
    status: { podIPs: addresses.map(address => ({ ip: address })) },
  })),
  ...policies.map(({ namespace, spec }, i) => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { namespace, name: `policy${i}` },
    spec,
  })),
]

/** Everyone there is, at every address. */
const placesOf = (world: World): Place[] => [
  ...world.pods.flatMap(pod =>
    pod.addresses.map(address => (pod.hostNetwork ? { pod, node: pod.node, address } : { pod, address })),
  ),
  ...NODES.flatMap(node => (NODE_ADDRESSES[node] ?? []).map(address => ({ node, address }))),
  ...OUTSIDE.map(address => ({ address })),
]

test('the engine agrees with the second reading: every pair of pods, nodes and the world, every port', () => {
  fc.assert(
    fc.property(anyWorld, world => {
      const { objects, problems } = parseManifests(
        manifestsOf(world)
          .map(object => JSON.stringify(object))
          .join('\n---\n'),
        'world.yaml',
      )
      assert.deepEqual(problems, [])
      const { cluster, problems: refused } = readCluster(objects)
      assert.deepEqual(refused.filter(problem => problem.severity === 'error').map(formatProblem), [])
      const places = placesOf(world)
      for (const from of places)
        for (const to of places) {
          if (from === to || from.address.includes(':') !== to.address.includes(':')) continue
          for (const protocol of PROTOCOLS)
            for (const port of PORTS) {
              const { verdict } = cluster.verdict(
                cluster.endAt(ip(from.address)),
                cluster.endAt(ip(to.address)),
                NUMBERS[protocol],
                port,
              )
              const want = naiveVerdict(world, from, to, { protocol, port })
              assert.equal(verdict, want, `${from.address} → ${to.address} ${port}/${protocol}`)
            }
        }
    }),
    { numRuns: Number(process.env['RUNS'] ?? 150) },
  )
})
