// The proxy's options: few, and all in the guide.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { proxyCommand } from './proxy-command.ts'

const [, GUIDE = ''] = fs
  .readFileSync(new URL('../../docs/guide.md', import.meta.url), 'utf8')
  .split('\n## The proxy of a node\n')

test('the guide has a row for every option of the proxy, and for no other', () => {
  const names = proxyCommand().options.map(({ long }) => long)
  const rows = [...GUIDE.matchAll(/^\| `(--[a-z-]+)/gm)].map(([, name]) => name)
  assert.equal(rows.length, names.length, 'a row each')
  assert.deepEqual(new Set(rows), new Set(names))
})
