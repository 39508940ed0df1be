// What of Secrets becomes files for a TLS context, and what is said where it cannot.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import type { TlsContext } from '../policy/index.ts'
import { type TlsEnds, tlsMaterials } from './tls-materials.ts'

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-tls-materials-'))
after(() => fs.rmSync(folder, { recursive: true }))
const file = (name: string): string => path.join(folder, name)
const made = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=web.test']
execFileSync('openssl', ['req', ...made, '-keyout', file('key'), '-out', file('crt')], { stdio: 'ignore' })
const [crt, key] = ['crt', 'key'].map(name => fs.readFileSync(file(name), 'utf8')) as [string, string]

const context = (more: Partial<TlsContext> = {}): TlsContext => ({
  secret: { namespace: 'shop', name: 'web' },
  certificate: 'tls.crt',
  privateKey: 'tls.key',
  trustedCa: 'ca.crt',
  ...more,
})
const madeOf = (ends: TlsEnds, keys: Record<string, string> | undefined, authorities: readonly string[] = []) =>
  tlsMaterials(ends, () => keys, authorities)

test('a certificate has its key behind it; authorities are there where the Secret has them', () => {
  const ends = { terminating: context() }
  const given = madeOf(ends, { 'tls.crt': crt, 'tls.key': key })
  assert.ok('texts' in given)
  assert.deepEqual(given.files, { terminating: { certificate: 'terminating.pem' } })
  assert.match(given.texts['terminating.pem'] ?? '', /END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----/)
  const asking = madeOf(ends, { 'tls.crt': crt, 'tls.key': key, 'ca.crt': crt })
  assert.ok('texts' in asking)
  assert.deepEqual(asking.files.terminating, { certificate: 'terminating.pem', trustedCa: 'terminating-ca.pem' })
  assert.notEqual(asking.digest, given.digest)
  const again = madeOf(ends, { 'tls.key': key, 'tls.crt': crt })
  assert.equal('digest' in again && again.digest, given.digest)
})

test('servers are verified by the authorities of the Secret, else by those of the node, never by none', () => {
  fs.writeFileSync(file('node'), 'of the node')
  const ends = { originating: context() }
  const authorities = [file('missing'), file('node')]
  const own = madeOf(ends, { 'ca.crt': crt }, authorities)
  assert.equal('texts' in own && own.texts['originating-ca.pem'], crt)
  const nodes = madeOf(ends, {}, authorities)
  assert.equal('texts' in nodes && nodes.texts['originating-ca.pem'], 'of the node')
  const none = madeOf(ends, {}, [file('missing')])
  assert.match('problem' in none ? none.problem : '', /^originatingTLS: .* the node has none: give trustedCA$/)
  const named = madeOf({ originating: context({ needsTrustedCa: true }) }, {}, authorities)
  assert.deepEqual(named, { problem: 'originatingTLS: key ca.crt of Secret shop/web is not there' })
})

test('half a pair, or a pair that is none, is told by the names of keys', () => {
  const problem = (ends: TlsEnds, keys: Record<string, string> | undefined) => {
    const materials = madeOf(ends, keys, [file('crt')])
    assert.ok('problem' in materials)
    assert.ok(!materials.problem.includes('PRIVATE') && !materials.problem.includes('hidden'))
    return materials.problem
  }
  const about = 'of Secret shop/web'
  const originating = { originating: context() }
  assert.equal(problem(originating, undefined), 'originatingTLS: Secret shop/web is not there, or cannot be used')
  assert.equal(problem(originating, { 'tls.crt': crt }), `originatingTLS: key tls.key ${about} is not there`)
  assert.equal(problem(originating, { 'tls.key': key }), `originatingTLS: key tls.crt ${about} is not there`)
  assert.match(problem(originating, { 'tls.key': 'hidden', 'tls.crt': crt }), /key tls.key .* holds no private key/)
  assert.match(problem({ terminating: context() }, {}), /^terminatingTLS: key tls.crt .* is not there$/)
})

test('a pair with which no server would start is told, in front of authorities too', () => {
  const weak = ['-x509', '-newkey', 'rsa:1024', '-nodes', '-subj', '/CN=web.test']
  execFileSync('openssl', ['req', ...weak, '-keyout', file('weak.key'), '-out', file('weak.crt')], { stdio: 'ignore' })
  const [weakCrt, weakKey] = ['weak.crt', 'weak.key'].map(name => fs.readFileSync(file(name), 'utf8')) as [
    string,
    string,
  ]
  for (const [keys, short] of [
    [{ 'tls.crt': weakCrt, 'tls.key': weakKey }, 'ee key too small'],
    [{ 'tls.crt': crt + weakCrt, 'tls.key': key }, 'ca key too small'],
  ] as const)
    for (const end of ['terminating', 'originating'] as const)
      assert.deepEqual(madeOf({ [end]: context() }, keys, [file('crt')]), {
        problem: `${end}TLS: key tls.crt of Secret shop/web cannot be used for TLS: ${short}`,
      })
})
