// What explain offers as the smallest change, applied, changes just what it says: on
// random clusters with random policies of every kind, the asked connection flips, and
// beside it those connections that the explanation lists, and no other, on no other
// port. Another seed for every run; AXONEME_SEED repeats one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatIp, ip } from '../../src/ip/index.ts'
import { parseManifests } from '../../src/manifests/index.ts'
import {
  type Cluster,
  type End,
  type Explanation,
  explain,
  PROTOCOLS,
  type Question,
  readCluster,
} from '../../src/policy/index.ts'
import { ciliumPolicySet } from '../e2e/random-cilium-policies.ts'
import { clusterManifests, policySet } from '../e2e/random-policies.ts'
import { namespaceManifest, podAt } from '../e2e/support.ts'

const RUNS = 60
const QUESTIONS_PER_RUN = 12
const seed = Number(process.env['AXONEME_SEED'] ?? Math.floor(Math.random() * 2 ** 31)) | 0

const ASKED = [
  [PROTOCOLS.TCP, 80],
  [PROTOCOLS.TCP, 81],
  [PROTOCOLS.UDP, 80],
  [PROTOCOLS.UDP, 81],
  [PROTOCOLS.SCTP, 80],
  [PROTOCOLS.ICMP, 8],
  [PROTOCOLS.ICMPv6, 128],
] as const

/** Two nodes, a pod on the network of one, and pods that differ from others by one more label or the service account. */
const MORE = [
  node('node1', '172.30.0.2', 'fd00:172:30::2'),
  node('node2', '172.30.0.3', 'fd00:172:30::3'),
  { ...podAt('x/host', [], { labels: { app: 'web' }, spec: { hostNetwork: true, nodeName: 'node2' } }), status: {} },
  podAt('x/d', ['10.244.1.24', 'fd00:10:244::24'], { labels: { app: 'db', tier: 'back' } }),
  podAt('y/c', ['10.244.1.25'], { labels: { app: 'db', tier: 'back' }, spec: { serviceAccountName: 'other' } }),
  ...['26', '27', '28'].map(host =>
    podAt(`x/copy-${host}`, [`10.244.1.${host}`], { labels: { app: 'web', tier: 'front' } }),
  ),
  namespaceManifest('empty'),
]

function node(name: string, ...addresses: readonly string[]) {
  const status = { addresses: addresses.map(address => ({ type: 'InternalIP', address })) }
  return { apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: {}, status }
}

const OUTSIDE = ['192.0.2.7', '203.0.113.9', '2001:db8::7']

const pods = [...clusterManifests(), ...MORE].map(object =>
  isPod(object) && !object.spec.nodeName ? { ...object, spec: { ...object.spec, nodeName: 'node1' } } : object,
)

function isPod(object: object): object is { readonly spec: Readonly<Record<string, unknown>> } {
  return 'kind' in object && object.kind === 'Pod'
}

function clusterOf(objects: readonly object[], more = ''): Cluster {
  const texts = [...objects.map(object => JSON.stringify(object)), ...(more ? [more] : [])]
  const parsed = parseManifests(texts.join('\n---\n'), 'random.yaml')
  const { cluster, problems } = readCluster(parsed.objects)
  const errors = [...parsed.problems, ...problems].filter(({ severity }) => severity === 'error')
  assert.deepEqual(errors, [])
  return cluster
}

/** Everybody at every address, by name and family. */
function endsOf(cluster: Cluster): Map<string, End> {
  const { content } = cluster
  const ends = new Map<string, End>()
  for (const pod of content.pods)
    for (const { family } of pod.hostNetwork ? [] : pod.addresses) {
      const end = cluster.endOf(pod, family)
      if (end) ends.set(`${pod.namespace}/${pod.name} ${family}`, end)
    }
  const addresses = [...content.nodes.flatMap(each => each.addresses), ...OUTSIDE.map(ip)]
  for (const address of addresses) ends.set(formatIp(address.bytes), cluster.endAt(address))
  return ends
}

/** `allowed`, `denied` or `audited` by ends and port. */
function outcomes(cluster: Cluster): Map<string, string> {
  const found = new Map<string, string>()
  const ends = endsOf(cluster)
  for (const [fromName, from] of ends)
    for (const [toName, to] of ends) {
      if (from.address.family !== to.address.family || isSamePod(from, to)) continue
      for (const [protocol, port] of ASKED) {
        const { verdict, egress, ingress } = cluster.verdict(from, to, protocol, port)
        const isAudited = verdict === 'allowed' && (egress?.audit || ingress?.audit)
        found.set(`${fromName} > ${toName} ${protocol}/${port}`, isAudited ? 'audited' : verdict)
      }
    }
  return found
}

const isSamePod = (from: End, to: End): boolean => from.kind === 'pod' && to.kind === 'pod' && from.pod === to.pod

const anySet = fc.oneof(policySet, ciliumPolicySet)

test(`the smallest change changes what it says and nothing else, seed ${seed}`, t => {
  const told = { changed: 0, impossible: 0, others: 0, instead: 0 }
  const random = fc.sample(
    fc.tuple(anySet, fc.array(fc.nat(), { minLength: 3 * QUESTIONS_PER_RUN, maxLength: 3 * QUESTIONS_PER_RUN })),
    {
      numRuns: RUNS,
      seed,
    },
  )
  for (const [policies, choices] of random) {
    const cluster = clusterOf([...pods, ...policies])
    const before = outcomes(cluster)
    const ends = [...endsOf(cluster)]
    for (let i = 0; i < choices.length; i += 3) {
      const [from, to, asked] = choices.slice(i, i + 3) as [number, number, number]
      const [source, target] = [ends[from % ends.length], ends[to % ends.length]] as [[string, End], [string, End]]
      if (source[1].address.family !== target[1].address.family || isSamePod(source[1], target[1])) continue
      const [protocol, port] = ASKED[asked % ASKED.length] as (typeof ASKED)[number]
      const question: Question = { from: source[1], to: target[1], protocol, port }
      const explanation = explain(cluster, question)
      const name = `${source[0]} > ${target[0]} ${protocol}/${port}`
      const context = (): string =>
        `${name}\n${JSON.stringify(policies)}\n${JSON.stringify(explanation.change, undefined, 1)}`
      assert.equal(explanation.verdict, before.get(name), context())
      checkRoles(explanation, context)
      const { change } = explanation
      if (!change.possible) {
        told.impossible++
        continue
      }
      const after = outcomes(clusterOf([...pods, ...policies], change.yaml))
      const flipped = [...after].filter(([key, outcome]) => before.get(key) !== outcome).map(([key]) => key)
      const listed = change.also.map(flip => {
        const names = [
          source[1].kind === 'pod' ? `${flip.from} ${flip.family}` : source[0],
          target[1].kind === 'pod' ? `${flip.to} ${flip.family}` : target[0],
        ]
        return `${names.join(' > ')} ${protocol}/${port}`
      })
      assert.deepEqual(flipped.sort(), [name, ...listed].sort(), context())
      assert.equal(after.get(name), change.to === 'allow' ? 'allowed' : 'denied', context())
      told.changed++
      told.others += listed.length
      told.instead += change.instead.length
    }
  }
  t.diagnostic(JSON.stringify(told))
  assert.ok(told.changed > RUNS, 'too few changes to prove anything')
  assert.ok(told.others > 0)
})

/** What decides is named once, and its role fits the decision. */
function checkRoles(explanation: Explanation, context: () => string): void {
  for (const side of [explanation.egress, explanation.ingress]) {
    if (!side.judged) continue
    const deciding = side.matching.filter(({ role }) => role === 'decides')
    const { decision } = side
    assert.equal(deciding.length, decision.kind === 'rule' ? 1 : 0, context())
    if (decision.kind === 'rule') assert.equal(deciding[0]?.path, decision.rule.path, context())
    const shadowed = side.matching.filter(({ role }) => role === 'shadowed' || role === 'tie')
    if (decision.kind !== 'rule') assert.deepEqual(shadowed, [], context())
  }
}
