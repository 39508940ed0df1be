// Whose files the results are. With sudo, set-up runs as root in a folder of somebody else, who must be able to update and delete
// what it made there.

import { accessSync, constants, existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { run } from './programs.js'

/** @param {string} folder */
export function isWritable(folder) {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/**
 * When root works in a folder of another user, gives that user what was made in it.
 * @param {string} root
 * @param {readonly string[]} names of folders in it
 */
export async function giveToOwner(root, names) {
  const { uid, gid } = statSync(root)
  if (process.geteuid?.() !== 0 || uid === 0) return
  const folders = names.map(name => path.join(root, name)).filter(folder => existsSync(folder))
  await run('chown', ['--recursive', '--no-dereference', `${uid}:${gid}`, ...folders])
}
