// Compiles the TypeScript of src/ to dist/, which is what users run: Node that strips types itself starts later and takes tens of
// megabytes more. Promises that dist/ is whole or not there, made from sources without an error, and marked with what it was made
// from. Programs that run from an older dist/ have loaded their files and go on.

import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { SetUpError } from './errors.js'
import { listFiles, readIfThere } from './files.js'
import { findNode24 } from './node24.js'
import { run } from './programs.js'

const CONFIGURATIONS = ['tsconfig.json', 'tsconfig.build.json']
const COMPILER = 'node_modules/typescript'

/** In dist/: the content hash of what it was made from. Its time tells bin/axoneme from which moment sources are newer. */
const MARK = '.built'

/**
 * Whether dist/ is what the sources and the compiler would make. By content; when it is, the mark takes the time of this look, so
 * that sources whose times alone have changed do not count as newer.
 * @param {string} root the checkout
 */
export function isCompiled(root) {
  const lookedAt = new Date()
  const mark = path.join(root, 'dist', MARK)
  if (readIfThere(mark) !== hashSources(root)) return false
  try {
    utimesSync(mark, lookedAt, lookedAt)
  } catch {
    // Not ours to write: then bin/axoneme may take the TypeScript, which says the same.
  }
  return true
}

/**
 * Makes dist/ anew. The caller holds the lock of set-up.
 * @param {string} root the checkout
 * @throws {SetUpError} with the compiler's output when the sources have errors; dist/ stays as it was
 */
export async function compileSources(root) {
  const node = findNode24(root)
  if (node === undefined || !existsSync(path.join(root, COMPILER)))
    throw new SetUpError('cannot compile src/: the npm packages are not installed. What to do: npm run setup')
  const fresh = path.join(root, 'build/.dist')
  const former = path.join(root, 'build/.dist-before')
  for (const folder of [fresh, former]) rmSync(folder, { recursive: true, force: true })

  const startedAt = new Date()
  const stamp = hashSources(root)
  const compiler = path.join(root, COMPILER, 'bin/tsc')
  const args = ['--project', 'tsconfig.build.json', '--outDir', fresh, '--pretty', 'false']
  const { code, output } = await run(node, [compiler, ...args], { cwd: root })
  if (code !== 0) {
    rmSync(fresh, { recursive: true, force: true })
    throw new SetUpError('src/ does not compile: see the messages above', { output })
  }
  copyScripts(root, fresh)
  writeFileSync(path.join(fresh, MARK), stamp)
  utimesSync(path.join(fresh, MARK), startedAt, startedAt)

  // No rename replaces a folder that is not empty. For a moment there is none, and bin/axoneme takes the TypeScript.
  const place = path.join(root, 'dist')
  if (existsSync(place)) renameSync(place, former)
  renameSync(fresh, place)
  rmSync(former, { recursive: true, force: true })
}

/**
 * What other programs run lies beside the TypeScript that belongs to it.
 * @param {string} root
 * @param {string} fresh
 */
function copyScripts(root, fresh) {
  for (const file of listFiles(path.join(root, 'src')).filter(isScript)) {
    mkdirSync(path.dirname(path.join(fresh, file)), { recursive: true })
    copyFileSync(path.join(root, 'src', file), path.join(fresh, file))
  }
}

/** @param {string} file */
const isScript = file => file.endsWith('.lua')

/** @param {string} root */
function hashSources(root) {
  const sum = createHash('sha256').update(JSON.stringify(CONFIGURATIONS))
  sum.update(readIfThere(path.join(root, COMPILER, 'package.json')) ?? '')
  const isSource = (/** @type {string} */ file) =>
    (file.endsWith('.ts') && !file.endsWith('.test.ts')) || isScript(file)
  const sources = listFiles(path.join(root, 'src')).filter(isSource)
  for (const file of [...CONFIGURATIONS, ...sources.map(source => path.join('src', source))])
    sum.update(`\n${file}\n`).update(readIfThere(path.join(root, file)) ?? '')
  return sum.digest('hex')
}
