// Secrets of the proxy over a restart, and who may read their file.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { SecretStore } from './secret-store.ts'

const row = (name: string, value: string) => ({ namespace: 'shop', name, value })

test('are kept, and what is other is told', t => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-secrets-'))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  const file = path.join(folder, 'secrets.json')
  const broken: unknown[] = []
  const open = () => new SecretStore(file, (_, error) => broken.push(String(error)))
  const names = (changed: readonly { readonly name: string }[]) => changed.map(({ name }) => name)

  const store = open()
  assert.deepEqual(names(store.replace([row('a', '1'), row('b', '1')])), ['a', 'b'])
  assert.deepEqual(names(store.replace([row('b', '2'), row('a', '1')])), ['b'])
  assert.deepEqual(names(store.replace([row('a', '1')])), ['b'])
  assert.deepEqual(store.replace([row('a', '1')]), [])
  assert.equal(fs.statSync(file).mode & 0o777, 0o600)

  const next = open()
  assert.equal(next.valueOf(row('a', '')), '1')
  assert.equal(next.valueOf(row('b', '')), undefined)

  const withKeys = (pem: string) => ({ namespace: 'shop', name: 'c', keys: { 'tls.crt': pem } })
  assert.deepEqual(names(next.replace([row('a', '1'), withKeys('x')])), ['c'])
  assert.deepEqual(names(next.replace([row('a', '1'), withKeys('y')])), ['c'])
  assert.deepEqual(next.replace([withKeys('y'), row('a', '1')]), [])
  assert.deepEqual(open().keysOf(withKeys('')), { 'tls.crt': 'y' })
  assert.equal(open().valueOf(withKeys('')), undefined)

  fs.writeFileSync(file, '[{"value": "hidden"')
  assert.equal(open().valueOf(row('a', '')), undefined)
  assert.deepEqual(broken, ['Error: it cannot be read'])
})
