// Rules for what is said: their names, their union, and ports where it is only seen.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { L7Rules, Visibility } from '../model/l7.ts'
import type { Direction, Policy, Rule } from '../model/rule.ts'
import { lookup, type Party, verdict } from './evaluate.ts'
import { everythingOf, keyedL7Rules, L7Unions, languageOf } from './l7-rules.ts'
import { PolicyRepository } from './repository.ts'
import type { Subject } from './subject.ts'
import { L7_SAMPLES, type L7Sample, l7Names } from './testing/l7-samples.ts'
import { app, labelsOf, pod, policy, port, subject, TCP } from './testing/sketches.ts'

const get: L7Rules = {
  parser: 'http',
  rules: [{ rule: 'r', field: 'rules.http[0]', method: 'GET', headers: [] }],
  serverNames: [],
}

test('a key names the content, in whichever order an object got its fields', () => {
  const same: L7Rules = {
    serverNames: [],
    rules: [{ headers: [], method: 'GET', field: 'rules.http[0]', rule: 'r' }],
    parser: 'http',
  }
  assert.equal(keyedL7Rules(get).key, keyedL7Rules(same).key)
  assert.match(keyedL7Rules(get).key, /^[0-9a-f]{32}$/)
})

test('whatever makes a difference to who judges, and to what is told, makes another key', () => {
  const rule = get.rules[0] as (L7Rules & { parser: 'http' })['rules'][number]
  const http = (more: object): L7Rules => ({ parser: 'http', rules: [{ ...rule, ...more }], serverNames: [] })
  const source = { rule: 'r', field: 'f' }
  const tls = { secret: { namespace: 'n', name: 's' }, certificate: 'c', privateKey: 'k', trustedCa: 'ca' }
  const all: L7Rules[] = [
    get,
    http({ rule: 'other' }),
    http({ field: 'rules.http[1]' }),
    http({ method: 'PUT' }),
    http({ method: undefined, path: 'GET' }),
    http({ host: 'a' }),
    http({ headers: [{ name: 'a', mismatch: 'deny' }] }),
    http({ headers: [{ name: 'a', value: '', mismatch: 'deny' }] }),
    http({ headers: [{ name: 'a', mismatch: 'log' }] }),
    http({ headers: [{ name: 'a', secret: { namespace: 'n', name: 's' }, mismatch: 'deny' }] }),
    { parser: 'http', rules: [], serverNames: [] },
    { parser: 'http', rules: [], serverNames: [{ ...source, serverName: 'a' }] },
    { parser: 'http', rules: [], serverNames: [], terminating: tls },
    { parser: 'http', rules: [], serverNames: [], originating: tls },
    { parser: 'tls', rules: [{ ...source, serverName: 'a' }] },
    { parser: 'dns', rules: [{ ...source, name: 'a.' }] },
    { parser: 'dns', rules: [{ ...source, pattern: 'a.' }] },
    { parser: 'kafka', rules: [source] },
    { parser: 'kafka', rules: [{ ...source, apiKeys: [0] }] },
    { parser: 'kafka', rules: [{ ...source, apiVersion: 0 }] },
    { parser: 'kafka', rules: [{ ...source, clientId: '' }] },
    { parser: 'kafka', rules: [{ ...source, topic: 't' }] },
    everythingOf('http').rules,
  ]
  assert.equal(new Set(all.map(rules => keyedL7Rules(rules).key)).size, all.length)
})

test('requests and TLS that ends in another way are not one language', () => {
  const tls = { secret: { namespace: 'n', name: 's' }, certificate: 'c', privateKey: 'k', trustedCa: 'ca' }
  const ended: L7Rules = { parser: 'http', rules: [], serverNames: [], terminating: tls }
  assert.notEqual(languageOf(ended), languageOf(get))
  assert.equal(languageOf({ ...ended, rules: get.rules }), languageOf(ended))
})

test('contexts of TLS are one where Secrets and keys are, and what one cannot do without none can', () => {
  const tls = { secret: { namespace: 'n', name: 's' }, certificate: 'c', privateKey: 'k', trustedCa: 'ca' }
  const strict = { ...tls, needsTrustedCa: true as const }
  const rule = (key: string, ends: object) => {
    const [made] = policy(key, 'web', {}).specs.flatMap(({ rules }) => rules)
    assert.ok(made)
    return { ...made, l7: { ...get, rules: [{ rule: key, field: 'f', headers: [] }], ...ends } as L7Rules }
  }
  const unite = (...rules: Rule[]) => {
    const united = new L7Unions().unite(rules)
    if ('conflict' in united) return 'conflict'
    const { rules: l7 } = united
    assert.ok(l7.parser === 'http')
    return [l7.rules.map(one => one.rule).join(' '), l7.terminating, l7.originating]
  }
  const both = { terminating: tls, originating: tls }
  assert.deepEqual(unite(rule('a', both), rule('b', { terminating: tls, originating: strict })), ['a b', tls, strict])
  const other = { ...tls, secret: { namespace: 'n', name: 'other' } }
  for (const ends of [
    {},
    { terminating: tls },
    { ...both, terminating: other },
    { ...both, serverNames: [{ serverName: 'a' }] },
  ])
    assert.equal(unite(rule('a', both), rule('b', ends)), 'conflict')
})

const ENTRY = {
  identity: 0,
  protocol: 0,
  port: 0,
  portPrefixLength: 0,
  verdict: 'allow',
  precedence: 1,
  rule: 'r',
} as const

test('two ends want one process that ends TLS', () => {
  const tls = { secret: { namespace: 'n', name: 's' }, certificate: 'c', privateKey: 'k', trustedCa: 'ca' }
  const other = { ...tls, secret: { namespace: 'n', name: 'other' } }
  const party = (direction: Direction, l7: L7Rules): Party => {
    const treatment = { l7: keyedL7Rules(l7) }
    const entry = { ...ENTRY, direction, treatment }
    return { identity: 300, policy: { key: '', entries: [entry], isolatedBy: { ingress: [], egress: [] } } }
  }
  for (const [egress, ingress, want] of [
    [{ terminating: tls }, { terminating: tls }, 'allowed'],
    [{ terminating: tls }, { terminating: other }, 'denied'],
    [{ terminating: tls }, { originating: tls }, 'denied'],
    [{ terminating: tls }, {}, 'denied'],
    [{}, {}, 'allowed'],
  ] as const) {
    const [from, to] = [party('egress', { ...get, ...egress }), party('ingress', { ...get, ...ingress })]
    const found = verdict(from, to, TCP, 443)
    assert.deepEqual([found.verdict, found.isTorn ?? false], [want, want === 'denied'])
  }
})

/** Allows one app of the namespace, or everybody, on a port, as far as a sample says. */
function allows(name: string, sample: L7Sample | undefined, options: { peer?: string; port?: number } = {}): Policy {
  const { peer, port: number = 80 } = options
  const made = policy(name, 'web', { peers: peer ? [app(peer)] : 'any', ports: [port(number)] })
  const withL7 = (rule: Rule): Rule => (sample ? { ...rule, l7: L7_SAMPLES[sample] } : rule)
  return { ...made, specs: made.specs.map(spec => ({ ...spec, rules: spec.rules.map(withL7) })) }
}

const PEERS = { a: 300, b: 301 }

/** Who judges a connection from each app, and whether it is allowed. */
function answers(web: Subject, policies: readonly Policy[], ports: readonly number[] = [80, 81]): string[] {
  const repository = new PolicyRepository()
  for (const [name, number] of Object.entries(PEERS)) repository.setIdentity(number, pod({ app: name }))
  for (const each of policies) repository.setPolicy(each)
  const { entries } = repository.resolve(web)
  return Object.entries(PEERS).flatMap(([name, identity]) =>
    ports.map(number => {
      const entry = lookup(entries, { direction: 'ingress', identity, protocol: TCP, port: number })
      const { verdict = 'deny', treatment } = entry ?? {}
      const by = treatment?.conflict ? `conflict of ${treatment.conflict.join(' and ')}` : l7Names(treatment?.l7)
      return `${name} ${number} ${verdict}${by ? ` ${by}` : ''}`
    }),
  )
}

test('each peer and port has the rules of all that allow it', () => {
  assert.deepEqual(answers(subject('web'), [allows('p', 'get'), allows('q', 'post', { peer: 'a' })]), [
    'a 80 allow get+post',
    'a 81 deny',
    'b 80 allow get',
    'b 81 deny',
  ])
})

test('rules of two languages deny, and say which they are', () => {
  assert.deepEqual(answers(subject('web'), [allows('p', 'get'), allows('q', 'names', { peer: 'a' })], [80]), [
    'a 80 deny conflict of Test/shop/p/ingress[0] and Test/shop/q/ingress[0]',
    'b 80 allow get',
  ])
})

test('a set that several subjects have is the same object, and so is a union', () => {
  const repository = new PolicyRepository()
  repository.setIdentity(300, pod({ app: 'a' }))
  repository.setPolicy(allows('p', 'get'))
  repository.setPolicy(allows('q', 'post'))
  const keys = [subject('web'), { ...subject('web'), labels: labelsOf('k8s:app=web;k8s:x=y') }].flatMap(one =>
    repository.resolve(one).entries.flatMap(({ treatment }) => treatment?.l7?.key ?? []),
  )
  assert.ok(keys.length > 0)
  assert.equal(new Set(keys).size, 1)
})

const seen = (number: number, parser: Visibility['parser'] = 'http'): Visibility => ({
  direction: 'ingress',
  protocol: TCP,
  port: number,
  parser,
})
const web = (...visibility: readonly Visibility[]): Subject => ({ ...subject('web'), visibility })

test('on a visible port what is allowed is seen, and nothing else changes', () => {
  const { entries } = new PolicyRepository().resolve(web(seen(80), seen(90, 'kafka')))
  assert.deepEqual(
    entries.map(({ direction, port: number, treatment }) => [direction, number, treatment?.l7?.key]),
    [
      ['ingress', 0, undefined],
      ['ingress', 80, everythingOf('http').key],
      ['ingress', 90, everythingOf('kafka').key],
      ['egress', 0, undefined],
    ],
  )
})

test('visibility denies nothing, opens nothing and leaves rules alone', () => {
  const repository = new PolicyRepository()
  for (const [name, number] of Object.entries(PEERS)) repository.setIdentity(number, pod({ app: name }))
  repository.setPolicy(allows('p', undefined, { peer: 'a' }))
  repository.setPolicy(allows('q', 'get', { port: 81 }))
  const { entries } = repository.resolve(web(seen(80), seen(81, 'dns'), seen(82)))
  const answer = (identity: number, number: number): string | undefined => {
    const entry = lookup(entries, { direction: 'ingress', identity, protocol: TCP, port: number })
    return entry && `${entry.verdict} ${entry.treatment?.l7?.key}`
  }
  const everything = `allow ${everythingOf('http').key}`
  assert.equal(answer(PEERS.a, 80), everything)
  assert.equal(answer(PEERS.b, 80), undefined)
  assert.equal(answer(PEERS.a, 81), `allow ${keyedL7Rules(L7_SAMPLES.get).key}`)
  assert.equal(answer(PEERS.a, 82), undefined)
})

test('subjects with and without visibility are apart', () => {
  const repository = new PolicyRepository()
  assert.notEqual(repository.resolve(subject('web')).key, repository.resolve(web(seen(80))).key)
  assert.notEqual(repository.resolve(web(seen(80))).key, repository.resolve(web(seen(80, 'kafka'))).key)
})
