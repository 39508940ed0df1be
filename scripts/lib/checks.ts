// The static checks, declared once: `npm run check` runs them beside the unit tests, `npm test` as tests of its own.
// Each is a program that ends with status 0 when all is well, and otherwise says on its output what is wrong and where.

import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { run } from './programs.js'
import { ROOT } from './root.js'
import { listSourceFiles } from './source-files.ts'

export type Check = {
  readonly name: string
  readonly program: string
  readonly args: readonly string[]
  /** Why the check cannot be made on this machine, if so. */
  readonly skip?: string | undefined
  /** Makes a tool's output short enough to read. */
  readonly digest?: (output: string) => string
}

export type CheckResult = {
  readonly check: Check
  readonly ok: boolean
  readonly seconds: number
  readonly output: string
}

/** The version that `.clang-format` is made for; others lay some code out differently. */
const CLANG_FORMAT_MAJOR = '14'

/** A tool from node_modules, run by the Node that runs us. */
const tool = (name: string, bin: string, ...args: string[]): Check => ({
  name,
  program: process.execPath,
  args: [`node_modules/.bin/${bin}`, ...args],
})

export function staticChecks(): Check[] {
  return [
    tool('types', 'tsc', '--project', '.', '--pretty', 'false'),
    tool('lint', 'oxlint', '--type-aware', '--deny-warnings', '--format=unix'),
    tool('format', 'biome', 'ci', '--colors=off', '--reporter=summary'),
    { name: 'import rules', program: process.execPath, args: ['scripts/check-imports.ts'] },
    { name: 'headers and links', program: process.execPath, args: ['scripts/check-text.ts'] },
    tool('unused code', 'knip', '--no-progress', '--no-config-hints'),
    cFormat(),
  ]
}

/** Each has its share of the files, so that both cores of a small machine are at work. */
const UNIT_TEST_PROCESSES = 2

export const UNIT_TESTS: readonly Check[] = Array.from({ length: UNIT_TEST_PROCESSES }, (_, i) => ({
  name: `unit tests ${i + 1}/${UNIT_TEST_PROCESSES}`,
  program: process.execPath,
  args: [
    // Tests make much that is gone at once; with a young generation this large it is gone before it is copied.
    '--max-semi-space-size=64',
    '--test',
    '--test-isolation=none',
    '--test-reporter=spec',
    '--test-timeout=30000',
    `--test-shard=${i + 1}/${UNIT_TEST_PROCESSES}`,
    'src/**/*.test.ts',
    'bench/**/*.test.ts',
    'scripts/**/*.test.ts',
    'test/scenarios/*.test.ts',
  ],
}))

/** Lays out everything that the two checks of format look at. */
export function formatters(): Check[] {
  const c = cFormat()
  return [tool('format', 'biome', 'check', '--write', '--colors=off'), { ...c, args: ['-i', ...cFiles()] }]
}

const cFiles = (): string[] => listSourceFiles(ROOT).filter(file => /\.[ch]$/.test(file))

function cFormat(): Check {
  const { stdout } = spawnSync('clang-format', ['--version'], { encoding: 'utf8' })
  const version = /version (\d+)/.exec(stdout ?? '')?.[1]
  const skip =
    version === CLANG_FORMAT_MAJOR
      ? undefined
      : `needs clang-format ${CLANG_FORMAT_MAJOR}; ${version ?? 'none'} is here`
  return {
    name: 'format of C',
    program: 'clang-format',
    args: ['--dry-run', '--Werror', ...cFiles()],
    skip,
    digest: filesToFormat,
  }
}

/** clang-format prints every line that it would change; what to do about them is one command. */
function filesToFormat(output: string): string {
  const files = [...new Set([...output.matchAll(/^(\S+\.[ch]):\d+:\d+: error:/gm)].map(([, file]) => file))]
  return files.length > 0
    ? `these are not in the style of .clang-format; put them right with npm run format:\n  ${files.join('\n  ')}`
    : output
}

/** Node keeps what it has compiled here: the tests start the command line some fifty times. */
const COMPILE_CACHE = path.join(ROOT, 'node_modules/.cache/axoneme-compiled')

export async function runCheck(check: Check): Promise<CheckResult> {
  const startedAt = performance.now()
  const { code, output } = await run(check.program, check.args, {
    cwd: ROOT,
    env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...process.env, NO_COLOR: '1' },
  })
  return {
    check,
    ok: code === 0,
    seconds: (performance.now() - startedAt) / 1000,
    output: code === 0 ? output : (check.digest?.(output) ?? output),
  }
}
