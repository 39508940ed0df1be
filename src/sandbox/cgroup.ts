// Control groups (version 2) as the sandbox's life line: every process of it is in one sub-tree, and killing that tree
// ends all of them at once, with their mounts, namespaces and devices. Needs no controller. Leaves to the caller which
// process goes where.

import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { check } from '../sys/errors.ts'
import { addressOf, keepAlive, SYSCALL, stableBuffer, syscall } from '../sys/native.ts'
import { SandboxError } from './errors.ts'

const FSCONFIG_CMD_CREATE = 6
const EMPTY_TREE_TIMEOUT_MS = 10_000
const RETRY_MS = 10

let ownMount: string | undefined

/**
 * Root folder of the hierarchy. Where none is mounted (or only read-only, as in some containers), one is mounted without
 * a place in the file system: it can be reached through this process as long as this process lives.
 * @throws SandboxError `unsupported`
 */
export function cgroupRoot(mounts = fs.readFileSync('/proc/self/mounts', 'utf8')): string {
  const mounted = mounts
    .split('\n')
    .map(line => line.split(' '))
    .find(([, , type, options]) => type === 'cgroup2' && options?.split(',').includes('rw'))
  if (mounted?.[1])
    return mounted[1].replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))
  ownMount ??= mountDetached()
  return ownMount
}

function mountDetached(): string {
  try {
    const type = stableBuffer(16)
    type.write('cgroup2')
    const context = check('open the cgroup2 file system', syscall(SYSCALL.fsopen, addressOf(type), 1))
    keepAlive(type)
    check('make a cgroup2 mount', syscall(SYSCALL.fsconfig, context, FSCONFIG_CMD_CREATE))
    const mount = check('make a cgroup2 mount', syscall(SYSCALL.fsmount, context, 1))
    fs.closeSync(context)
    return `/proc/${process.pid}/fd/${mount}`
  } catch (error) {
    throw new SandboxError('unsupported', 'this kernel has no control groups version 2; the sandbox needs them', {
      cause: error,
    })
  }
}

export function exists(folder: string): boolean {
  return fs.existsSync(path.join(folder, 'cgroup.procs'))
}

export function create(folder: string): string {
  fs.mkdirSync(folder, { recursive: true })
  return folder
}

/** Processes of the group and of all groups below it. */
export function processes(folder: string): number[] {
  return subtree(folder).flatMap(group =>
    readIfThere(path.join(group, 'cgroup.procs')).split('\n').filter(Boolean).map(Number),
  )
}

/** Kills everything in the sub-tree, also what is being forked at the moment. Returns before it is all gone. */
export function kill(folder: string): void {
  fs.writeFileSync(path.join(folder, 'cgroup.kill'), '1')
}

/**
 * Kills everything in the sub-tree, waits until it is gone, and removes the groups.
 * @returns how many processes there were
 * @throws SandboxError `failed` when a process does not end
 */
export async function remove(folder: string, signal?: AbortSignal): Promise<number> {
  if (!exists(folder)) return 0
  const found = processes(folder).length
  kill(folder)
  const deadline = performance.now() + EMPTY_TREE_TIMEOUT_MS
  while (!removeFolders(folder)) {
    signal?.throwIfAborted()
    if (performance.now() > deadline) {
      const left = processes(folder)
      throw new SandboxError('failed', `cannot remove ${folder}: processes ${left.join(', ') || '?'} do not end`)
    }
    await sleep(RETRY_MS)
  }
  return found
}

/** @returns false while a group is still in use */
function removeFolders(folder: string): boolean {
  try {
    for (const group of subtree(folder).reverse()) fs.rmdirSync(group)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return !exists(folder)
    // A group stays busy until its last process has been collected, and a new group may have been made since the listing.
    if (code === 'EBUSY' || code === 'ENOTEMPTY') return false
    throw error
  }
}

/** The group and all below it, parents first. */
function subtree(folder: string): string[] {
  let entries: fs.Dirent[]
  try {
    entries = fs.readdirSync(folder, { withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  const children = entries.filter(entry => entry.isDirectory()).map(entry => path.join(folder, entry.name))
  return [folder, ...children.flatMap(subtree)]
}

function readIfThere(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '')) return ''
    throw error
  }
}
