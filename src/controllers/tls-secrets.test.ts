// What is taken from a Secret for TLS, what is refused, and that no message tells of it.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import type { TlsContext, TlsEnd } from '../policy/index.ts'
import { tlsItems } from './tls-secrets.ts'

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-tls-secrets-'))
after(() => fs.rmSync(folder, { recursive: true }))

function made(name: string): { readonly certificate: string; readonly key: string } {
  const file = path.join(folder, name)
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const out = ['-subj', `/CN=${name}`, '-keyout', `${file}.key`, '-out', `${file}.crt`]
  execFileSync('openssl', ['req', '-x509', ...curve, '-days', '2', ...out], { stdio: 'ignore' })
  return { certificate: fs.readFileSync(`${file}.crt`, 'utf8'), key: fs.readFileSync(`${file}.key`, 'utf8') }
}

const [web, other] = [made('web'), made('other')]
const encrypted = execFileSync('openssl', ['ec', '-aes128', '-passout', 'pass:x'], {
  input: web.key,
  stdio: ['pipe', 'pipe', 'ignore'],
}).toString()

const CONTEXT: TlsContext = {
  secret: { namespace: 'shop', name: 'web' },
  certificate: 'tls.crt',
  privateKey: 'tls.key',
  trustedCa: 'ca.crt',
}

function take(
  end: TlsEnd,
  texts: Readonly<Record<string, string>>,
  more: Partial<TlsContext> = {},
  nowMs = Date.now(),
) {
  const items = new Map(Object.entries(texts).map(([name, text]) => [name, new TextEncoder().encode(text)]))
  return tlsItems({ end, context: { ...CONTEXT, ...more } }, items, nowMs)
}

const WHOLE = { 'tls.crt': web.certificate, 'tls.key': web.key }

test('what a context needs is taken, in PEM alone', () => {
  const bundle = `# An authority: Größe\n${web.certificate}\n-----BEGIN X-----\nhidden\n-----END X-----\n${other.certificate}`
  const { keys, errors, warnings } = take('terminating', { ...WHOLE, 'ca.crt': bundle, unnamed: 'x' })
  assert.deepEqual([errors, warnings], [[], []])
  assert.deepEqual(Object.keys(keys).sort(), ['ca.crt', 'tls.crt', 'tls.key'])
  assert.equal(keys['ca.crt'], web.certificate + other.certificate)
  assert.equal(keys['tls.crt'], web.certificate)
  assert.match(keys['tls.key'] ?? '', /^-----BEGIN PRIVATE KEY-----\n[^-]*\n-----END PRIVATE KEY-----\n$/)
})

test('what is not there, by the end that needs it', async t => {
  const cases: readonly (readonly [
    name: string,
    end: TlsEnd,
    texts: object,
    more: Partial<TlsContext>,
    want: string[],
  ])[] = [
    ['a certificate is shown', 'terminating', {}, {}, ['key tls.crt is not there', 'key tls.key is not there']],
    ['with its key', 'terminating', { 'tls.crt': web.certificate }, {}, ['key tls.key is not there']],
    ['under other names', 'terminating', WHOLE, { certificate: 'c' }, ['key c is not there']],
    ['to servers none need be shown', 'originating', {}, {}, []],
    ['but not half of it', 'originating', { 'tls.key': web.key }, {}, ['key tls.crt is not there']],
    ['authorities that are named', 'originating', WHOLE, { needsTrustedCa: true }, ['key ca.crt is not there']],
    ['of clients too', 'terminating', WHOLE, { needsTrustedCa: true }, ['key ca.crt is not there']],
  ]
  for (const [name, end, texts, more, want] of cases)
    await t.test(name, () => assert.deepEqual(take(end, texts as Record<string, string>, more).errors, want))
})

test('what is no certificate, no key, or not its key', async t => {
  const noKey = 'key tls.key holds no private key in PEM, or one that is encrypted'
  const noCertificate = 'key tls.crt holds no certificates in PEM'
  const cases: readonly (readonly [name: string, texts: Readonly<Record<string, string>>, want: string])[] = [
    ['a text', { 'tls.crt': 'hidden' }, noCertificate],
    ['a key for a certificate', { 'tls.crt': web.key }, noCertificate],
    ['broken', { 'tls.crt': web.certificate.replace(/\n[^-\n]*\n/, '\n') }, noCertificate],
    ['longer than a Secret may be', { 'tls.crt': web.certificate.padEnd((1 << 20) + 1) }, noCertificate],
    ['a certificate for a key', { 'tls.key': web.certificate }, noKey],
    ['encrypted', { 'tls.key': encrypted }, noKey],
    [
      "another certificate's",
      { 'tls.key': other.key },
      'the private key in tls.key is not that of the certificate in tls.crt',
    ],
    ['authorities', { 'ca.crt': '' }, 'key ca.crt holds no certificates in PEM'],
  ]
  for (const [name, texts, want] of cases)
    for (const end of ['terminating', 'originating'] as const)
      await t.test(`${name}, ${end}`, () => assert.deepEqual(take(end, { ...WHOLE, ...texts }).errors, [want]))
})

test('a certificate that has expired, or does not hold yet, is told and used', () => {
  const day = 24 * 60 * 60_000
  const warnings = (nowMs: number, more = {}) => {
    const { warnings: found, errors, keys } = take('terminating', { ...WHOLE, ...more }, {}, nowMs)
    assert.deepEqual([errors, keys['tls.crt']], [[], web.certificate])
    return found.map(text => text.replace(/\d{4}-\S*/, 'T'))
  }
  const [now, later, before] = [Date.now(), Date.now() + 3 * day, Date.now() - day]
  assert.deepEqual(warnings(now), [])
  assert.deepEqual(warnings(later), ['the certificate in tls.crt has expired: it held until T'])
  assert.deepEqual(warnings(before), ['the certificate in tls.crt holds only from T on'])
  assert.equal(warnings(later, { 'ca.crt': other.certificate }).length, 2)
})
