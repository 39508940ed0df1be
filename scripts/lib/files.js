// Reading and writing files. They are made whole or not at all: written beside their place and renamed into it, so an interrupted
// run leaves what was there before.

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'

/**
 * @template T
 * @param {string} file
 * @param {(temporary: string) => T} write
 * @returns {T}
 */
export function replaceFile(file, write) {
  mkdirSync(path.dirname(file), { recursive: true })
  const temporary = `${file}.${process.pid}.tmp`
  try {
    const result = write(temporary)
    renameSync(temporary, file)
    return result
  } finally {
    rmSync(temporary, { force: true })
  }
}

/**
 * @param {string} file
 * @returns {string | undefined} its text, or undefined when it cannot be read
 */
export function readIfThere(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/**
 * @param {string} folder
 * @param {string} [prefix]
 * @returns {string[]} every file below, relative to it, sorted; none when there is no such folder
 */
export function listFiles(folder, prefix = '') {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(entry => {
      const name = prefix + entry.name
      return entry.isDirectory() ? listFiles(path.join(folder, entry.name), `${name}/`) : [name]
    })
}
