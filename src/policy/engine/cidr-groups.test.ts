// CIDR groups in policies: what a group stands for, whom its changes reach, and what
// is told of groups that are not there.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EVERYTHING, labelSet, PROTOCOLS, podLabels, type Requirement, selector } from '../../labels/index.ts'
import type { CidrGroup } from '../model/cidr-group.ts'
import { precedence } from '../model/precedence.ts'
import type { Action, Peer, Policy } from '../model/rule.ts'
import { verdict } from './evaluate.ts'
import { PolicyRepository } from './repository.ts'
import type { Subject } from './subject.ts'

const origin = { file: 'p.yaml', line: 1 }
const [INSIDE, EXCEPTED, POD] = [1 << 24, (1 << 24) + 1, (1 << 24) + 2]

const group = (name: string, cidrs: string[], labels: Record<string, string> = {}): CidrGroup => ({
  name,
  cidrs,
  labels,
  origin,
})
const named = (name: string, except: string[] = []): Peer => ({ kind: 'cidr-group', group: { name }, except })
const labelled = (requirement: Partial<Requirement>): Peer => {
  const wanted = selector([{ source: 'any', key: 'of', operator: 'In', values: ['partner'], ...requirement }])
  return { kind: 'cidr-group', group: { selector: wanted }, except: [] }
}

function policy(name: string, app: string, peers: readonly Peer[], action: Action = 'allow'): Policy {
  const ref = { kind: 'Test', namespace: '', name, origin }
  const rule = {
    key: `Test//${name}/egress[0]`,
    policy: ref,
    path: 'egress[0]',
    origin,
    direction: 'egress',
    index: 0,
    action,
    tier: 'normal',
    precedence: precedence({ tier: 'normal', action }),
    peers,
    ports: 'any',
  } as const
  const wanted = selector([{ source: 'k8s', key: 'app', operator: 'In', values: [app] }])
  return { ref, specs: [{ subject: wanted, isolates: { ingress: false, egress: action === 'allow' }, rules: [rule] }] }
}

const subject = (app: string): Subject => ({
  labels: podLabels({ namespace: 'shop', namespaceLabels: {}, labels: { app } }),
  namedPorts: [],
})

function repository(): PolicyRepository {
  const made = new PolicyRepository()
  const [net, host] = (['10.0.0.0/8', '10.1.0.0/16'] as const).map(key => ({ source: 'cidr', key, value: '' }) as const)
  assert.ok(net && host)
  const world = { source: 'reserved', key: 'world', value: '' } as const
  made.setIdentity(INSIDE, labelSet([world, net]))
  made.setIdentity(EXCEPTED, labelSet([world, net, host]))
  made.setIdentity(POD, labelSet([...subject('db').labels.labels, net]))
  return made
}

/** Identities that the app may open connections to. */
function reached(made: PolicyRepository, app: string): number[] {
  const from = { identity: 300, policy: made.resolve(subject(app)) }
  return [INSIDE, EXCEPTED, POD].filter(
    identity => verdict(from, { identity, policy: undefined }, PROTOCOLS.TCP, 80).verdict === 'allowed',
  )
}

test('a group stands for its prefixes, outside the cluster, less what the peer excepts', () => {
  const made = repository()
  made.setPolicy(policy('all', 'a', [named('g')]))
  made.setPolicy(policy('less', 'b', [named('g', ['10.1.0.0/16'])]))
  made.setCidrGroup(group('g', ['10.0.0.0/8', '192.0.2.0/24']))
  assert.deepEqual(reached(made, 'a'), [INSIDE, EXCEPTED])
  assert.deepEqual(reached(made, 'b'), [INSIDE])
})

test('groups by label: of every group that has it, whatever source the selector names', () => {
  for (const source of ['any', 'cidrgroup'] as const) {
    const made = repository()
    made.setPolicy(policy('p', 'a', [labelled({ source })]))
    made.setCidrGroup(group('g', ['10.1.0.0/16']))
    assert.deepEqual(reached(made, 'a'), [])
    made.setCidrGroup(group('g', ['10.1.0.0/16'], { of: 'partner' }))
    assert.deepEqual(reached(made, 'a'), [EXCEPTED])
    made.setCidrGroup(group('h', ['10.0.0.0/8'], { of: 'partner' }))
    assert.deepEqual(reached(made, 'a'), [INSIDE, EXCEPTED])
  }
  const made = repository()
  made.setPolicy(policy('p', 'a', [{ kind: 'cidr-group', group: { selector: EVERYTHING }, except: [] }]))
  made.setCidrGroup(group('g', ['10.1.0.0/16']))
  assert.deepEqual(reached(made, 'a'), [EXCEPTED])
})

test('a group that is not there: neither an allow nor a deny matches anybody, and it is told', () => {
  const made = repository()
  made.setPolicy(policy('z', 'a', [named('g'), named('g', ['10.1.0.0/16'])]))
  made.setPolicy(policy('deny', 'b', [named('h')], 'deny'))
  made.setPolicy(policy('s', 'c', [labelled({ source: 'cidrgroup' })]))
  assert.deepEqual(reached(made, 'a'), [])
  assert.deepEqual(reached(made, 'b'), [INSIDE, EXCEPTED, POD])
  const told = (): string[] => made.unknownReferences().map(one => `${one.policy.name} ${one.path} ${one.name}`)
  assert.deepEqual(told(), ['deny egress[0] h', 's egress[0] cidrgroup:of = partner', 'z egress[0] g'])
  made.setCidrGroup(group('g', []))
  made.setCidrGroup(group('h', ['10.0.0.0/8'], { of: 'partner' }))
  assert.deepEqual(told(), [])
  assert.deepEqual(reached(made, 'b'), [POD])
  assert.equal(made.deleteCidrGroup('h'), true)
  assert.equal(made.deleteCidrGroup('h'), false)
  made.deletePolicy({ kind: 'Test', namespace: '', name: 'z' })
  assert.deepEqual(told(), ['deny egress[0] h', 's egress[0] cidrgroup:of = partner'])
})

test('only what a group changes is told of, and its prefixes are referred to while a policy needs them', () => {
  const made = repository()
  const changed = (): string[] => made.changes().map(({ labels }) => labels.values.get('k8s:app') ?? '')
  const prefixes = (): string[] => [...made.references().prefixes].map(({ prefix }) => prefix.text)
  made.setPolicy(policy('a', 'a', [named('g')]))
  made.setPolicy(policy('b', 'b', [named('h')]))
  made.setPolicy(policy('c', 'c', [{ kind: 'cidr', cidr: '10.0.0.0/8', except: [], covers: 'world' }]))
  for (const app of ['a', 'b', 'c']) made.resolve(subject(app))
  made.setCidrGroup(group('g', ['10.0.0.0/8', '192.0.2.0/24']))
  assert.deepEqual([changed(), prefixes()], [['a'], ['10.0.0.0/8', '192.0.2.0/24']])
  made.setCidrGroup(group('g', ['192.0.2.0/24', '10.0.0.0/8'], { of: 'partner' }))
  made.setCidrGroup(group('unused', ['198.51.100.0/24']))
  assert.deepEqual([changed(), prefixes()], [[], ['10.0.0.0/8', '192.0.2.0/24']])
  made.setCidrGroup(group('h', ['198.51.100.0/24']))
  assert.deepEqual([changed(), prefixes()], [['b'], ['10.0.0.0/8', '192.0.2.0/24', '198.51.100.0/24']])
  made.deleteCidrGroup('g')
  made.deletePolicy({ kind: 'Test', namespace: '', name: 'b' })
  assert.deepEqual([changed().sort(), prefixes()], [['a', 'b'], ['10.0.0.0/8']])
  assert.deepEqual(made.rule('Test//a/egress[0]')?.peers, [named('g')], 'a rule is told as it is written')
})
