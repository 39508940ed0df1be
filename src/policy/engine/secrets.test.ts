// Which secrets, and what of them, some rule sets need.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HttpRule, L7RuleSet, TlsContext } from '../model/l7.ts'
import { secretsOf, tlsUsesOf } from './secrets.ts'

const context = (name: string, more: Partial<TlsContext> = {}): TlsContext => ({
  secret: { namespace: 'shop', name },
  certificate: 'tls.crt',
  privateKey: 'tls.key',
  trustedCa: 'ca.crt',
  ...more,
})

type Content = {
  readonly rule?: string
  readonly header?: string
  readonly terminating?: TlsContext
  readonly originating?: TlsContext
}

function set(number: number, { rule = 'r', header, ...tls }: Content): L7RuleSet {
  const headers: HttpRule['headers'] =
    header === undefined ? [] : [{ name: 'x', secret: { namespace: 'shop', name: header }, mismatch: 'deny' }]
  return { number, rules: { parser: 'http', rules: [{ rule, field: '', headers }], serverNames: [], ...tls } }
}

const sets = [
  set(1, { header: 'token' }),
  set(2, { header: 'both', terminating: context('both', { certificate: 'web.crt' }) }),
  set(3, { rule: 'q', terminating: context('both'), originating: context('ca') }),
  set(4, { rule: 'p', terminating: context('both'), originating: context('ca', { needsTrustedCa: true }) }),
  { number: 5, rules: { parser: 'tls', rules: [] } } satisfies L7RuleSet,
]

test('each secret once, with what of it is named', () => {
  const short = secretsOf(sets).map(({ name, isHeaderValue, keys }) => [name, isHeaderValue, keys.join(' ')])
  assert.deepEqual(short, [
    ['both', true, 'ca.crt tls.crt tls.key web.crt'],
    ['ca', false, 'ca.crt tls.crt tls.key'],
    ['token', true, ''],
  ])
})

test('each context once, with the rules that it stands in', () => {
  const short = tlsUsesOf(sets).map(use => [use.end, use.context.secret.name, use.context.certificate, ...use.rules])
  assert.deepEqual(short, [
    ['terminating', 'both', 'web.crt', 'r'],
    ['terminating', 'both', 'tls.crt', 'p', 'q'],
    ['originating', 'ca', 'tls.crt', 'q'],
    ['originating', 'ca', 'tls.crt', 'p'],
  ])
})
