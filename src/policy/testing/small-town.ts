// A small cluster for tests of what policies mean: two namespaces, four pods, two nodes
// and some of the world. Policies are added as text; questions are `FROM -> TO PORT`,
// where `*` stands for everybody and the answer names those who may.

import { ip } from '../../ip/index.ts'
import { PROTOCOLS } from '../../labels/index.ts'
import { formatProblem, parseManifests } from '../../manifests/index.ts'
import type { Cluster, End } from '../cluster/cluster.ts'
import { type ReadClusterOptions, readCluster } from '../cluster/cluster-manifests.ts'

/** Everybody, and the address of each that IPv4 questions are asked for. */
const EVERYBODY = {
  'shop/web': '10.1.0.1',
  'shop/till': '10.1.0.2',
  'bank/web': '10.2.0.1',
  'bank/vault': '10.2.0.2',
  /** The node of all pods of shop. */
  node1: '172.30.0.1',
  /** The node of all pods of bank. */
  node2: '172.30.0.2',
  near: '203.0.113.7',
  far: '198.51.100.1',
  far6: '2001:db8::1',
} as const

export type Name = keyof typeof EVERYBODY
const NAMES = Object.keys(EVERYBODY) as Name[]

const PORTS: Partial<Record<Name, string>> = {
  'shop/web': '{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}',
  'shop/till': '{name: http, containerPort: 9090}',
}

const namespaces = Object.entries({ shop: 'red', bank: 'blue' }).map(
  ([name, team]) => `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}, labels: {team: ${team}}}}`,
)

const pods = NAMES.filter(name => name.includes('/')).map((name, i) => {
  const [namespace, app] = name.split('/')
  const metadata = `{name: ${app}, namespace: ${namespace}, labels: {app: ${app}, tier: ${app === 'web' ? 'front' : 'back'}}}`
  const spec = `{nodeName: ${namespace === 'shop' ? 'node1' : 'node2'}, serviceAccountName: ${app}, containers: [{name: c, ports: [${PORTS[name] ?? ''}]}]}`
  const status = `{podIPs: [{ip: ${EVERYBODY[name]}}, {ip: "fd00:1::${i + 1}"}]}`
  return `{apiVersion: v1, kind: Pod, metadata: ${metadata}, spec: ${spec}, status: ${status}}`
})

const nodes = (['node1', 'node2'] as const).map(
  name =>
    `{apiVersion: v1, kind: Node, metadata: {name: ${name}}, status: {addresses: [{type: InternalIP, address: ${EVERYBODY[name]}}]}}`,
)

export type Town = {
  readonly cluster: Cluster
  /** What is said of the policies, in short: `error: …`, `warning: …`. */
  readonly problems: readonly string[]
  /** `shop/till -> shop/web 80/TCP`: `yes` or `no`; with `*` at one end the names of those who may, of ICMP by type. */
  readonly ask: (question: string) => string
}

/** The cluster with some policies; the first of two policies with one name counts. */
export function townWith(policies: readonly string[], options: ReadClusterOptions = {}): Town {
  const parsed = parseManifests([...namespaces, ...pods, ...nodes, ...policies].join('\n---\n'), 'town.yaml')
  const { cluster, problems } = readCluster(parsed.objects, options)
  return {
    cluster,
    problems: [...parsed.problems, ...problems].map(problem => formatProblem(problem).replace(/^[^ ]+ /, '')),
    ask: question => answer(cluster, question),
  }
}

/** The same, when nothing is wrong with the policies. */
export function calmTown(...policies: readonly string[]): Town {
  const town = townWith(policies)
  if (town.problems.length > 0) throw new Error(town.problems.join('\n'))
  return town
}

function answer(cluster: Cluster, question: string): string {
  const [, from = '', to = '', port = '', protocol = ''] = /^(\S+) -> (\S+) (\d+)\/(\w+)$/.exec(question) ?? []
  const number = /^\d+$/.test(protocol) ? Number(protocol) : PROTOCOLS[protocol as keyof typeof PROTOCOLS]
  if (number === undefined) throw new Error(`no question: ${question}`)
  const passes = (from: Name, to: Name): boolean =>
    cluster.verdict(endOf(cluster, from), endOf(cluster, to), number, Number(port)).verdict === 'allowed'
  if (from === '*') return NAMES.filter(name => name !== to && passes(name, nameOf(to))).join(' ')
  if (to === '*') return NAMES.filter(name => name !== from && passes(nameOf(from), name)).join(' ')
  return passes(nameOf(from), nameOf(to)) ? 'yes' : 'no'
}

const endOf = (cluster: Cluster, name: Name): End => cluster.endAt(ip(EVERYBODY[name]))

function nameOf(text: string): Name {
  const found = NAMES.find(name => name === text)
  if (!found) throw new Error(`nobody is named ${text}`)
  return found
}

let made = 0

/** A CiliumNetworkPolicy of shop, or of another namespace; a clusterwide one for the namespace `*`. `text`: fields of its spec. */
export function cnp(text: string, { namespace = 'shop', annotations = '{}' } = {}): string {
  const isClusterwide = namespace === '*'
  const kind = isClusterwide ? 'CiliumClusterwideNetworkPolicy' : 'CiliumNetworkPolicy'
  const metadata = `{name: p${++made}, ${isClusterwide ? '' : `namespace: ${namespace}, `}annotations: ${annotations}}`
  return `{apiVersion: cilium.io/v2, kind: ${kind}, metadata: ${metadata}, spec: {${text}}}`
}

/** A NetworkPolicy of shop. */
export function np(text: string, { namespace = 'shop', annotations = '{}' } = {}): string {
  return `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p${++made}, namespace: ${namespace}, annotations: ${annotations}}, spec: {${text}}}`
}

/** A ClusterNetworkPolicy. */
export function clusterPolicy(text: string): string {
  return `{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: p${++made}}, spec: {${text}}}`
}
