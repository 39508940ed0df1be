// Looks at the machine before anything is changed, and names everything that is missing at once. `readMachine` gathers facts and
// decides nothing; `findShortfalls` decides and reads nothing, so each refusal can be tested with facts made up for it.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import os from 'node:os'
import { readIfThere } from './files.js'
import { findProgram } from './programs.js'

/** Oldest kernel that the datapath's hooks and helpers work on. */
const OLDEST_KERNEL = { major: 5, minor: 15 }
const ARCHITECTURES = ['x64', 'arm64']
/** linux/capability.h; each is used by the datapath or the sandbox. */
const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_BPF: 39 }

/**
 * @typedef {object} Machine
 * @property {string} platform as process.platform
 * @property {string} architecture as process.arch
 * @property {string} kernelRelease as uname -r
 * @property {number} userId effective
 * @property {bigint} capabilities effective set
 * @property {'works' | 'refused' | 'missing' | 'unknown'} bpf what bpf(2) answered to making a small map; unknown when not root
 * @property {boolean} btf whether the kernel describes its own types
 * @property {'mounted' | 'mountable' | 'missing'} cgroup2
 * @property {boolean} namespaces network, mount and PID namespaces
 * @property {boolean} underSudo started through sudo, by whatever user it runs as now
 * @property {boolean} aptGet
 * @property {boolean} npm
 */

/**
 * @typedef {object} Needs
 * @property {boolean} kernel BPF programs will be loaded and namespaces made: kernel, BPF, BTF, cgroup v2
 * @property {boolean} root
 * @property {readonly string[]} debianPackages names of those to install
 * @property {boolean} npmPackages whether npm has to install
 */

/** @typedef {{ need: string, remedy: string }} Shortfall what is needed and what is here instead; what to do */

/**
 * @param {Machine} machine
 * @param {Needs} needs
 * @returns {Shortfall[]} empty when the machine will do
 */
export function findShortfalls(machine, needs) {
  const platform = findPlatformShortfalls(machine)
  // The kernel of another system has nothing to say about Linux.
  if (machine.platform !== 'linux') return platform
  return [
    ...platform,
    ...(needs.root ? findPrivilegeShortfalls(machine) : []),
    ...(needs.kernel ? findKernelShortfalls(machine) : []),
    ...findPackageShortfalls(machine, needs),
  ]
}

/**
 * @param {Machine} machine
 * @returns {Shortfall[]}
 */
function findPlatformShortfalls({ platform, architecture }) {
  const shortfalls = []
  if (platform !== 'linux') {
    shortfalls.push({
      need: `Linux, but this is ${platform}`,
      remedy: 'use a Linux machine or virtual machine, such as Debian 12',
    })
  }
  if (!ARCHITECTURES.includes(architecture)) {
    shortfalls.push({
      need: `an x86-64 or arm64 processor, but this is ${architecture}`,
      remedy: 'use a machine with one of these',
    })
  }
  return shortfalls
}

/**
 * @param {Machine} machine
 * @returns {Shortfall[]}
 */
function findPrivilegeShortfalls({ userId, capabilities, underSudo, bpf }) {
  if (userId !== 0) {
    return [
      {
        need: `root, but this is user ${userId}`,
        remedy: underSudo
          ? 'this npm gives up root in a folder of another user: use sudo node scripts/start.js in place of sudo npm'
          : 'run the same command as root, for example with sudo',
      },
    ]
  }
  const lacking = Object.entries(CAPABILITIES).flatMap(([name, bit]) =>
    (capabilities >> BigInt(bit)) & 1n ? [] : [name],
  )
  if (lacking.length > 0) {
    return [
      {
        need: `the capabilities ${lacking.join(', ')}; this root is without them, as in a container`,
        remedy: 'run it on the machine itself, in a virtual machine, or in a privileged container',
      },
    ]
  }
  if (bpf === 'refused') {
    return [
      {
        need: 'permission to use BPF, but bpf(2) is refused even to this root',
        remedy: "leave the container or loosen its seccomp profile, or turn the kernel's lockdown off",
      },
    ]
  }
  return []
}

/**
 * @param {Machine} machine
 * @returns {Shortfall[]}
 */
function findKernelShortfalls({ kernelRelease, bpf, btf, cgroup2, namespaces }) {
  const shortfalls = []
  const kernel = parseKernelRelease(kernelRelease)
  const { major, minor } = OLDEST_KERNEL
  if (!kernel || kernel.major < major || (kernel.major === major && kernel.minor < minor)) {
    shortfalls.push({
      need: `kernel ${major}.${minor} or newer, but this is ${kernelRelease}`,
      remedy: 'boot a newer one: Debian 12 has 6.1, and 6.6 or newer is recommended',
    })
  }
  if (bpf === 'missing') {
    shortfalls.push({
      need: 'BPF, but this kernel has no bpf(2)',
      remedy: 'boot a kernel built with CONFIG_BPF_SYSCALL=y',
    })
  }
  if (!btf) {
    shortfalls.push({
      need: 'BTF of the kernel, but there is no /sys/kernel/btf/vmlinux',
      remedy: 'boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, and have /sys mounted',
    })
  }
  if (cgroup2 === 'missing') {
    shortfalls.push({
      need: 'cgroup v2, but it is neither mounted nor known to this kernel',
      remedy: 'boot a kernel built with CONFIG_CGROUPS=y, and have /proc mounted',
    })
  }
  if (!namespaces) {
    shortfalls.push({
      need: 'network, mount and PID namespaces, but this kernel lacks one of them',
      remedy: 'boot a kernel built with CONFIG_NET_NS=y and CONFIG_PID_NS=y, and have /proc mounted',
    })
  }
  return shortfalls
}

/**
 * @param {Machine} machine
 * @param {Needs} needs
 * @returns {Shortfall[]}
 */
function findPackageShortfalls(machine, { root, debianPackages, npmPackages }) {
  const shortfalls = []
  const names = debianPackages.join(', ')
  if (debianPackages.length > 0 && !machine.aptGet) {
    shortfalls.push({
      need: `the Debian packages ${names}, but there is no apt-get to install them`,
      remedy: "install what they contain with this system's own package manager, or use Debian 12",
    })
  } else if (debianPackages.length > 0 && machine.userId !== 0 && !root) {
    shortfalls.push({
      need: `the Debian packages ${names}, but they are not installed and this is not root`,
      remedy: `run the same command as root once, or: sudo apt-get install ${debianPackages.join(' ')}`,
    })
  }
  if (npmPackages && !machine.npm) {
    shortfalls.push({
      need: 'npm, but it is not installed',
      remedy: 'apt-get install npm, or take Node from nodejs.org, which brings it',
    })
  }
  return shortfalls
}

/**
 * @param {readonly Shortfall[]} shortfalls at least one
 * @param {string} purpose what was about to happen, such as "run the demo"
 * @returns {string} the one message; a single line when one thing is missing
 */
export function describeShortfalls(shortfalls, purpose) {
  const [first, ...others] = shortfalls
  if (first && others.length === 0) {
    return `cannot ${purpose}: it needs ${first.need}. What to do: ${first.remedy}. Nothing was changed.`
  }
  const lines = shortfalls.map(({ need, remedy }) => `  - ${need}\n      ${remedy}`)
  return `cannot ${purpose}. It needs:\n${lines.join('\n')}\nNothing was changed.`
}

/**
 * @param {string} release such as `6.1.0-18-amd64`
 * @returns {{ major: number, minor: number } | undefined}
 */
export function parseKernelRelease(release) {
  const match = /^(\d+)\.(\d+)/.exec(release)
  return match ? { major: Number(match[1]), minor: Number(match[2]) } : undefined
}

/**
 * Reads the facts. Changes nothing: the one BPF map that it makes is gone with the process that made it.
 * @param {string} searchPath
 * @returns {Machine}
 */
export function readMachine(searchPath) {
  const userId = process.geteuid?.() ?? -1
  return {
    platform: process.platform,
    architecture: process.arch,
    kernelRelease: os.release(),
    userId,
    capabilities: BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(readIfThere('/proc/self/status') ?? '')?.[1] ?? '0'}`),
    bpf: probeBpf(userId, searchPath),
    btf: existsSync('/sys/kernel/btf/vmlinux'),
    cgroup2: probeCgroup2(),
    namespaces: ['net', 'mnt', 'pid'].every(name => existsSync(`/proc/self/ns/${name}`)),
    underSudo: process.env['SUDO_UID'] !== undefined,
    aptGet: findProgram('apt-get', searchPath) !== undefined,
    npm: findProgram('npm', searchPath) !== undefined,
  }
}

/** @returns {Machine['cgroup2']} */
function probeCgroup2() {
  if (/ cgroup2 /.test(readIfThere('/proc/self/mounts') ?? '')) return 'mounted'
  return /\bcgroup2$/m.test(readIfThere('/proc/filesystems') ?? '') ? 'mountable' : 'missing'
}

// Node cannot make a system call of its own, and koffi may not be installed yet; perl-base is essential on Debian, and can.
// The attributes are those of an array map: type 2, key and value of 4 bytes, 1 entry, no flags.
const MAKE_A_MAP = `
my $attr = pack("L5", 2, 4, 4, 1, 0) . ("\\0" x 100);
my $fd = syscall($ARGV[0], 0, $attr, length $attr);
print $fd >= 0 ? "works" : $!{ENOSYS} ? "missing" : $!{EPERM} || $!{EACCES} ? "refused" : "unknown";`

/**
 * @param {number} userId
 * @param {string} searchPath
 * @returns {Machine['bpf']}
 */
function probeBpf(userId, searchPath) {
  // The sysctl is there exactly when the kernel has the system call.
  if (existsSync('/proc/sys/kernel') && !existsSync('/proc/sys/kernel/unprivileged_bpf_disabled')) return 'missing'
  const perl = findProgram('perl', searchPath)
  if (userId !== 0 || perl === undefined) return 'unknown'
  const number = process.arch === 'arm64' ? '280' : '321'
  const { stdout } = spawnSync(perl, ['-MErrno', '-e', MAKE_A_MAP, number], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return stdout === 'works' || stdout === 'missing' || stdout === 'refused' ? stdout : 'unknown'
}
