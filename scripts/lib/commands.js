// What setup.js and start.js do once they know that Node is new enough: parse the command line, set up, run, and turn every outcome
// into one message and an exit status.

import { existsSync } from 'node:fs'
import path from 'node:path'
import { SetUpError } from './errors.js'
import { findNode24 } from './node24.js'
import { cleanSearchPath, endChildren, hand } from './programs.js'
import { createProgress } from './progress.js'
import { ROOT } from './root.js'
import { setUp } from './set-up.js'

/** A test that hangs fails after this long instead of holding CI for ever. */
const TEST_TIMEOUT_MS = 600_000
const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])
const INTERRUPTED_STATUS = 130

/**
 * @typedef {object} Command
 * @property {string} summary
 * @property {import('./set-up.js').Purpose} purpose
 * @property {(args: readonly string[]) => readonly string[]} nodeArguments for Node 24, from the checkout
 */

/** @type {Omit<import('./set-up.js').Purpose, 'name'>} */
const EVERYTHING = {
  kernel: true,
  root: true,
  debianPackages: ['build', 'run'],
  npmPackages: true,
  build: 'always',
  dist: true,
}

/** @type {Readonly<Record<string, Command>>} */
export const COMMANDS = {
  demo: {
    summary: 'plays a short story in a sandbox; as root',
    purpose: { name: 'run the demo', ...EVERYTHING },
    nodeArguments: args => ['dist/cli/main.js', 'demo', ...args],
  },
  test: {
    summary: 'runs every check and every test; as root',
    purpose: { name: 'run the tests', ...EVERYTHING, debianPackages: ['build', 'run', 'test', 'bench'], dist: false },
    nodeArguments: testArguments,
  },
  check: {
    summary: 'types, lint, format, import rules and unit tests',
    purpose: {
      name: 'check',
      kernel: false,
      root: false,
      debianPackages: [],
      npmPackages: true,
      build: 'if possible',
      dist: false,
    },
    nodeArguments: args => ['scripts/check.ts', ...args],
  },
  format: {
    summary: 'lays out every file in the style of the house',
    purpose: {
      name: 'format',
      kernel: false,
      root: false,
      debianPackages: [],
      npmPackages: true,
      build: 'no',
      dist: false,
    },
    nodeArguments: args => ['scripts/format.ts', ...args],
  },
  bench: {
    summary: 'measures, each against its yardstick; as root',
    purpose: { name: 'run the benchmarks', ...EVERYTHING, debianPackages: ['build', 'run', 'bench'] },
    nodeArguments: args => ['bench/run.ts', ...args],
  },
}

/**
 * Arguments of node's test runner. Unit tests run in one process and each file of test/ in its own, one after the other: they share
 * the machine's kernel.
 * @param {readonly string[]} args options of `node --test`, and files that replace the usual ones
 */
export function testArguments(args) {
  const options = args.filter(arg => arg.startsWith('-'))
  const files = args.filter(arg => !arg.startsWith('-'))
  return [
    '--test',
    '--test-reporter=spec',
    '--test-concurrency=1',
    `--test-timeout=${TEST_TIMEOUT_MS}`,
    ...options,
    ...(files.length > 0 ? files : ['scripts/static-checks.ts', 'scripts/unit-tests.ts', 'test/**/*.test.ts']),
  ]
}

/** @param {readonly string[]} args of the command line */
export function runCommand(args) {
  return main(async () => {
    const [name = '', ...rest] = args
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
    if (!command) {
      const lines = Object.entries(COMMANDS).map(([each, { summary }]) => `  ${each.padEnd(6)} ${summary}`)
      throw new SetUpError(`${name ? `unknown command "${name}"` : 'no command given'}. Commands:\n${lines.join('\n')}`)
    }
    await interruptible(() => setUp(command.purpose, { root: ROOT, progress: createProgress(), say }))
    const node = requireNode24()
    const nodeArguments = command.nodeArguments(rest[0] === '--' ? rest.slice(1) : rest)
    const program = nodeArguments[0] ?? ''
    if (!program.startsWith('-') && !existsSync(path.join(ROOT, program)))
      throw new SetUpError(`${program} is not there`)
    return hand(node, nodeArguments, {
      cwd: ROOT,
      env: { ...process.env, PATH: `${path.dirname(node)}:${cleanSearchPath(process.env.PATH)}` },
    })
  })
}

/** @param {readonly string[]} args `--build` compiles only: no npm packages, and no datapath has to run here */
export function runSetup(args) {
  return main(async () => {
    const unknown = args.find(arg => arg !== '--build')
    if (unknown !== undefined)
      throw new SetUpError(`unknown argument "${unknown}". Usage: node scripts/setup.js [--build]`)
    const startedAt = performance.now()
    const buildOnly = args.includes('--build')
    await interruptible(() =>
      setUp(
        buildOnly
          ? {
              name: 'build',
              kernel: false,
              root: false,
              debianPackages: ['build'],
              npmPackages: false,
              build: 'always',
              dist: true,
            }
          : { name: 'set up', ...EVERYTHING, root: false, debianPackages: ['build', 'run', 'test', 'bench'] },
        { root: ROOT, progress: createProgress(), say },
      ),
    )
    say(`${buildOnly ? 'built' : 'set up'} (${((performance.now() - startedAt) / 1000).toFixed(1)} s)`)
    return 0
  })
}

function requireNode24() {
  const node = findNode24(ROOT)
  if (node === undefined) throw new SetUpError('no Node 24 in node_modules: run `npm run setup`')
  return node
}

/** @param {string} message */
function say(message) {
  console.error(`axoneme: ${message}`)
}

/**
 * Lets a signal end the children first, so that the lock is held until they are gone. A second signal ends us at once.
 * @param {() => Promise<void>} work
 */
async function interruptible(work) {
  let interrupted = false
  const onSignal = (/** @type {NodeJS.Signals} */ signal) => {
    if (interrupted) process.exit(INTERRUPTED_STATUS)
    interrupted = true
    endChildren(signal)
  }
  for (const signal of SIGNALS) process.on(signal, onSignal)
  try {
    await work()
  } catch (error) {
    if (!interrupted) throw error
    throw new SetUpError('interrupted; the same command goes on from here', {
      cause: error,
      status: INTERRUPTED_STATUS,
    })
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal)
  }
}

/** @param {() => Promise<number>} work */
async function main(work) {
  try {
    process.exitCode = await work()
  } catch (error) {
    if (!(error instanceof SetUpError)) throw error
    if (error.output) console.error(error.output.trimEnd())
    say(error.message)
    process.exitCode = error.status
  }
}
