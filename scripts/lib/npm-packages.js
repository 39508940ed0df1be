// Brings node_modules to what package-lock.json says. A stamp in node_modules, written last, tells that it is complete; without one,
// npm's own record of what it installed is believed if it agrees with the lock file, so a developer's `npm install` is not undone.

import { createHash } from 'node:crypto'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SetUpError } from './errors.js'
import { readIfThere, replaceFile } from './files.js'
import { findNode24 } from './node24.js'
import { run } from './programs.js'

/** Reads lock files of version 3, and installs for `os` and `cpu` of this machine only. */
export const OLDEST_NPM_MAJOR = 7
const RETRY_AFTER_MS = 3000
const NETWORK_FAILURE =
  /E(CONNRESET|CONNREFUSED|TIMEDOUT|NOTFOUND|AI_AGAIN|PIPE|NETUNREACH|HOSTUNREACH|INTEGRITY)|ERR_SOCKET_TIMEOUT|network|HTTP 5\d\d|E5\d\d/

/** @param {string} root */
const stampFile = root => path.join(root, 'node_modules/.axoneme-set-up')
/** @param {string} root */
const npmRecordFile = root => path.join(root, 'node_modules/.package-lock.json')

/**
 * Whether node_modules is what the lock file asks for. Reads at most two files.
 * @param {string} root
 */
export function npmPackagesAreCurrent(root) {
  if (findNode24(root) === undefined) return false
  const lockFile = readFileSync(path.join(root, 'package-lock.json'), 'utf8')
  return (
    readIfThere(stampFile(root)) === stampOf(lockFile) || npmRecordAgrees(lockFile, readIfThere(npmRecordFile(root)))
  )
}

/**
 * Runs `npm ci`, a second time when the network failed it.
 * @param {{ root: string, searchPath: string, note: (line: string) => void }} options
 * @throws {SetUpError} with npm's own output
 */
export async function installNpmPackages({ root, searchPath, note }) {
  // An interrupted `npm ci` must not leave a record of completeness behind: these go first, and the stamp comes last.
  rmSync(stampFile(root), { force: true })
  rmSync(npmRecordFile(root), { force: true })
  const install = () =>
    run(
      'npm',
      // No package that we use needs its install script: native ones come prebuilt.
      ['ci', '--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=http'],
      { cwd: root, env: { ...process.env, PATH: searchPath, npm_config_update_notifier: 'false' }, onLine: note },
    )
  let { code, output } = await install()
  if (code !== 0 && NETWORK_FAILURE.test(output)) {
    note('network failure, trying once more')
    await sleep(RETRY_AFTER_MS)
    ;({ code, output } = await install())
  }
  if (code !== 0) throw new SetUpError('npm ci failed: see its output above', { output: withoutHttpLines(output) })
  if (findNode24(root) === undefined) {
    throw new SetUpError(
      `npm did not bring node-linux-${process.arch}, the Node 24 that the project runs on (npm skips an optional package that it cannot fetch). ` +
        'Check that the npm registry in use has it, or install Node 24, and run this again.',
    )
  }
  writeStamp(root)
}

/** @param {string} root */
function writeStamp(root) {
  const lockFile = readFileSync(path.join(root, 'package-lock.json'), 'utf8')
  replaceFile(stampFile(root), file => writeFileSync(file, stampOf(lockFile)))
}

/** @param {string} lockFile */
function stampOf(lockFile) {
  return createHash('sha256').update(`${process.platform} ${process.arch}\n${lockFile}`).digest('hex')
}

/**
 * npm writes this record when it has finished. It leaves out what is not for this machine.
 * @param {string} lockFile
 * @param {string | undefined} record
 */
export function npmRecordAgrees(lockFile, record) {
  if (record === undefined) return false
  const wanted = packagesOf(lockFile)
  const present = packagesOf(record)
  return Object.entries(wanted).every(([name, { version, optional, devOptional }]) => {
    if (name === '') return true
    const found = present[name]
    return found === undefined ? optional === true || devOptional === true : found.version === version
  })
}

/**
 * @param {string} text
 * @returns {Record<string, { version?: string, optional?: boolean, devOptional?: boolean }>}
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
