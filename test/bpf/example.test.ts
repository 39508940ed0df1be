// The example of docs/bpf-library.md does what the document says.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { compile, needsRoot } from './support.ts'

test('the documented example runs', { skip: needsRoot }, () => {
  const root = join(import.meta.dirname, '../..')
  const document = readFileSync(join(root, 'docs/bpf-library.md'), 'utf8')
  const block = (language: string): string => {
    const [, text] = new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(document) ?? []
    assert.ok(text, `a block of ${language}`)
    return text
  }
  const folder = mkdtempSync(join(tmpdir(), 'axo-example-'))
  try {
    writeFileSync(join(folder, 'count.bpf.c'), block('c'))
    compile(join(folder, 'count.bpf.c'), join(folder, 'count.o'))
    const library = join(root, 'src/bpf/index.ts')
    writeFileSync(join(folder, 'example.ts'), block('ts').replace("'axoneme/bpf'", JSON.stringify(library)))
    const output = execFileSync(process.execPath, ['example.ts'], { cwd: folder, encoding: 'utf8' })
    assert.deepEqual(output.trim().split('\n').sort(), ['17 2 128n', '6 1 64n'])
  } finally {
    rmSync(folder, { recursive: true })
  }
})
