// Brings node_modules to what package-lock.json says. A stamp in node_modules, written last, tells that it is complete; without one,
// npm's own record of what it installed is believed if it agrees with the lock file, so a developer's `npm install` is not undone.
// npm itself runs on Node 24: on an older one it leaves out, without a word, every native package that asks for a newer Node.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SetUpError } from './errors.js'
import { readIfThere, replaceFile } from './files.js'
import { findNode24 } from './node24.js'
import { findProgram, run } from './programs.js'

/** Reads lock files of version 3. */
export const OLDEST_NPM_MAJOR = 7
const NODE_PACKAGE = `node-linux-${process.arch}`
const RETRY_AFTER_MS = 3000
const NETWORK_FAILURE =
  /E(CONNRESET|CONNREFUSED|TIMEDOUT|NOTFOUND|AI_AGAIN|PIPE|NETUNREACH|HOSTUNREACH|INTEGRITY)|ERR_SOCKET_TIMEOUT|network|E5\d\d/

/**
 * @typedef {object} LockedPackage
 * @property {string} [version]
 * @property {boolean} [optional]
 * @property {string | string[]} [os]
 * @property {string | string[]} [cpu]
 * @property {string | string[]} [libc]
 */

/** @param {string} root */
const stampFile = root => path.join(root, 'node_modules/.axoneme-set-up')
/** @param {string} root */
const recordFile = root => path.join(root, 'node_modules/.package-lock.json')
/** @param {string} root */
const readLockFile = root => readFileSync(path.join(root, 'package-lock.json'), 'utf8')

/**
 * Whether node_modules is what the lock file asks for. Reads at most three files.
 * @param {string} root
 */
export function npmPackagesAreCurrent(root) {
  if (findNode24(root) === undefined) return false
  const lockFile = readLockFile(root)
  return (
    readIfThere(stampFile(root)) === stampOf(lockFile) ||
    findAbsent(lockFile, readIfThere(recordFile(root))).length === 0
  )
}

/**
 * Runs `npm ci`.
 * @param {{ root: string, searchPath: string, note: (line: string) => void }} options
 * @throws {SetUpError} with npm's own output
 */
export async function installNpmPackages({ root, searchPath, note }) {
  const lockFile = readLockFile(root)
  const bootstrap = path.join(root, 'build/.bootstrap')
  // An interrupted `npm ci` must not leave a record of completeness behind: these go first, and the stamp comes last.
  rmSync(stampFile(root), { force: true })
  rmSync(recordFile(root), { force: true })
  try {
    const folder = await bringNode24({
      bootstrap,
      version: packagesOf(lockFile)[`node_modules/${NODE_PACKAGE}`]?.version,
      searchPath,
      note,
    })
    await npm(['ci', '--include=dev', '--include=optional'], {
      folder: root,
      searchPath: `${folder}:${searchPath}`,
      note,
    })
  } finally {
    rmSync(bootstrap, { recursive: true, force: true })
  }
  const absent = findAbsent(lockFile, readIfThere(recordFile(root)))
  if (absent.length > 0) {
    throw new SetUpError(
      `npm left these out: ${absent.join(', ')}. It skips an optional package that it cannot fetch, or that needs a newer Node than npm itself runs on. Check the network, that the npm registry in use has them, and that npm is not tied to an old Node; then run the same command again.`,
    )
  }
  replaceFile(stampFile(root), file => writeFileSync(file, stampOf(lockFile)))
}

/**
 * A Node 24 for npm to run on while node_modules, where ours lives, is replaced: the system's, or one fetched for this.
 * @param {{ bootstrap: string, version: string | undefined, searchPath: string, note: (line: string) => void }} options
 * @returns {Promise<string>} the folder that it is in
 */
async function bringNode24({ bootstrap, version, searchPath, note }) {
  const inPath = findProgram('node', searchPath)
  if (inPath !== undefined && /^v(2[4-9]|[3-9]\d)\./.test((await run(inPath, ['--version'])).output))
    return path.dirname(inPath)
  rmSync(bootstrap, { recursive: true, force: true })
  mkdirSync(bootstrap, { recursive: true })
  await npm(['install', '--no-save', '--no-package-lock', `${NODE_PACKAGE}@${version ?? '24'}`], {
    folder: bootstrap,
    searchPath,
    note,
  })
  return path.join(bootstrap, 'node_modules', NODE_PACKAGE, 'bin')
}

/**
 * Runs npm, a second time when the network failed it.
 * @param {readonly string[]} args
 * @param {{ folder: string, searchPath: string, note: (line: string) => void }} options
 */
async function npm(args, { folder, searchPath, note }) {
  // No package that we use needs its install script: native ones come prebuilt.
  const quietly = [
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=http',
    '--fetch-retry-mintimeout=2000',
    '--fetch-retry-maxtimeout=10000',
  ]
  const [program = '', ...first] = npmCommand(searchPath)
  const attempt = () =>
    run(program, [...first, ...args, '--prefix', folder, ...quietly], {
      cwd: folder,
      env: { ...process.env, PATH: searchPath, npm_config_update_notifier: 'false' },
      onLine: note,
    })
  let { code, output } = await attempt()
  if (code !== 0 && NETWORK_FAILURE.test(output)) {
    note('network failure, trying once more')
    await sleep(RETRY_AFTER_MS)
    ;({ code, output } = await attempt())
  }
  if (code !== 0)
    throw new SetUpError(`npm ${args[0]} failed: see its output above`, { output: withoutHttpLines(output) })
}

/**
 * npm is JavaScript, often behind a wrapper that insists on the Node it came with. When its entry can be found it is run by the first
 * Node of the search path.
 * @param {string} searchPath
 * @returns {string[]} program and first arguments
 */
function npmCommand(searchPath) {
  const inPath = findProgram('npm', searchPath)
  const entries = [process.env['npm_execpath'], inPath === undefined ? undefined : realpathSync(inPath)]
  const entry = entries.find(file => file?.endsWith('npm-cli.js') && existsSync(file))
  const node = findProgram('node', searchPath)
  return entry === undefined || node === undefined ? ['npm'] : [node, entry]
}

/** @param {string} lockFile */
function stampOf(lockFile) {
  return createHash('sha256').update(`${process.platform} ${process.arch}\n${lockFile}`).digest('hex')
}

/**
 * What the lock file wants on this machine and npm's record, which it writes when it has finished, does not have.
 * @param {string} lockFile
 * @param {string | undefined} record content of node_modules/.package-lock.json
 * @param {{ os: string, cpu: string, libc: string }} [machine]
 * @returns {string[]} as `name@version`
 */
export function findAbsent(lockFile, record, machine = { os: process.platform, cpu: process.arch, libc: 'glibc' }) {
  const present = packagesOf(record ?? '')
  return Object.entries(packagesOf(lockFile)).flatMap(([location, { version, optional, os, cpu, libc }]) => {
    if (location === '' || present[location]?.version === version) return []
    // An optional package that is for every machine is there only for those that are not for this one.
    const isForThis =
      (os ?? cpu) !== undefined && suits(os, machine.os) && suits(cpu, machine.cpu) && suits(libc, machine.libc)
    return optional && !isForThis ? [] : [`${location.replace(/^.*node_modules\//, '')}@${version}`]
  })
}

/**
 * @param {string | string[] | undefined} allowed
 * @param {string} value
 */
function suits(allowed, value) {
  return allowed === undefined || [allowed].flat().includes(value)
}

/**
 * @param {string} text
 * @returns {Record<string, LockedPackage>} by location, such as `node_modules/koffi`
 */
function packagesOf(text) {
  try {
    return JSON.parse(text).packages ?? {}
  } catch {
    return {}
  }
}

/** @param {string} output */
function withoutHttpLines(output) {
  return output
    .split('\n')
    .filter(line => !line.startsWith('npm http '))
    .join('\n')
}
