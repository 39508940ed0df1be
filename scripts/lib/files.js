// Makes files whole or not at all: they are written beside their place and renamed into it, so an interrupted run leaves what was
// there before.

import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
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
