// The import checker must be able to fail: each rule is shown an import that breaks it and one that keeps it, and the real rules are
// checked for being consistent with themselves.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IMPORT_RULES, type ImportRules } from './import-rules.ts'
import { allowedAreas, checkImports, findImports } from './imports.ts'

const RULES: ImportRules = {
  levels: [['base'], ['left', 'right'], ['engine'], ['edge'], ['root'], ['test'], ['scripts']],
  onlyFrom: { engine: ['base', 'left'], scripts: [] },
  folderLevels: { right: [['low'], ['middle', 'aside'], ['testing']] },
  extraEdges: [{ from: 'right', to: 'left', because: 'a test of the checker' }],
  pureAreas: ['engine'],
  inputOutputModules: ['fs'],
  inputOutputAreas: ['edge', 'test', 'scripts'],
  packageOwners: { koffi: ['base'], '@scope/native': ['base'] },
}

const cases: readonly { name: string; file: string; text: string; want: RegExp | 'allowed' }[] = [
  { name: 'a lower area', file: 'src/edge/a.ts', text: `import '../right/b.ts'`, want: 'allowed' },
  { name: 'its own area', file: 'src/left/deep/a.ts', text: `import '../b.ts'`, want: 'allowed' },
  {
    name: 'a higher area',
    file: 'src/base/a.ts',
    text: `import '../edge/b.ts'`,
    want: /base may import no other area/,
  },
  {
    name: 'a sibling',
    file: 'src/left/a.ts',
    text: `import '../right/b.ts'`,
    want: /src\/right\/b\.ts; left may import base$/,
  },
  { name: 'a sibling by an extra edge', file: 'src/right/a.ts', text: `import '../left/b.ts'`, want: 'allowed' },
  {
    name: 'an area left out of a shorter list',
    file: 'src/engine/a.ts',
    text: `import '../right/b.ts'`,
    want: /base, left$/,
  },
  { name: 'an area on the shorter list', file: 'src/engine/a.ts', text: `import '../left/b.ts'`, want: 'allowed' },
  { name: 'a lower folder', file: 'src/right/middle/deep/a.ts', text: `import '../../low/b.ts'`, want: 'allowed' },
  { name: 'its own folder', file: 'src/right/low/deep/a.ts', text: `import '../b.ts'`, want: 'allowed' },
  {
    name: 'a higher folder',
    file: 'src/right/low/a.ts',
    text: `import '../middle/b.ts'`,
    want: /low may import no other folder/,
  },
  { name: 'a folder beside', file: 'src/right/middle/a.ts', text: `import '../aside/b.ts'`, want: /may import low$/ },
  { name: 'the face of its area', file: 'src/right/low/a.ts', text: `import '../index.ts'`, want: /no other folder/ },
  {
    name: 'a folder by the face of its area',
    file: 'src/right/index.ts',
    text: `import './low/b.ts'`,
    want: 'allowed',
  },
  {
    name: 'a folder on no level',
    file: 'src/right/newcomer/a.ts',
    text: `import '../low/b.ts'`,
    want: /newcomer, which is on no level/,
  },
  {
    name: 'a higher folder by a test',
    file: 'src/right/low/a.test.ts',
    text: `import '../aside/b.ts'`,
    want: 'allowed',
  },
  {
    name: 'a higher folder by what serves tests',
    file: 'src/right/low/testing/a.ts',
    text: `import '../../aside/b.ts'`,
    want: 'allowed',
  },
  {
    name: 'what serves tests',
    file: 'src/right/middle/a.ts',
    text: `import '../testing/b.ts'`,
    want: /middle may import low$/,
  },
  { name: 'a type', file: 'src/base/a.ts', text: `import type { B } from '../edge/b.ts'`, want: /may import/ },
  { name: 'an inline type', file: 'src/base/a.ts', text: `import { type B } from '../edge/b.ts'`, want: /may import/ },
  { name: 'a type by import()', file: 'src/base/a.ts', text: `type B = import('../edge/b.ts').B`, want: /may import/ },
  { name: 'export all', file: 'src/base/a.ts', text: `export * from '../edge/b.ts'`, want: /may import/ },
  { name: 'export some', file: 'src/base/a.ts', text: `export { b } from '../edge/b.ts'`, want: /may import/ },
  { name: 'export all as', file: 'src/base/a.ts', text: `export * as b from '../edge/b.ts'`, want: /may import/ },
  {
    name: 'export of a type',
    file: 'src/base/a.ts',
    text: `export type { B } from '../edge/b.ts'`,
    want: /may import/,
  },
  { name: 'import()', file: 'src/base/a.ts', text: `const b = await import('../edge/b.ts')`, want: /may import/ },
  {
    name: 'import() deep inside',
    file: 'src/base/a.ts',
    text: `function f() { return [() => import('../edge/b.ts')] }`,
    want: /may import/,
  },
  {
    name: 'import() of a computed path',
    file: 'src/edge/a.ts',
    text: 'const b = await import(`../${x}.ts`)',
    want: /computed/,
  },
  { name: 'a computed path in scripts', file: 'scripts/a.ts', text: 'const b = await import(x)', want: 'allowed' },
  {
    name: 'an import in a comment or string',
    file: 'src/base/a.ts',
    text: `// import '../edge/b.ts'\nconst s = "import '../edge/b.ts'"`,
    want: 'allowed',
  },
  {
    name: 'the package by its own name',
    file: 'src/base/a.ts',
    text: `import 'axoneme/edge'`,
    want: /src\/edge\/index\.ts/,
  },
  {
    name: 'a file of no area',
    file: 'src/root/a.ts',
    text: `import '../main.ts'`,
    want: /src\/main\.ts, which is in no area/,
  },
  { name: 'a test', file: 'src/root/a.ts', text: `import './b.test.ts'`, want: /imports the test/ },
  {
    name: 'src from scripts',
    file: 'scripts/a.ts',
    text: `import '../src/base/a.ts'`,
    want: /scripts may import no other area/,
  },
  {
    name: 'a node module in a pure area',
    file: 'src/engine/a.ts',
    text: `import { join } from 'node:path'`,
    want: /engine is pure/,
  },
  {
    name: 'a node module without node:',
    file: 'src/engine/a.ts',
    text: `import { join } from 'path'`,
    want: /engine is pure/,
  },
  {
    name: 'a node module in a test of a pure area',
    file: 'src/engine/a.test.ts',
    text: `import 'node:test'`,
    want: 'allowed',
  },
  {
    name: 'a test of a pure area is still in order',
    file: 'src/engine/a.test.ts',
    text: `import '../edge/a.ts'`,
    want: /may import/,
  },
  { name: 'input and output at an edge', file: 'src/edge/a.ts', text: `import 'node:fs/promises'`, want: 'allowed' },
  {
    name: 'input and output elsewhere',
    file: 'src/left/a.ts',
    text: `import 'node:fs/promises'`,
    want: /left does no input or output/,
  },
  { name: 'a harmless node module', file: 'src/left/a.ts', text: `import 'node:util'`, want: 'allowed' },
  { name: 'a package of its owner', file: 'src/base/a.ts', text: `import koffi from 'koffi'`, want: 'allowed' },
  {
    name: 'a package of another',
    file: 'src/edge/a.ts',
    text: `import koffi from 'koffi'`,
    want: /package koffi; only base may/,
  },
  {
    name: 'a path in a package of another',
    file: 'src/edge/a.ts',
    text: `import '@scope/native/x'`,
    want: /package @scope\/native/,
  },
  { name: 'a package of everybody', file: 'src/engine/a.ts', text: `import { z } from 'zod'`, want: 'allowed' },
  { name: 'an object property for a package', file: 'src/edge/a.ts', text: `import 'constructor'`, want: 'allowed' },
  {
    name: 'data in a test',
    file: 'test/x/a.test.ts',
    text: `import d from '../../data/d.json' with { type: 'json' }`,
    want: 'allowed',
  },
]

for (const { name, file, text, want } of cases) {
  test(`import of ${name}`, () => {
    const messages = checkImports(file, text, RULES).map(({ message }) => message)
    if (want === 'allowed') assert.deepEqual(messages, [])
    else {
      assert.equal(messages.length, 1, messages.join('\n'))
      assert.match(messages[0] ?? '', want)
    }
  })
}

test('a file in an area that nobody declared is a violation by itself', () => {
  assert.match(checkImports('src/newcomer/a.ts', '', RULES)[0]?.message ?? '', /no known area/)
  assert.match(checkImports('src/main.ts', '', RULES)[0]?.message ?? '', /no known area/)
})

test('violations name the line of the import', () => {
  const text = `// one\nimport '../left/b.ts'\nimport {\n  c,\n} from '../edge/c.ts'\nawait import('../root/d.ts')\n`
  assert.deepEqual(
    checkImports('src/base/a.ts', text, RULES).map(({ file, line }) => `${file}:${line}`),
    ['src/base/a.ts:2', 'src/base/a.ts:3', 'src/base/a.ts:6'],
  )
})

test('a file that does not parse is not passed over', () => {
  assert.throws(() => findImports('src/base/a.ts', 'import from from from'), /src\/base\/a\.ts/)
})

test('the rules of the project agree with themselves', () => {
  const areas = IMPORT_RULES.levels.flat()
  assert.equal(new Set(areas).size, areas.length, 'an area stands on one level')
  const named = [
    ...Object.entries(IMPORT_RULES.onlyFrom).flatMap(([area, others]) => [area, ...others]),
    ...IMPORT_RULES.extraEdges.flatMap(({ from, to }) => [from, to]),
    ...Object.keys(IMPORT_RULES.folderLevels),
    ...IMPORT_RULES.pureAreas,
    ...IMPORT_RULES.inputOutputAreas,
    ...Object.values(IMPORT_RULES.packageOwners).flat(),
  ]
  assert.deepEqual(
    named.filter(area => !areas.includes(area)),
    [],
    'every area that is named stands on a level',
  )
  for (const { from, to } of IMPORT_RULES.extraEdges) {
    assert.ok(!allowedAreas(from, IMPORT_RULES).includes(to), `the extra edge ${from} → ${to} is not needed`)
  }
  assert.deepEqual(
    IMPORT_RULES.pureAreas.filter(area => IMPORT_RULES.inputOutputAreas.includes(area)),
    [],
    'a pure area does no input or output',
  )
})
