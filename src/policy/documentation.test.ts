// What docs say of the package is true: the examples of docs/policy-engine.md, run as
// they stand there, print what the document says they print, and docs/policy-api.md
// names every export with its docstring. To write the latter anew:
//
//   node src/policy/documentation.test.ts --update          or AXONEME_UPDATE=1 npm run check

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { headerOf, type PublicExport, publicExports } from './testing/api-reference.ts'

const UPDATE = process.argv.includes('--update') || process.env['AXONEME_UPDATE'] === '1'
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const REFERENCE = path.join(ROOT, 'docs/policy-api.md')

const guide = fs.readFileSync(path.join(ROOT, 'docs/policy-engine.md'), 'utf8')
/** Programs, each with the text that follows it as its output where the document has one. */
const examples = [...guide.matchAll(/```js\n(.*?)```(?:\s*```text\n(.*?)```)?/gs)]

test('the document has examples', () => assert.ok(examples.length >= 1))

for (const [i, [, program = '', output]] of examples.entries())
  test(`example ${i + 1} prints what the document says`, () => {
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-'], {
      cwd: import.meta.dirname,
      input: program.replace("'axoneme/policy'", "'./index.ts'"),
      encoding: 'utf8',
    })
    assert.equal(status, 0, stderr)
    if (output !== undefined) assert.equal(stdout, output)
  })

const read = (file: string): string => fs.readFileSync(fileURLToPath(file), 'utf8')
const exported = [...publicExports(new URL('index.ts', import.meta.url).href, read).values()]

test('every export says what it is', () => {
  const silent = exported.filter(({ summary }) => summary === undefined)
  assert.deepEqual(
    silent.map(
      ({ name, file }) => `${path.relative(ROOT, fileURLToPath(file))}: ${name} is public and needs a docstring`,
    ),
    [],
  )
})

test('the reference names every export', () => {
  const expected = referenceText()
  if (UPDATE) fs.writeFileSync(REFERENCE, expected)
  const hint = 'docs/policy-api.md is not what the docstrings say: run node src/policy/documentation.test.ts --update'
  assert.equal(fs.readFileSync(REFERENCE, 'utf8'), expected, hint)
})

const INTRODUCTION = `# Reference of axoneme/policy

Everything that \`axoneme/policy\` exports, with the first sentence of its docstring; the rest of it, and the fields of types, are shown by
your editor. [The policy engine](policy-engine.md) has examples and tells how the parts belong together. This page is written by
\`node src/policy/documentation.test.ts --update\`.
`

function referenceText(): string {
  const byFile = Map.groupBy(exported, ({ file }) => file)
  const sections = [...byFile].map(([file, items]) => {
    const rows = [...items].sort((a, b) => (a.name < b.name ? -1 : 1)).map(rowText)
    const title = path.relative(path.join(ROOT, 'src'), fileURLToPath(file)).replace(/\.ts$/, '')
    return [
      `## ${title}`,
      '',
      `${headerOf(file, read)}.`,
      '',
      '| Export | | What it is |',
      '|---|---|---|',
      ...rows,
      '',
    ].join('\n')
  })
  return [INTRODUCTION, ...sections].join('\n')
}

const rowText = ({ name, kind, summary = '' }: PublicExport): string =>
  `| \`${name}\` | ${kind} | ${summary.replaceAll('|', '\\|')} |`
