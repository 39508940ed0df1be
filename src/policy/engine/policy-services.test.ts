// Services in policies: whom a service stands for, whom its changes reach, and what is
// told of services that are not there.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { labelSet, PROTOCOLS, podLabels, prefixedRequirements, selector } from '../../labels/index.ts'
import type { Action, Peer } from '../model/rule.ts'
import type { PolicyService, ServiceReference } from '../model/service.ts'
import { verdict } from './evaluate.ts'
import { PolicyRepository } from './repository.ts'
import { policy, port, subject } from './testing/sketches.ts'

const pod = (app: string, namespace: string, cidrs: readonly string[] = []) =>
  labelSet([
    ...podLabels({ namespace, namespaceLabels: {}, labels: { app } }).labels,
    ...cidrs.map(key => ({ source: 'cidr', key, value: '' }) as const),
  ])
const world = (...cidrs: readonly string[]) =>
  labelSet([
    { source: 'reserved', key: 'world', value: '' },
    ...cidrs.map(key => ({ source: 'cidr', key, value: '' }) as const),
  ])

/** Who there is, by a word for each. */
const PARTIES = {
  'db in shop': pod('db', 'shop', ['10.0.0.1/32']),
  'db in bank': pod('db', 'bank'),
  'web in shop': pod('web', 'shop'),
  '192.0.2.1': world('192.0.2.1/32'),
  'fd00::1': world('fd00::1/128'),
  'somebody else': world(),
}

const named = (name: string, namespace?: string): Peer => ({ kind: 'service', service: { name, namespace } })
const labelled = (labels: Record<string, string>, namespace?: string): Peer => {
  const service: ServiceReference = { selector: selector(prefixedRequirements({ matchLabels: labels })), namespace }
  return { kind: 'service', service }
}
const service = (name: string, given: Partial<PolicyService> = {}): PolicyService => ({
  namespace: 'shop',
  name,
  labels: {},
  addresses: [],
  ...given,
})

function repository(peers: readonly Peer[], services: readonly PolicyService[], action: Action = 'allow') {
  const made = new PolicyRepository()
  Object.values(PARTIES).forEach((labels, i) => made.setIdentity(1000 + i, labels))
  for (const one of services) made.setService(one)
  const written = policy('p', 'client', { direction: 'egress', peers, ports: [port(80)] })
  const specs = written.specs.map(spec => ({
    ...spec,
    isolates: { ingress: false, egress: action === 'allow' },
    rules: spec.rules.map(rule => ({ ...rule, action })),
  }))
  made.setPolicy({ ...written, specs })
  return made
}

/** Whom a pod of app `client` may open connections to. */
function reached(made: PolicyRepository, number = 80): string[] {
  const from = { identity: 300, policy: made.resolve(subject('client')) }
  return Object.keys(PARTIES).filter((_, i) => {
    return verdict(from, { identity: 1000 + i, policy: undefined }, PROTOCOLS.TCP, number).verdict === 'allowed'
  })
}

const DB = service('db', { selector: { app: 'db' }, labels: { layer: 'data' } })
const BANK = service('db', { selector: { app: 'db' }, namespace: 'bank', labels: { layer: 'data', kind: 'sql' } })
const FAR = service('far', { addresses: ['192.0.2.1', 'fd00::1', '10.0.0.1'], labels: { layer: 'data' } })

const cases: readonly {
  readonly name: string
  readonly peers: readonly Peer[]
  readonly want: readonly string[]
  readonly unknown?: readonly string[]
}[] = [
  { name: 'the pods that it selects, of its own namespace', peers: [named('db', 'shop')], want: ['db in shop'] },
  { name: 'of any namespace where none is given', peers: [named('db')], want: ['db in shop', 'db in bank'] },
  {
    name: 'without a selector, its addresses outside the cluster, of both families',
    peers: [named('far', 'shop')],
    want: ['192.0.2.1', 'fd00::1'],
  },
  { name: 'those with labels', peers: [labelled({ kind: 'sql' })], want: ['db in bank'] },
  { name: 'the source of a label may be named', peers: [labelled({ 'k8s:kind': 'sql' })], want: ['db in bank'] },
  {
    name: 'no service has labels of other sources',
    peers: [labelled({ 'reserved:kind': 'sql' })],
    want: [],
    unknown: ['with reserved:kind = sql'],
  },
  {
    name: 'those with labels, of one namespace',
    peers: [labelled({ layer: 'data' }, 'shop')],
    want: ['db in shop', '192.0.2.1', 'fd00::1'],
  },
  { name: 'all services', peers: [labelled({})], want: ['db in shop', 'db in bank', '192.0.2.1', 'fd00::1'] },
  { name: 'all of a namespace', peers: [labelled({}, 'bank')], want: ['db in bank'] },
  {
    name: 'several peers',
    peers: [named('far', 'shop'), named('db', 'bank'), named('db', 'bank')],
    want: ['db in bank', '192.0.2.1', 'fd00::1'],
  },
  {
    name: 'one that is not there: nobody',
    peers: [named('far', 'bank'), named('near'), labelled({ a: 'b' }, 'shop')],
    want: [],
    unknown: ['bank/far', 'near', 'with any:a = b in shop'],
  },
]

for (const { name, peers, want, unknown } of cases) {
  test(`a service in a policy: ${name}`, () => {
    const allowed = repository(peers, [FAR, BANK, DB])
    assert.deepEqual(reached(allowed), want)
    assert.deepEqual(reached(allowed, 81), [])
    assert.deepEqual(
      allowed.unknownReferences().map(({ kind, name: what, path }) => `${kind} ${what} ${path}`),
      (unknown ?? []).map(what => `service ${what} egress[0]`),
    )
    const denied = repository(peers, [DB, FAR, BANK], 'deny')
    assert.deepEqual(
      reached(denied),
      Object.keys(PARTIES).filter(party => !want.includes(party)),
    )
  })
}

test('a change of a service reaches those whose policies refer to it, and nobody else', () => {
  const made = repository([named('far', 'shop')], [DB])
  made.setPolicy(policy('other', 'other', { direction: 'egress', peers: [named('db', 'shop')] }))
  made.resolve(subject('client'))
  made.resolve(subject('other'))
  const told = (): string[] => made.changes().map(({ labels }) => labels.values.get('k8s:app') ?? '')
  told()
  assert.deepEqual(reached(made), [])

  made.setService(FAR)
  assert.deepEqual([told(), reached(made)], [['client'], ['192.0.2.1', 'fd00::1']])
  made.setService({ ...FAR, addresses: ['192.0.2.1'] })
  assert.deepEqual([told(), reached(made)], [['client'], ['192.0.2.1']])
  made.setService({ ...FAR, addresses: ['192.0.2.1'], labels: { other: 'label' } })
  made.setService(service('unnamed', { addresses: ['fd00::1'] }))
  assert.deepEqual(told(), [])
  made.setService({ ...FAR, selector: { app: 'web' } })
  assert.deepEqual([told(), reached(made)], [['client'], ['web in shop']])
  assert.deepEqual([made.deleteService(FAR), told(), reached(made)], [true, ['client'], []])
  assert.equal(made.deleteService(FAR), false)
})

test('what services select and where their addresses are is told apart only while a policy names them', () => {
  const made = repository([named('far', 'shop'), named('db', 'shop')], [DB, FAR])
  const prefixes = (): string[] => [...made.references().prefixes].map(({ prefix }) => prefix.text)
  assert.deepEqual(new Set(prefixes()), new Set(['10.0.0.1/32', '192.0.2.1/32', 'fd00::1/128']))
  assert.ok(made.references().labelKeys.has('app'))
  made.deletePolicy({ kind: 'Test', namespace: 'shop', name: 'p' })
  assert.deepEqual(prefixes(), [])
})
