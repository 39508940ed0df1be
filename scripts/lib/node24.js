// Finds the Node that the project runs on. It comes from npm as an optional package for this machine's architecture, so that a
// machine whose own Node is older works too; it is found by its path, because npm's PATH is not there when scripts run directly.

import path from 'node:path'
import { isExecutable } from './programs.js'

const WANTED_MAJOR = 24

/**
 * @param {string} root the checkout
 * @returns {string | undefined} absolute path
 */
export function findNode24(root) {
  const packaged = path.join(root, 'node_modules', `node-linux-${process.arch}`, 'bin/node')
  if (isExecutable(packaged)) return packaged
  return Number(process.versions.node.split('.')[0]) >= WANTED_MAJOR ? process.execPath : undefined
}
