// The Debian packages that building, running and testing need, and their installation. Presence is judged by the file or program that is
// used, not by dpkg's database, so another distribution or a hand-made install works as long as everything is there.

import { existsSync, readdirSync } from 'node:fs'
import { SetUpError } from './errors.js'
import { findProgram, run } from './programs.js'

/**
 * @typedef {object} DebianPackage
 * @property {string} name
 * @property {'build' | 'run' | 'test' | 'bench'} for building, running the datapath and the sandbox, tests alone, or tests and benchmarks
 * @property {readonly string[]} [programs] must be on the search path
 * @property {readonly string[]} [files] must exist
 * @property {string} [service] that Debian starts and enables with the package, which nobody here needs
 */

const MULTIARCH = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'

/** Where Debian keeps the headers that depend on the architecture, such as asm/types.h. */
export const MULTIARCH_INCLUDE = `/usr/include/${MULTIARCH}`

/** @type {readonly DebianPackage[]} */
export const DEBIAN_PACKAGES = [
  { name: 'clang', for: 'build', programs: ['clang'] },
  { name: 'llvm', for: 'build', programs: ['llvm-strip'] },
  { name: 'libbpf-dev', for: 'build', files: ['/usr/include/bpf/bpf_helpers.h'] },
  { name: 'linux-libc-dev', for: 'build', files: ['/usr/include/linux/bpf.h'] },
  { name: 'libc6-dev', for: 'build', files: ['/usr/include/stdio.h'] },
  { name: 'iproute2', for: 'run', programs: ['ip'] },
  { name: 'util-linux', for: 'run', programs: ['unshare', 'nsenter', 'setpriv', 'flock', 'mount'] },
  { name: 'haproxy', for: 'run', programs: ['haproxy'], service: 'haproxy' },
  { name: 'wrk', for: 'bench', programs: ['wrk'] },
  { name: 'nghttp2-client', for: 'bench', programs: ['h2load'] },
  { name: 'nginx', for: 'bench', programs: ['nginx'], service: 'nginx' },
  { name: 'iptables', for: 'bench', programs: ['iptables-legacy-restore'] },
  { name: 'nftables', for: 'run', programs: ['nft'] },
  { name: 'chromium', for: 'test', programs: ['chromium'] },
  { name: 'openssl', for: 'test', programs: ['openssl'] },
]

/**
 * @param {readonly DebianPackage[]} packages
 * @param {{ searchPath: string, exists?: (file: string) => boolean }} machine
 * @returns {DebianPackage[]} those of which something is missing
 */
export function findMissing(packages, { searchPath, exists = existsSync }) {
  return packages.filter(
    ({ programs = [], files = [] }) =>
      programs.some(program => findProgram(program, searchPath) === undefined) || files.some(file => !exists(file)),
  )
}

/**
 * Installs packages with apt-get, without questions. Fetches the package lists only when there are none or the installation fails.
 * @param {readonly DebianPackage[]} packages
 * @param {{ searchPath: string, note: (line: string) => void, listsFolder?: string }} options
 * @throws {SetUpError} with apt-get's own output
 */
export async function installDebianPackages(packages, { searchPath, note, listsFolder = '/var/lib/apt/lists' }) {
  const names = packages.map(({ name }) => name)
  const apt = (/** @type {string[]} */ ...args) =>
    run('apt-get', ['-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3', ...args], {
      env: { ...process.env, PATH: searchPath, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
      onLine: note,
    })
  const install = () => apt('install', '--yes', '--no-install-recommends', ...names)
  const update = async () => {
    const { code, output } = await apt('update')
    if (code !== 0) throw new SetUpError('apt-get update failed: see its output above', { output })
  }

  const haveLists = packageListsExist(listsFolder)
  if (!haveLists) await update()
  let { code, output } = await install()
  if (code !== 0 && output.includes('dpkg was interrupted')) {
    await run('dpkg', ['--configure', '-a'], {
      env: { ...process.env, PATH: searchPath, DEBIAN_FRONTEND: 'noninteractive' },
    })
    ;({ code, output } = await install())
  }
  if (code !== 0 && haveLists) {
    await update()
    ;({ code, output } = await install())
  }
  if (code !== 0) throw new SetUpError(`apt-get install ${names.join(' ')} failed: see its output above`, { output })
  for (const { service } of packages) if (service !== undefined) await turnOff(service, searchPath)
  const absent = findMissing(packages, { searchPath })
  if (absent.length > 0) {
    throw new SetUpError(
      `apt-get installed ${names.join(' ')}, yet these still lack a file or program that is needed: ${absent.map(describe).join('; ')}`,
    )
  }
}

/**
 * A service that an installation has just brought must not run, now or after the next boot: the user did not ask for it. One that
 * was there before is not ours to touch, and its package is not missing. Machines without these programs start nothing by themselves.
 * @param {string} service
 * @param {string} searchPath
 */
async function turnOff(service, searchPath) {
  const env = { ...process.env, PATH: searchPath }
  if (findProgram('update-rc.d', searchPath)) await run('update-rc.d', [service, 'disable'], { env })
  if (findProgram('invoke-rc.d', searchPath)) await run('invoke-rc.d', [service, 'stop'], { env })
}

/** @param {string} listsFolder */
function packageListsExist(listsFolder) {
  try {
    return readdirSync(listsFolder).some(name => name.includes('_Packages'))
  } catch {
    return false
  }
}

/** @param {DebianPackage} debianPackage */
function describe({ name, programs = [], files = [] }) {
  return `${name} (${[...programs, ...files].join(', ')})`
}
