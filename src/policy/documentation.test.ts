// The example of docs/policy-engine.md, run as it stands there, must print what the
// document says it prints.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

const document = readFileSync(new URL('../../docs/policy-engine.md', import.meta.url), 'utf8')

const block = (language: string): string => {
  const text = new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(document)?.[1]
  assert.ok(text, `the document has no ${language} block`)
  return text
}

test('the example prints what the document says', () => {
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-'], {
    cwd: import.meta.dirname,
    input: block('js').replace("'axoneme/policy'", "'./index.ts'"),
    encoding: 'utf8',
  })
  assert.equal(status, 0, stderr)
  assert.equal(stdout, block('text'))
})
