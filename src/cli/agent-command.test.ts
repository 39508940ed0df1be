// The agent's options: few, and all in the guide.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { agentCommand } from './agent-command.ts'

/** Up to the options of the proxy. */
const [GUIDE = ''] = fs
  .readFileSync(new URL('../../docs/guide.md', import.meta.url), 'utf8')
  .split('\n## The proxy of a node\n')
/** What can be measured, or be a constant, is no option. */
const MOST_OPTIONS = 30

test('the guide has a row for every option of the agent, and for no other', () => {
  const names = agentCommand().options.map(({ long }) => long)
  const rows = [...GUIDE.matchAll(/^\| `(--[a-z-]+)/gm)].map(([, name]) => name)
  assert.equal(rows.length, names.length, 'a row each')
  assert.deepEqual(new Set(rows), new Set(names))
  assert.ok(names.length <= MOST_OPTIONS, `${names.length} options`)
})
