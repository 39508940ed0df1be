// One command at a time makes or removes a sandbox. The lock is the kernel's (flock), so it ends with its holder, however
// that ends; the file is removed with the lock.

import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SystemError } from '../sys/errors.ts'
import { SYSCALL, syscall } from '../sys/native.ts'
import { SandboxError } from './errors.ts'

const LOCK_EX = 2
const LOCK_NB = 4
const EAGAIN = 11
const RETRY_MS = 50

export type LockOptions = {
  /** How long to wait for another holder, in milliseconds. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  /** Called once, when there is something to wait for. */
  readonly onWait?: () => void
}

/**
 * Runs `body` as the only holder of the lock file.
 * @throws SandboxError `busy` after the time-out; what `body` throws
 */
export async function withLock<T>(file: string, options: LockOptions, body: () => Promise<T>): Promise<T> {
  const fd = await acquire(file, options)
  try {
    return await body()
  } finally {
    // Removed while it is held: who waits on it sees that its file is gone and starts again with the next one.
    fs.rmSync(file, { force: true })
    fs.closeSync(fd)
    removeIfEmpty(path.dirname(file))
  }
}

async function acquire(file: string, { timeoutMs, signal, onWait }: LockOptions): Promise<number> {
  const deadline = performance.now() + timeoutMs
  for (let first = true; ; first = false) {
    const fd = tryLock(file)
    if (fd !== undefined) return fd
    if (first) onWait?.()
    if (performance.now() > deadline)
      throw new SandboxError('busy', `another command is at work on this sandbox (it holds ${file}); try again later`)
    await sleep(RETRY_MS, undefined, { signal })
  }
}

function tryLock(file: string): number | undefined {
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
  const fd = fs.openSync(file, 'a', 0o600)
  const result = syscall(SYSCALL.flock, fd, LOCK_EX | LOCK_NB)
  if (result >= 0 && isStill(file, fd)) return fd
  fs.closeSync(fd)
  if (result < 0 && result !== -EAGAIN) throw new SystemError(`lock ${file}`, -result)
  return undefined
}

function isStill(file: string, fd: number): boolean {
  return fs.statSync(file, { throwIfNoEntry: false })?.ino === fs.fstatSync(fd).ino
}

function removeIfEmpty(folder: string): void {
  try {
    fs.rmdirSync(folder)
  } catch (error) {
    if (!['ENOTEMPTY', 'ENOENT', 'EBUSY'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}
