// Differences: on chosen manifests what people read, on random ones that nothing is
// missed and nothing invented.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { cidr, cidrContains, ip } from '../../ip/index.ts'
import { parseManifests } from '../../manifests/index.ts'
import type { Cluster, End } from '../cluster/cluster.ts'
import { readCluster } from '../cluster/cluster-manifests.ts'
import { podPlaces } from '../cluster/places.ts'
import { diffClusters } from './diff-clusters.ts'
import { groupChanges, PlaceNames } from './group-changes.ts'

const pod = (name: string, labels = `app: ${name}`, more = '') =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: shop, labels: {${labels}}}, spec: {containers: [{name: m, ports: [{name: http, containerPort: 80}]}]}${more}}`
const policy = (name: string, subject: string, spec: string) =>
  `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: ${name}, namespace: shop}, spec: {podSelector: {${subject}}, ${spec}}}`

function clusterOf(objects: readonly string[], like?: Cluster): Cluster {
  const parsed = parseManifests(objects.join('\n---\n'), 'm.yaml')
  const read = readCluster(parsed.objects, like ? { like } : {})
  assert.deepEqual(
    [...parsed.problems, ...read.problems].filter(({ severity }) => severity === 'error'),
    [],
  )
  return read.cluster
}

/** The groups as lines: `FROM → TO: PORTS BEFORE→AFTER`. */
function linesOf(before: readonly string[], after: readonly string[]): string[] {
  const old = clusterOf(before)
  const young = clusterOf(after, old)
  const diff = diffClusters(old, young)
  const names = new PlaceNames(young.content.pods, diff.places)
  return groupChanges(diff).flatMap(({ from, to, family, lines }) =>
    lines.map(
      line =>
        `${names.of(from).join(' ')} → ${names.of(to).join(' ')}${family ? ` IPv${family}` : ''}: ${line.ports} ${line.before}→${line.after}`,
    ),
  )
}

const PODS = [pod('web'), pod('db'), pod('cart')]
const VISIBLE_WEB =
  '{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}, annotations: {policy.axoneme.io/visibility: "<Ingress/80/TCP/HTTP>"}}, spec: {containers: [{name: m, ports: [{name: http, containerPort: 80}]}]}}'
const DENY_WEB = policy('web', 'matchLabels: {app: web}', 'policyTypes: [Ingress]')
const allow = (rule: string) => policy('web', 'matchLabels: {app: web}', `ingress: [{${rule}}]`)

const requests = (rules: string, name = 'web'): string =>
  `{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: ${name}, namespace: shop}, spec: {endpointSelector: {matchLabels: {app: web}}, ingress: [{fromEndpoints: [{matchLabels: {app: db}}], toPorts: [{ports: [{port: "80", protocol: TCP}]${rules}}]}]}}`
const http = (...rules: readonly string[]): string => `, rules: {http: [${rules.join(', ')}]}`

const cases: readonly {
  readonly name: string
  readonly before: readonly string[]
  readonly after: readonly string[]
  readonly want: readonly string[]
}[] = [
  { name: 'nothing', before: [...PODS, DENY_WEB], after: [...PODS, DENY_WEB], want: [] },
  {
    name: 'what is said is seen from now on',
    before: PODS,
    after: [VISIBLE_WEB, ...PODS.slice(1)],
    want: ['shop/cart shop/db another node world → shop/web: 80/TCP allowed→allowed'],
  },
  {
    name: 'requests are judged from now on',
    before: [...PODS, requests('')],
    after: [...PODS, requests(http('{method: GET}'))],
    want: ['shop/db → shop/web: 80/TCP allowed→judged'],
  },
  {
    name: 'other requests are allowed',
    before: [...PODS, requests(http('{method: GET}'))],
    after: [...PODS, requests(http('{method: PUT}'))],
    want: ['shop/db → shop/web: 80/TCP judged→judged'],
  },
  {
    name: 'the same requests by rules in another order, of a policy with another name',
    before: [...PODS, requests(http('{method: GET}', '{method: PUT}'))],
    after: [...PODS, requests(http('{method: PUT}', '{method: GET}'), 'other')],
    want: [],
  },
  {
    name: 'a pod is isolated: for all but its own node',
    before: PODS,
    after: [...PODS, DENY_WEB],
    want: ['shop/cart shop/db another node world → shop/web: any port allowed→denied'],
  },
  {
    name: 'every pod is isolated: one line',
    before: PODS,
    after: [...PODS, policy('all', '', 'policyTypes: [Ingress]')],
    want: ['every pod → every pod: any port allowed→denied', 'another node world → every pod: any port allowed→denied'],
  },
  {
    name: 'a port opens, although no list of ports names it',
    before: [...PODS, DENY_WEB],
    after: [...PODS, allow('from: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 7777, endPort: 7779}]')],
    want: ['shop/db → shop/web: 7777-7779/TCP denied→allowed'],
  },
  {
    name: 'one port closes',
    before: [...PODS, allow('')],
    after: [
      ...PODS,
      allow('ports: [{protocol: TCP, port: 1, endPort: 79}, {port: 81, endPort: 65535}, {protocol: UDP}]'),
    ],
    want: [
      'shop/cart shop/db another node world → shop/web: ICMP, 80/TCP, ICMPv6, SCTP, other protocols allowed→denied',
    ],
  },
  {
    name: 'an exception of a block grows',
    before: [...PODS, allow('from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.0/28]}}]')],
    after: [...PODS, allow('from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.0/27]}}]')],
    want: ['192.0.2.0/27 → shop/web: any port allowed→denied'],
  },
  {
    name: 'one family only',
    before: [...PODS, DENY_WEB],
    after: [...PODS, allow("from: [{ipBlock: {cidr: '::/0'}}], ports: [{port: http}]")],
    want: ['shop/cart shop/db another node world → shop/web IPv6: 80/TCP denied→allowed'],
  },
  {
    name: 'a named port is another number',
    before: [...PODS, allow('ports: [{port: http}]')],
    after: [pod('web').replace('80', '8080'), ...PODS.slice(1), allow('ports: [{port: http}]')],
    want: [
      'shop/cart shop/db another node world → shop/web: 80/TCP allowed→denied',
      'shop/cart shop/db another node world → shop/web: 8080/TCP denied→allowed',
    ],
  },
  {
    name: 'pods of one label',
    before: [pod('a', 'app: x'), pod('b', 'app: x'), pod('c', 'app: z'), pod('web')],
    after: [
      pod('a', 'app: x'),
      pod('b', 'app: x'),
      pod('c', 'app: z'),
      pod('web'),
      policy(
        'x',
        'matchLabels: {app: x}',
        "policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}, {to: [{ipBlock: {cidr: 172.30.0.0/16}}, {ipBlock: {cidr: 'fd00:172:30::/64'}}]}]",
      ),
    ],
    want: ['shop app=x (2 pods) → world: any port allowed→denied'],
  },
  {
    name: 'a pod that is on one side only is not compared',
    before: PODS,
    after: [pod('a-new-one'), ...PODS],
    want: [],
  },
]

for (const { name, before, after, want } of cases)
  test(`diff: ${name}`, () => assert.deepEqual(linesOf(before, after), want))

test('diff: who is on one side only, and what decides', () => {
  const before = clusterOf([...PODS, pod('old'), DENY_WEB])
  const after = clusterOf([...PODS, pod('new'), allow('ports: [{port: http}]')], before)
  const diff = diffClusters(before, after)
  assert.deepEqual([diff.onlyBefore, diff.onlyAfter], [['shop/old'], ['shop/new']])
  const [group] = groupChanges(diff)
  assert.deepEqual(group?.lines[0]?.because, ['ingress: NetworkPolicy shop/web ingress[0] (m.yaml:9)'])
  assert.equal(group?.pairs, diff.pairs.length)
  const gone = groupChanges(diffClusters(before, clusterOf(PODS, before)))
  assert.deepEqual(gone[0]?.lines[0]?.because, [
    'no longer ingress: no rule allows it; isolated by NetworkPolicy shop/web (m.yaml:9)',
  ])
})

const BLOCKS = ['10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24', '192.0.2.0/25', '0.0.0.0/0', '10.244.0.0/30']
const PORTS = [1, 79, 80, 81, 443, 65535]
const anyPort = fc.record({
  protocol: fc.constantFrom('TCP', 'UDP'),
  port: fc.constantFrom(...PORTS),
  endPort: fc.constantFrom(undefined, 443, 65535),
})
const anyPolicy = fc.record({
  app: fc.constantFrom('web', 'db'),
  peers: fc.array(fc.oneof(fc.constantFrom(...BLOCKS), fc.constantFrom('web', 'cart')), { maxLength: 3 }),
  ports: fc.array(anyPort, { maxLength: 2 }),
  direction: fc.constantFrom('ingress', 'egress'),
})
type AnyPolicy = typeof anyPolicy extends fc.Arbitrary<infer T> ? T : never

const objectsOf = (policies: readonly AnyPolicy[]): string[] => [
  ...PODS,
  ...policies.map(({ app, peers, ports, direction }, i) => {
    const field = direction === 'ingress' ? 'from' : 'to'
    const list = peers.map(peer =>
      peer.includes('/') ? { ipBlock: { cidr: peer } } : { podSelector: { matchLabels: { app: peer } } },
    )
    const sound = ports.map(({ endPort, ...port }) => (endPort && endPort >= port.port ? { ...port, endPort } : port))
    const types = direction === 'ingress' ? 'Ingress' : 'Egress'
    const rules = JSON.stringify([{ [field]: list, ports: sound }])
    return policy(`p${i}`, `matchLabels: {app: ${app}}`, `policyTypes: [${types}], ${direction}: ${rules}`)
  }),
]

const WORLD = ['10.1.2.3', '10.1.9.9', '10.9.9.9', '192.0.2.1', '192.0.2.200', '198.51.100.77', '10.244.0.0']

test('diff: any port of any pair and address differs exactly where the diff says so', () => {
  const asked = PORTS.flatMap(port => [port - 1, port, port + 1]).filter(port => port > 0 && port < 65536)
  fc.assert(
    fc.property(fc.array(anyPolicy, { maxLength: 3 }), fc.array(anyPolicy, { maxLength: 3 }), (old, young) => {
      const before = clusterOf(objectsOf(old))
      const after = clusterOf(objectsOf(young), before)
      const diff = diffClusters(before, after)
      const changed = (from: string, to: string, protocol: number, port: number): boolean =>
        diff.pairs.some(
          pair =>
            pair.from === from &&
            pair.to === to &&
            pair.family !== 6 &&
            pair.changes.some(each => each.protocol === protocol && each.first <= port && port <= each.last),
        )
      const worldName = (address: string): string => {
        const inside = diff.places.filter(name => name.includes('.') && cidrContains(cidr(name), ip(address)))
        return inside.sort((a, b) => cidr(b).prefixLength - cidr(a).prefixLength)[0] ?? 'world'
      }
      const ends = [
        ...podPlaces(before).map(({ name }) => ({ name, of: (cluster: Cluster) => podEnd(cluster, name) })),
        ...WORLD.map(address => ({
          name: worldName(address),
          of: (): End => ({ kind: 'world', address: ip(address) }),
        })),
      ]
      for (const from of ends)
        for (const to of ends) {
          if (from === to || (!from.name.startsWith('shop/') && !to.name.startsWith('shop/'))) continue
          for (const protocol of [6, 17, 1, 47])
            for (const port of protocol === 1 ? [0, 8] : protocol === 47 ? [0] : asked) {
              const [a, b] = [before, after].map(
                cluster => cluster.verdict(from.of(cluster), to.of(cluster), protocol, port).verdict,
              )
              const code = protocol === 47 ? 253 : protocol
              assert.equal(
                changed(from.name, to.name, code, port),
                a !== b,
                `${from.name} ${to.name} ${protocol} ${port}`,
              )
            }
        }
    }),
    { numRuns: 60 },
  )
})

function podEnd(cluster: Cluster, name: string): End {
  const found = cluster.content.pods.find(each => `shop/${each.name}` === name)
  return (found && cluster.endOf(found, 4)) ?? assert.fail(name)
}
