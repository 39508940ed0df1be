// Set-up as one list of steps: look at the machine, then install Debian packages, npm packages and build, each only if needed.
// Promises: nothing is changed unless the machine will do; when all is there already it costs milliseconds and prints nothing.

import path from 'node:path'
import { build, findOutdated } from './build.js'
import { compileSources, isCompiled } from './compiled.js'
import { DEBIAN_PACKAGES, findMissing, installDebianPackages } from './debian-packages.js'
import { SetUpError } from './errors.js'
import { withLock } from './lock.js'
import { installNpmPackages, npmPackagesAreCurrent, OLDEST_NPM_MAJOR } from './npm-packages.js'
import { giveToOwner, isWritable } from './ownership.js'
import { describeShortfalls, findShortfalls, readMachine } from './preflight.js'
import { cleanSearchPath, run } from './programs.js'

/**
 * @typedef {object} Purpose what set-up is for
 * @property {string} name completes "cannot …", such as "run the demo"
 * @property {boolean} kernel BPF programs will be loaded here: the kernel must be able to
 * @property {boolean} root
 * @property {readonly import('./debian-packages.js').DebianPackage['for'][]} debianPackages which of them to install
 * @property {boolean} npmPackages
 * @property {'always' | 'if possible' | 'no'} build of the C; if possible: only when the compiler and headers are there already
 * @property {boolean} dist whether dist/ must be what src/ says, because it is what will run
 */

/**
 * @param {Purpose} purpose
 * @param {object} context
 * @param {string} context.root the checkout
 * @param {import('./progress.js').Progress} context.progress
 * @param {(message: string) => void} context.say
 * @param {string} [context.searchPath]
 * @param {import('./preflight.js').Machine} [context.machine]
 * @throws {SetUpError} when the machine will not do, or a step failed
 */
export async function setUp(purpose, { root, progress, say, searchPath = cleanSearchPath(process.env.PATH), machine }) {
  let work = findWork(purpose, root, searchPath)
  const shortfalls = findShortfalls(machine ?? readMachine(searchPath), {
    kernel: purpose.kernel,
    root: purpose.root,
    debianPackages: work.debianPackages.map(({ name }) => name),
    npmPackages: work.npmPackages,
  })
  if (shortfalls.length > 0) throw new SetUpError(describeShortfalls(shortfalls, purpose.name))
  if (work.skippedBuild)
    say(
      'not compiled: clang, llvm-strip or headers are missing (run `npm run setup` as root once); tests that need build/ skip',
    )
  if (isNothing(work)) return
  if (!isWritable(root))
    throw new SetUpError(
      `cannot ${purpose.name}: ${root} is not set up yet, and user ${process.geteuid?.()} may not write to it. What to do: run the same command once as its owner. Nothing was changed.`,
    )
  if (work.npmPackages) await requireNpm(searchPath)

  const wait = () => say('another set-up of this checkout is running; waiting for it')
  await withLock(path.join(root, 'build/.lock'), wait, async () => {
    work = findWork(purpose, root, searchPath)
    const { debianPackages } = work
    if (debianPackages.length > 0) {
      await progress.step(`Debian packages: ${debianPackages.map(({ name }) => name).join(', ')}`, note =>
        installDebianPackages(debianPackages, { searchPath, note }),
      )
    }
    if (work.npmPackages) await progress.step('npm packages', note => installNpmPackages({ root, searchPath, note }))
    const outdated = work.skippedBuild || purpose.build === 'no' ? [] : findOutdated(root)
    if (outdated.length > 0) {
      await progress.step(`compile: ${outdated.map(({ output }) => output).join(', ')}`, note =>
        build(outdated, { root, searchPath, note }),
      )
    }
    if (work.dist) await progress.step('compile: dist', () => compileSources(root))
    await giveToOwner(root, ['node_modules', 'build', 'dist'])
  })
}

/**
 * @param {Purpose} purpose
 * @param {string} root
 * @param {string} searchPath
 */
function findWork(purpose, root, searchPath) {
  const missing = findMissing(DEBIAN_PACKAGES, { searchPath })
  const outdated = purpose.build === 'no' ? [] : findOutdated(root)
  return {
    debianPackages: missing.filter(debianPackage => purpose.debianPackages.includes(debianPackage.for)),
    npmPackages: purpose.npmPackages && !npmPackagesAreCurrent(root),
    outdated,
    dist: purpose.dist && !isCompiled(root),
    skippedBuild:
      purpose.build === 'if possible' && outdated.length > 0 && missing.some(({ for: use }) => use === 'build'),
  }
}

/** @param {ReturnType<typeof findWork>} work */
function isNothing({ debianPackages, npmPackages, outdated, dist, skippedBuild }) {
  return debianPackages.length === 0 && !npmPackages && !dist && (outdated.length === 0 || skippedBuild)
}

/** @param {string} searchPath */
async function requireNpm(searchPath) {
  const { code, output } = await run('npm', ['--version'], { env: { ...process.env, PATH: searchPath } })
  const version = output.trim().split('\n').at(-1) ?? ''
  if (code !== 0)
    throw new SetUpError('npm is there but does not run: see its output above. Nothing was changed.', { output })
  if (Number.parseInt(version, 10) < OLDEST_NPM_MAJOR) {
    throw new SetUpError(
      `npm ${version} is too old: ${OLDEST_NPM_MAJOR} or newer is needed. Install Node 18 or newer with its own npm, or: npm install -g npm@10. Nothing was changed.`,
    )
  }
}
