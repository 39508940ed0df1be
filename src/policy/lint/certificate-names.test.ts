// Names in certificates: of real ones, and of anything else none, or nothing.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { rootCertificates } from 'node:tls'
import fc from 'fast-check'
import { certificateNames, isNamed } from './certificate-names.ts'

test('authorities have no names of servers', () => {
  for (const pem of rootCertificates) {
    assert.equal(new X509Certificate(pem).subjectAltName?.includes('DNS:') ?? false, false)
    assert.deepEqual(certificateNames(pem), [])
  }
})

test('a star is one label', () => {
  const names = ['a.example', '*.b.example']
  for (const [server, want] of [
    ['a.example', true],
    ['x.b.example', true],
    ['b.example', false],
    ['x.y.b.example', false],
    ['x.a.example', false],
  ] as const)
    assert.equal(isNamed(names, server), want, server)
})

test('whatever is no certificate is none', () => {
  const [root = ''] = rootCertificates
  const [, body = ''] = /-----\n([^-]*)-----/.exec(root) ?? []
  const bytes = Buffer.from(body, 'base64')
  const pem = (content: Uint8Array): string =>
    `-----BEGIN CERTIFICATE-----\n${Buffer.from(content).toString('base64')}\n-----END CERTIFICATE-----`
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), content => void certificateNames(pem(content))))
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
      const changed = Uint8Array.from(bytes)
      changed[at] = value
      certificateNames(pem(changed))
    }),
  )
  for (const text of ['', 'x', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', pem(bytes.subarray(1))])
    assert.equal(certificateNames(text), undefined)
})
