// The repository: what subjects get, and what a change tells of. That the way to a state
// makes no difference is in any-order.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cidr } from '../../ip/index.ts'
import { has, PROTOCOLS, selector } from '../../labels/index.ts'
import type { Peer, PortMatch, Rule } from '../model/rule.ts'
import { PolicyRepository } from './repository.ts'
import { type ResolvedPolicy, type Subject } from './subject.ts'
import { app, block, labelsOf, pod, policy, port, subject, TCP, tried } from './testing/sketches.ts'

/** `DIRECTION IDENTITY PROTOCOL PORT/LENGTH RULE`. */
const brief = ({ entries }: ResolvedPolicy): string[] =>
  entries.map(
    e =>
      `${e.direction} ${e.identity} ${e.protocol} ${e.port}/${e.portPrefixLength} ${e.rule.replace('Test/shop/', '')}`,
  )

const OPEN_INGRESS = 'ingress 0 0 0/0 not-isolated'
const OPEN_EGRESS = 'egress 0 0 0/0 not-isolated'

test('a subject that nothing selects may do all', () => {
  const { entries, isolatedBy } = new PolicyRepository().resolve(subject('web'))
  assert.deepEqual(brief({ entries } as ResolvedPolicy), [OPEN_INGRESS, OPEN_EGRESS])
  assert.deepEqual(isolatedBy, { ingress: [], egress: [] })
})

test('policies that isolate are told, in the order of their names', () => {
  const repository = new PolicyRepository()
  for (const name of ['b', 'a', 'other'])
    repository.setPolicy(policy(name, name === 'other' ? 'db' : 'web', { peers: [] }))
  const { entries, isolatedBy } = repository.resolve(subject('web'))
  assert.deepEqual(brief({ entries } as ResolvedPolicy), [OPEN_EGRESS])
  assert.deepEqual(
    isolatedBy.ingress.map(ref => ref.name),
    ['a', 'b'],
  )
  assert.deepEqual(isolatedBy.egress, [])
})

test('policies that isolate for the record alone are told apart, and so are audited subjects', () => {
  const repository = new PolicyRepository()
  const isolating = (): string[] =>
    repository.resolve(subject('web')).isolatedBy.ingress.map(({ name, audit }) => (audit ? `${name} audit` : name))
  repository.setPolicy(tried(policy('b', 'web', { peers: [] })))
  assert.deepEqual(isolating(), ['b audit'])
  repository.setPolicy(policy('a', 'web', { peers: [] }))
  assert.deepEqual(isolating(), ['a', 'b audit'])
  const audited = repository.resolve({ ...subject('web'), audit: true })
  assert.deepEqual(
    audited.isolatedBy.ingress.map(({ name, audit }) => [name, audit]),
    [
      ['a', true],
      ['b', true],
    ],
  )
  assert.deepEqual(brief(audited), ['ingress 0 0 0/0 default-deny', OPEN_EGRESS])
  assert.deepEqual(audited.entries[0]?.treatment, { audit: true })
  assert.notEqual(audited.key, repository.resolve(subject('web')).key)
})

test('the key tells a denial for the record from one that is enforced', () => {
  const denyAll = (audit: boolean): PolicyRepository => {
    const repository = new PolicyRepository()
    const made = policy('p', 'web', {})
    const specs = made.specs.map(spec => ({
      ...spec,
      isolates: { ingress: false, egress: false },
      rules: spec.rules.map((rule): Rule => ({ ...rule, action: 'deny', ...(audit && { audit }) })),
    }))
    repository.setPolicy({ ...made, specs })
    return repository
  }
  const [tried, enforced] = [true, false].map(audit => denyAll(audit).resolve(subject('web')))
  assert.ok(tried && enforced)
  assert.deepEqual(brief(tried), brief(enforced))
  assert.notEqual(tried.key, enforced.key)
})

test('mode always isolates whom no policy selects and names none; mode never isolates nobody', () => {
  const always = new PolicyRepository({ enforcement: 'always' })
  const { entries, isolatedBy } = always.resolve(subject('db'))
  assert.deepEqual([entries, isolatedBy], [[], { ingress: [], egress: [] }])
  always.setPolicy(policy('p', 'web', { ports: [port(80)] }))
  const web = always.resolve(subject('web'))
  assert.deepEqual(brief(web), ['ingress 0 6 80/16 p/ingress[0]'])
  assert.deepEqual([web.isolatedBy.ingress.map(({ name }) => name), web.isolatedBy.egress], [['p'], []])

  const never = new PolicyRepository({ enforcement: 'never' })
  never.setPolicy(policy('p', undefined, { peers: [] }, { direction: 'egress', peers: [] }))
  for (const one of [subject('web'), { ...subject('web'), audit: true } as const]) {
    const open = never.resolve(one)
    assert.deepEqual(brief(open), [OPEN_INGRESS, OPEN_EGRESS])
    assert.deepEqual(open.isolatedBy, { ingress: [], egress: [] })
  }
  assert.equal(never.enforcement, 'never')
})

test('peers: all identities that match, of any source; two identities of one pod where a block holds one address', () => {
  const repository = new PolicyRepository()
  repository.setIdentity(300, pod({ app: 'a' }))
  repository.setIdentity(301, pod({ app: 'b' }))
  repository.setIdentity(1 << 24, labelsOf(`${pod({ app: 'a' }).key};cidr:10.0.0.0/8`))
  repository.setPolicy(
    policy('p', 'web', { peers: [app('a')], ports: [port(80)] }, { peers: [block('10.0.0.0/8')], ports: [port(443)] }),
  )
  assert.deepEqual(brief(repository.resolve(subject('web'))), [
    'ingress 300 6 80/16 p/ingress[0]',
    `ingress ${1 << 24} 6 80/16 p/ingress[0]`,
    `ingress ${1 << 24} 6 443/16 p/ingress[1]`,
    OPEN_EGRESS,
  ])
})

test('named ports: of the subject for ingress, of each peer for egress', () => {
  const repository = new PolicyRepository()
  const http: PortMatch = { protocol: TCP, ports: { name: 'http' } }
  repository.setPolicy(policy('in', 'web', { ports: [http] }))
  repository.setPolicy(
    policy(
      'out',
      'web',
      { direction: 'egress', ports: [http, port(53)] },
      { direction: 'egress', peers: [app('a')], ports: [http] },
    ),
  )
  repository.setIdentity(300, labelsOf(`${pod({ app: 'a' }).key};port:http/TCP=8080`))
  repository.setIdentity(301, labelsOf(`${pod({ app: 'b' }).key};port:http/TCP=9090`))
  repository.setIdentity(302, pod({ app: 'a' }))
  const egress = [
    'egress 0 6 53/16 out/egress[0]',
    'egress 300 6 8080/16 out/egress[0]',
    'egress 301 6 9090/16 out/egress[0]',
  ]
  const named = (number: number, protocol: number = TCP): Subject['namedPorts'] => [
    { name: 'http', protocol, port: number },
  ]
  assert.deepEqual(brief(repository.resolve(subject('web', named(80)))), ['ingress 0 6 80/16 in/ingress[0]', ...egress])
  assert.deepEqual(brief(repository.resolve(subject('web', named(81)))), ['ingress 0 6 81/16 in/ingress[0]', ...egress])
  assert.deepEqual(brief(repository.resolve(subject('web', named(80, PROTOCOLS.UDP)))), egress)
  assert.deepEqual([...repository.references().egressNamedPorts], ['http/TCP'])
})

test('the key names the entries: equal for equal ones whatever made them, different otherwise', () => {
  const one = new PolicyRepository()
  one.setIdentity(300, pod({ app: 'a' }))
  one.setPolicy(policy('p', undefined, { peers: [app('a')] }))
  const other = new PolicyRepository()
  other.setPolicy(policy('p', 'web', { peers: [app('a')] }))
  other.setPolicy(policy('isolates-only', 'web', { peers: [] }))
  const before = other.resolve(subject('web')).key
  other.setIdentity(300, pod({ app: 'a' }))
  assert.equal(other.resolve(subject('web')).key, one.resolve(subject('web')).key)
  assert.equal(one.resolve(subject('web')).entries, one.resolve(subject('db')).entries)
  assert.notEqual(before, other.resolve(subject('web')).key)
  assert.notEqual(one.resolve(subject('web')).key, one.resolve({ labels: pod({}, 'elsewhere'), namedPorts: [] }).key)
})

test('a peer that needs no entry leaves no trace in the key', () => {
  const keys = [[], [300], [300, 301]].map(identities => {
    const repository = new PolicyRepository()
    for (const identity of identities) repository.setIdentity(identity, pod({ app: 'a', of: String(identity) }))
    repository.setPolicy(policy('p', 'web', {}, { peers: [app('a')], ports: [port(80)] }))
    // Two beside 300 and 301 that have one: the first policy by name is told.
    repository.setIdentity(310, pod({ app: 'db' }))
    repository.setIdentity(400, pod({ app: 'db' }))
    repository.setPolicy(policy('first', 'web', { peers: [app('db')] }))
    return repository.resolve(subject('web')).key
  })
  assert.equal(new Set(keys).size, 1)
})

test('changes that pile up before anybody asks are all seen', () => {
  const repository = new PolicyRepository()
  for (const number of [300, 301, 302, 303]) repository.setIdentity(number, pod({ app: 'db', of: String(number) }))
  repository.setPolicy(policy('p', 'web', { peers: [app('a')] }))
  repository.setPolicy(policy('q', 'web', { peers: [app('db')] }))
  repository.resolve(subject('web'))
  repository.setIdentity(301, pod({ app: 'a' }))
  repository.deleteIdentity(302)
  repository.setPolicy(policy('other', 'web', { direction: 'egress' }))
  repository.setIdentity(304, pod({ app: 'a' }))
  repository.setPolicy(policy('other', 'web'))
  assert.deepEqual(brief(repository.resolve(subject('web'))), [
    'ingress 300 0 0/0 q/ingress[0]',
    'ingress 301 0 0/0 p/ingress[0]',
    'ingress 303 0 0/0 q/ingress[0]',
    'ingress 304 0 0/0 p/ingress[0]',
    OPEN_EGRESS,
  ])
})

test('only what a change can affect is told of', () => {
  const repository = new PolicyRepository()
  const changed = (): string[] =>
    repository
      .changes()
      .map(({ labels }) => labels.values.get('k8s:app') ?? '')
      .sort()
  repository.setPolicy(policy('web', 'web', { peers: [app('a')] }))
  for (const name of ['web', 'db', 'cache']) repository.resolve(subject(name))
  assert.deepEqual(changed(), [])
  repository.setPolicy(policy('db', 'db', { peers: [block('10.0.0.0/8')] }))
  assert.deepEqual(changed(), ['db'])
  repository.setIdentity(300, pod({ app: 'a' }))
  assert.deepEqual(changed(), ['web'])
  repository.setIdentity(300, pod({ app: 'a' }))
  repository.setIdentity(301, pod({ app: 'nobody' }))
  assert.deepEqual(changed(), [])
  repository.setIdentity(300, labelsOf(`${pod({ app: 'a' }).key};cidr:10.0.0.0/8`))
  assert.deepEqual(changed(), ['db', 'web'])
  repository.deleteIdentity(300)
  assert.deepEqual(changed(), ['db', 'web'])
  repository.setPolicy(policy('all', undefined, {}))
  assert.deepEqual(changed(), ['cache', 'db', 'web'])
  repository.forget(subject('cache'))
  assert.equal(repository.deletePolicy({ kind: 'Test', namespace: 'shop', name: 'all' }), true)
  assert.equal(repository.deletePolicy({ kind: 'Test', namespace: 'shop', name: 'all' }), false)
  assert.deepEqual(changed(), ['db', 'web'])
})

test('references are those of the policies held now, each told once', () => {
  const repository = new PolicyRepository()
  const references = repository.references()
  const state = (): unknown => ({
    cidrs: [...references.prefixes].map(({ prefix }) => prefix.text),
    ports: [...references.egressNamedPorts].sort(),
    keys: [...references.labelKeys].filter(key => !key.startsWith('io.')).sort(),
  })
  const named: PortMatch = { protocol: TCP, ports: { name: 'http' } }
  const tricky: Peer = { kind: 'selector', selector: selector([has('k8s', 'pod-template-hash')]) }
  repository.setPolicy(policy('a', 'web', { peers: [block('10.0.0.0/8', ['10.1.0.0/16'])], ports: [named] }))
  const first = references.revision
  repository.setPolicy(
    policy('b', 'web', { direction: 'egress', peers: [block('10.0.0.0/8'), tricky], ports: [named] }),
  )
  assert.ok(references.revision > first)
  assert.deepEqual(state(), {
    cidrs: ['10.0.0.0/8', '10.1.0.0/16'],
    ports: ['http/TCP'],
    keys: ['app', 'pod-template-hash'],
  })
  const second = references.revision
  repository.setPolicy(policy('c', 'web', { peers: [block('10.0.0.0/8')] }))
  assert.equal(references.revision, second, 'nothing new is named')
  repository.setPolicy(policy('b', 'web'))
  assert.deepEqual(state(), { cidrs: ['10.0.0.0/8', '10.1.0.0/16'], ports: [], keys: ['app'] })
  for (const name of ['a', 'b', 'c']) repository.deletePolicy({ kind: 'Test', namespace: 'shop', name })
  assert.deepEqual(state(), { cidrs: [], ports: [], keys: [] })
  assert.equal(references.prefixes.has(cidr('10.0.0.0/8')), false)
})

test('a rule is found by its key while its policy is held', () => {
  const repository = new PolicyRepository()
  repository.setPolicy(policy('p', 'web', {}, {}))
  const [entry] = repository.resolve(subject('web')).entries
  assert.deepEqual(repository.rule(entry?.rule ?? '')?.origin, { file: 'p.yaml', line: 10 })
  repository.setPolicy(policy('p', 'web', {}))
  assert.equal(repository.rule('Test/shop/p/ingress[1]'), undefined)
  repository.deletePolicy({ kind: 'Test', namespace: 'shop', name: 'p' })
  assert.equal(repository.rule('Test/shop/p/ingress[0]'), undefined)
})
