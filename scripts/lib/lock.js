// One set-up at a time in a checkout. The lock is flock(2) on an open file, taken through util-linux's `flock` on our descriptor:
// the kernel lets go of it when this process ends, however it ends, so there is no stale lock to clear.

import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import path from 'node:path'
import { SetUpError } from './errors.js'
import { run } from './programs.js'

/**
 * Runs `work` while holding the lock; waits for another set-up to finish first.
 * @template T
 * @param {string} file made when missing
 * @param {() => void} onWait told once, when somebody else holds the lock
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(file, onWait, work) {
  mkdirSync(path.dirname(file), { recursive: true })
  const descriptor = openSync(file, 'a')
  try {
    if (!lockNow(descriptor)) {
      onWait()
      await waitForLock(file, descriptor)
    }
    return await work()
  } finally {
    closeSync(descriptor)
  }
}

/**
 * @param {number} descriptor
 * @returns {boolean} false when somebody else holds it
 */
function lockNow(descriptor) {
  // The lock belongs to the open file, which the child shares with us, so it stays ours when `flock` has gone.
  const result = spawnSync('flock', ['--nonblock', '3'], { stdio: ['ignore', 'ignore', 'ignore', descriptor] })
  if (result.error) throw new SetUpError('`flock` is missing: install util-linux', { cause: result.error })
  return result.status === 0
}

/**
 * @param {string} file
 * @param {number} descriptor
 */
async function waitForLock(file, descriptor) {
  do {
    // Sleeps in the kernel until the holder is gone, on a descriptor of its own; then we are one of those who try.
    const { code, output } = await run('flock', ['--shared', file, 'true'])
    if (code !== 0) throw new SetUpError(`waiting for ${file} failed`, { output })
  } while (!lockNow(descriptor))
}
