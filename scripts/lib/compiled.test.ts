// dist/ in small checkouts with the project's own compiler and its settings: when it counts as current, that errors in the sources
// leave it as it was, and that bin/axoneme sees a newer source.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { compileSources, isCompiled } from './compiled.js'
import { SetUpError } from './errors.js'
import { ROOT } from './root.js'

const COPIED = ['bin/axoneme', 'package.json', 'tsconfig.json', 'tsconfig.build.json']

function checkout(context: TestContext) {
  const root = mkdtempSync(path.join(os.tmpdir(), 'axoneme-compiled-'))
  context.after(() => rmSync(root, { recursive: true }))
  const put = (file: string, text: string): void => {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true })
    writeFileSync(path.join(root, file), text)
  }
  for (const file of COPIED) cpSync(path.join(ROOT, file), path.join(root, file))
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(root, 'node_modules'))
  mkdirSync(path.join(root, 'build'))
  put('src/cli/main.ts', `import { WORD } from '../word.ts'\nconsole.log(import.meta.filename, WORD)\n`)
  put('src/word.ts', `export const WORD: string = 'first'\n`)
  put('src/word.test.ts', `export const TESTED: string = 'never compiled'\n`)
  const launch = () =>
    spawnSync(path.join(root, 'bin/axoneme'), { encoding: 'utf8' }).stdout.trim().replace(`${root}/`, '')
  return { root, put, launch }
}

/** So that a file's time is after the mark's for sure, however coarse the clock of the file system. */
function makeNewer(file: string): void {
  const later = new Date(Date.now() + 60_000)
  utimesSync(file, later, later)
}

test('sources are compiled, without their tests, and then run from dist', async context => {
  const { root, launch } = checkout(context)
  assert.equal(isCompiled(root), false)
  assert.equal(launch(), 'src/cli/main.ts first')
  await compileSources(root)
  assert.equal(isCompiled(root), true)
  assert.equal(launch(), 'dist/cli/main.js first')
  assert.deepEqual(readdirSync(path.join(root, 'dist')).toSorted(), ['.built', 'cli', 'word.d.ts', 'word.js'])
  assert.deepEqual(readdirSync(path.join(root, 'build')), [])
})

test('a changed source runs as TypeScript until dist is made anew; a changed test changes nothing', async context => {
  const { root, put, launch } = checkout(context)
  await compileSources(root)
  put('src/word.test.ts', `export const TESTED: string = 'changed'\n`)
  makeNewer(path.join(root, 'src/word.test.ts'))
  assert.equal(isCompiled(root), true)
  assert.equal(launch(), 'dist/cli/main.js first')

  put('src/word.ts', `export const WORD: string = 'second'\n`)
  makeNewer(path.join(root, 'src/word.ts'))
  assert.equal(isCompiled(root), false)
  assert.equal(launch(), 'src/cli/main.ts second')
  utimesSync(path.join(root, 'src/word.ts'), 0, 0)
  assert.equal(isCompiled(root), false, 'content decides, not times')
  await compileSources(root)
  assert.equal(launch(), 'dist/cli/main.js second')
})

test('a source that is only newer is compiled still, and the next look says so to bin/axoneme', async context => {
  const { root, launch } = checkout(context)
  await compileSources(root)
  utimesSync(path.join(root, 'dist/.built'), 0, 0)
  assert.equal(launch(), 'src/cli/main.ts first')
  assert.equal(isCompiled(root), true)
  assert.equal(launch(), 'dist/cli/main.js first')
})

test('errors are told in the compiler’s words, and what was compiled before stays', async context => {
  const { root, put } = checkout(context)
  await compileSources(root)
  put('src/word.ts', `export const WORD: number = 'second'\n`)
  const failure: unknown = await compileSources(root).catch((error: unknown) => error)
  assert.ok(failure instanceof SetUpError)
  assert.match(failure.message, /src\/ does not compile/)
  assert.match(failure.output, /^src\/word\.ts\(1,14\): error TS2322/m)
  assert.match(readFileSync(path.join(root, 'dist/word.js'), 'utf8'), /first/)
  assert.equal(isCompiled(root), false)
  assert.ok(!existsSync(path.join(root, 'build/.dist')))
})

test('without the npm packages it says what to do', async context => {
  const { root } = checkout(context)
  rmSync(path.join(root, 'node_modules'))
  await assert.rejects(compileSources(root), /npm run setup/)
})
