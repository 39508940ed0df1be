// Who has which address, decided from what is declared and used; and an identity range
// that has no number left: who has an identity keeps it, who would need a new one is
// told, and the agent goes on.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LocalIdentityAllocator, labelSet, labelTexts, RESERVED } from '../labels/index.ts'
import { parseManifests } from '../manifests/index.ts'
import { ReferenceCounts, readPolicy } from '../policy/index.ts'
import type { Pod } from '../tables/index.ts'
import { endpointRow, podRow } from '../tables/testing/rows.ts'
import { addressProblems } from './address-problems.ts'
import { type AddressFacts, type Claim, planAddresses } from './identities.ts'
import { IdentityHolder } from './identity-holder.ts'
import { PodLabels } from './pod-labels.ts'

const origin = { file: '', line: 0 }

const pod = (name: string, more: Partial<Pod> = {}): Pod => podRow(name, { labels: { app: name }, ...more })

const using = (id: number, podName: string, ...addresses: readonly string[]): AddressFacts['endpoints'][number] => ({
  endpoint: endpointRow(id, podName, { addresses }),
  pod: pod(podName),
})

/** References of a policy with these ingress sources. */
function referencesOf(from: string): ReferenceCounts {
  const text = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec: {podSelector: {}, ingress: [{from: [${from}]}], egress: [{ports: [{port: http}]}], policyTypes: [Egress, Ingress]}`
  const [object] = parseManifests(text, 'web.yaml').objects
  const policy = object && readPolicy(object)?.value
  assert.ok(policy)
  const references = new ReferenceCounts()
  references.add(policy)
  return references
}

type Case = {
  readonly name: string
  readonly facts: Partial<AddressFacts>
  readonly from?: string
  /** Owner and those labels that say where an address is, by prefix; of the prefixes that the case is about. */
  readonly want: Readonly<Record<string, string | undefined>>
  readonly conflicts?: readonly string[]
}

const WHERE = /^(reserved|cidr|port):/

const CASES: readonly Case[] = [
  {
    name: 'nothing declared: the world and the node itself',
    facts: {},
    want: {
      '0.0.0.0/0': 'world reserved:world reserved:world-ipv4',
      '::/0': 'world reserved:world reserved:world-ipv6',
      '172.30.0.2/32': 'node node1 reserved:host',
      'fd00:172:30::2/128': 'node node1 reserved:host',
    },
  },
  {
    name: 'another node is remote; what a Node object says of the node itself changes nothing',
    facts: {
      nodes: [
        { name: 'node1', addresses: ['172.30.0.2', '172.30.0.9'], origin },
        { name: 'node2', addresses: ['172.30.0.3'], origin },
      ],
    },
    want: {
      '172.30.0.2/32': 'node node1 reserved:host',
      '172.30.0.3/32': 'node node2 reserved:remote-node',
      '172.30.0.9/32': undefined,
    },
  },
  {
    name: 'a pod has the addresses of its endpoint, not those of its status',
    facts: { pods: [pod('a', { addresses: ['10.0.0.9'] })], endpoints: [using(1, 'a', '10.0.0.7', 'fd00::7')] },
    want: { '10.0.0.7/32': 'pod shop/a', 'fd00::7/128': 'pod shop/a', '10.0.0.9/32': undefined },
  },
  {
    name: 'a pod elsewhere has those of its status; one on its node’s network has none',
    facts: {
      pods: [pod('a', { addresses: ['10.0.0.9'] }), pod('b', { addresses: ['172.30.0.8'], hostNetwork: true })],
    },
    want: { '10.0.0.9/32': 'pod shop/a', '172.30.0.8/32': undefined },
  },
  {
    name: 'who uses an address has it before who declares it, whatever their names',
    facts: { pods: [pod('a', { addresses: ['10.0.0.7'] }), pod('z')], endpoints: [using(9, 'z', '10.0.0.7')] },
    want: { '10.0.0.7/32': 'pod shop/z' },
    conflicts: ['10.0.0.7/32: pod shop/z before pod shop/a'],
  },
  {
    name: 'of two that declare an address the first by name has it',
    facts: { pods: [pod('b', { addresses: ['10.0.0.7'] }), pod('a', { addresses: ['10.0.0.7'] })] },
    want: { '10.0.0.7/32': 'pod shop/a' },
    conflicts: ['10.0.0.7/32: pod shop/a before pod shop/b'],
  },
  {
    name: 'of two endpoints, also of one pod, the first by number has it',
    facts: { pods: [pod('a')], endpoints: [using(2, 'a', '10.0.0.7'), using(1, 'a', '10.0.0.7')] },
    want: { '10.0.0.7/32': 'pod shop/a' },
    conflicts: ['10.0.0.7/32: pod shop/a before pod shop/a'],
  },
  {
    name: 'nobody takes a node’s address',
    facts: {
      nodes: [{ name: 'node2', addresses: ['172.30.0.3'], origin }],
      pods: [pod('a', { addresses: ['172.30.0.3'] }), pod('b')],
      endpoints: [using(1, 'b', '172.30.0.2')],
    },
    want: { '172.30.0.2/32': 'node node1 reserved:host', '172.30.0.3/32': 'node node2 reserved:remote-node' },
    conflicts: ['172.30.0.2/32: node node1 before pod shop/b', '172.30.0.3/32: node node2 before pod shop/a'],
  },
  {
    name: 'prefixes that policies name stand for the world, and label who is inside',
    facts: { pods: [pod('a', { addresses: ['10.1.0.7'] }), pod('b', { addresses: ['10.2.0.7'] })] },
    from: '{ipBlock: {cidr: 10.0.0.0/8, except: [10.2.0.0/16]}}, {ipBlock: {cidr: 172.30.0.2/32}}',
    want: {
      '0.0.0.0/0': 'world reserved:world reserved:world-ipv4',
      '10.0.0.0/8': 'policy cidr:10.0.0.0/8 reserved:world reserved:world-ipv4',
      '10.2.0.0/16': 'policy cidr:10.0.0.0/8 cidr:10.2.0.0/16 reserved:world reserved:world-ipv4',
      '10.1.0.7/32': 'pod shop/a cidr:10.0.0.0/8',
      '10.2.0.7/32': 'pod shop/b cidr:10.0.0.0/8 cidr:10.2.0.0/16',
      '172.30.0.2/32': 'node node1 cidr:172.30.0.2/32 reserved:host',
      'fd00:172:30::2/128': 'node node1 reserved:host',
    },
  },
  {
    name: 'the whole of a family is the world’s own prefix, and not that of the other family',
    facts: {},
    from: '{ipBlock: {cidr: 0.0.0.0/0}}',
    want: {
      '0.0.0.0/0': 'world cidr:0.0.0.0/0 reserved:world reserved:world-ipv4',
      '::/0': 'world reserved:world reserved:world-ipv6',
    },
  },
  {
    name: 'named ports that egress rules name label a pod',
    facts: { pods: [pod('a', { addresses: ['10.0.0.7'], ports: [{ name: 'http', protocol: 6, port: 8080 }] })] },
    from: '{podSelector: {}}',
    want: { '10.0.0.7/32': 'pod shop/a port:http/TCP=8080' },
  },
  {
    name: 'a text that is no address is nobody’s',
    facts: { pods: [pod('a', { addresses: ['10.0.0', '10.0.0.7'] })] },
    want: { '10.0.0/32': undefined, '10.0.0.7/32': 'pod shop/a' },
  },
]

for (const { name, facts, from, want, conflicts = [] } of CASES)
  test(name, () => {
    const plan = planAddresses(
      {
        pods: [],
        endpoints: [],
        nodes: [],
        ownNode: { name: 'node1', addresses: ['172.30.0.2', 'fd00:172:30::2'] },
        namespaceLabels: () => NO_LABELS,
        isAudited: () => false,
        learnt: new Map(),
        ...facts,
      },
      from === undefined ? new ReferenceCounts() : referencesOf(from),
      new PodLabels(),
    )
    const found = (prefix: string): string | undefined => {
      const claimed = plan.claims.get(prefix)
      return claimed && [claimed.owner, ...labelTexts(claimed.labels).filter(text => WHERE.test(text))].join(' ')
    }
    assert.deepEqual(Object.fromEntries(Object.keys(want).map(prefix => [prefix, found(prefix)])), want)
    assert.deepEqual(
      plan.conflicts.map(({ prefix, owner, other }) => `${prefix}: ${owner} before ${other}`).sort(),
      conflicts,
    )
  })

const NO_LABELS = {}

const claim = (prefix: string, app: string): Claim => ({
  prefix,
  owner: `pod default/${app}`,
  kind: 'pod',
  isHost: false,
  endpoint: undefined,
  labels: labelSet([{ source: 'k8s', key: 'app', value: app }]),
})

const planOf = (...claims: ReturnType<typeof claim>[]) => ({
  claims: new Map(claims.map(each => [each.prefix, each])),
  conflicts: [],
  usual: [],
})

test('the one that no number is left for stays unknown, and the others are undisturbed', () => {
  const ranges = { cluster: { first: 256, last: 257 }, local: { first: 1 << 24, last: (1 << 24) + 1 } }
  const holder = new IdentityHolder(new LocalIdentityAllocator({ now: () => 0, ranges }))
  const [a, b, c] = [claim('10.0.0.1/32', 'a'), claim('10.0.0.2/32', 'b'), claim('10.0.0.3/32', 'c')]
  holder.assign(planOf(a, b)).release()
  const { addresses, unnumbered, release } = holder.assign(planOf(a, b, c))
  release()
  assert.deepEqual(
    addresses.map(({ prefix, identity }) => [prefix, identity]),
    [
      ['10.0.0.1/32', 256],
      ['10.0.0.2/32', 257],
      ['10.0.0.3/32', RESERVED.unknown],
    ],
  )
  const [problem, ...others] = addressProblems([], unnumbered)
  assert.deepEqual(others, [])
  assert.equal(problem?.object, 'pod default/c')
  assert.match(
    problem?.message ?? '',
    /^address 10\.0\.0\.3\/32 of pod default\/c counts as nobody's.*no cluster identity number is free/,
  )
})
