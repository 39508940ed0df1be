// Finds and runs other programs. Every child started here has no stdin, leaves a bounded tail of its output for the error message,
// and gets the signal that ends this process, so that an interrupted set-up leaves no compiler or npm behind.

import { spawn } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import path from 'node:path'

const OUTPUT_LIMIT_CHARACTERS = 256 * 1024
/** A root shell made by plain `su` lacks these, and `ip` lives there. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin']

/**
 * The search path for children: the caller's, without the project's own node_modules/.bin (npm must not run on a Node that it is
 * about to replace), and with the folders of system programs.
 * @param {string | undefined} searchPath value of PATH
 */
export function cleanSearchPath(searchPath) {
  const folders = (searchPath ?? '')
    .split(':')
    .filter(folder => folder !== '' && !folder.endsWith('/node_modules/.bin'))
  return [...new Set([...folders, ...SYSTEM_FOLDERS])].join(':')
}

/**
 * Absolute path of an executable, or undefined.
 * @param {string} name
 * @param {string} searchPath
 */
export function findProgram(name, searchPath) {
  return searchPath
    .split(':')
    .map(folder => path.join(folder, name))
    .find(isExecutable)
}

/** @param {string} file */
export function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}

/** @type {Set<import('node:child_process').ChildProcess>} */
const children = new Set()

/** Ends every child that is still running; the caller is about to exit. @param {NodeJS.Signals} signal */
export function endChildren(signal) {
  for (const child of children) child.kill(signal)
}

/**
 * Runs a program to its end. Never throws for a failure of the program: look at `code`.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, onLine?: (line: string) => void }} [options]
 * @returns {Promise<{ code: number, output: string }>} code 127 when it could not be started, 128 when a signal ended it;
 *   output is the tail of stdout and stderr together
 */
export function run(program, args, options = {}) {
  return new Promise(resolve => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    children.add(child)
    let output = ''
    const collect = (/** @type {string} */ text) => {
      output = (output + text).slice(-OUTPUT_LIMIT_CHARACTERS)
      const line = text.trimEnd().split('\n').at(-1)
      if (line) options.onLine?.(line)
    }
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr.setEncoding('utf8').on('data', collect)
    const finish = (/** @type {number} */ code) => {
      children.delete(child)
      resolve({ code, output })
    }
    child.on('error', error => {
      collect(`${program}: ${error.message}\n`)
      finish(127)
    })
    child.on('close', code => finish(code ?? 128))
  })
}

/**
 * Runs the program that a command was asked for: it owns the terminal, gets our signals, and its exit status becomes ours.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd: string, env: NodeJS.ProcessEnv }} options
 * @returns {Promise<number>} exit status; 128 + signal number when a signal ended it
 */
export function hand(program, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...options, stdio: 'inherit' })
    // A terminal sends SIGINT to the whole group, so the child has it already; the others come to us alone.
    const forward = (/** @type {NodeJS.Signals} */ signal) => void child.kill(signal)
    const ignore = () => {}
    process.on('SIGINT', ignore)
    process.on('SIGTERM', forward)
    process.on('SIGHUP', forward)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      process.off('SIGINT', ignore)
      process.off('SIGTERM', forward)
      process.off('SIGHUP', forward)
      resolve(code ?? 128 + (signal ? (SIGNAL_NUMBERS[signal] ?? 0) : 0))
    })
  })
}

/** @type {Readonly<Record<string, number>>} */
const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 }
