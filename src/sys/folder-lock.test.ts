// One has the lock at a time, and whoever ends has it no more.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { FolderLock } from './folder-lock.ts'

test('a folder is locked by one at a time', t => {
  const folder = fs.mkdtempSync(path.join(tmpdir(), 'axo-lock-'))
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }))
  const [one, other] = [new FolderLock(folder), new FolderLock(folder)]
  assert.equal(one.take(), true)
  assert.equal(other.take(), false)
  one.release()
  assert.equal(other.take(), true)
  other[Symbol.dispose]()
  assert.equal(one.take(), true)
  one.release()
  assert.throws(() => new FolderLock(path.join(folder, 'none')).take(), { code: 'ENOENT' })
})
