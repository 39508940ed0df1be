// The package as users install it: `npm pack` of what the sources compile to, unpacked
// beside the packages that it needs, in a folder of its own. Needs no network.

import { execFile } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const COMPILER = path.join(ROOT, 'node_modules/typescript/bin/tsc')

/** What `axoneme/policy` needs of other packages. */
const POLICY_NEEDS = ['zod', 'yaml'] as const

export type PackedPackage = Disposable & {
  /** Where a user's own files would be: `node_modules` beside it has the package. */
  readonly folder: string
  /** Files in the package, relative to it. */
  readonly files: readonly string[]
}

/** @throws with npm's or the compiler's output */
export async function packAxoneme(): Promise<PackedPackage> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-package-'))
  try {
    const stage = path.join(folder, 'stage')
    for (const part of ['package.json', 'bin', 'NOTICE'])
      fs.cpSync(path.join(ROOT, part), path.join(stage, part), { recursive: true })
    await compile(['--project', path.join(ROOT, 'tsconfig.build.json'), '--outDir', path.join(stage, 'dist')])
    const packed = await npm(['pack', '--ignore-scripts', '--json', '--pack-destination', folder], stage)
    const [{ filename, files }] = JSON.parse(packed) as [{ filename: string; files: { path: string }[] }]
    fs.rmSync(stage, { recursive: true })
    const modules = path.join(folder, 'node_modules')
    fs.mkdirSync(modules)
    await run('tar', [
      '--extract',
      '--gzip',
      '--no-same-owner',
      '--file',
      path.join(folder, filename),
      '--directory',
      modules,
    ])
    fs.renameSync(path.join(modules, 'package'), path.join(modules, 'axoneme'))
    for (const name of POLICY_NEEDS) fs.symlinkSync(path.join(ROOT, 'node_modules', name), path.join(modules, name))
    return {
      folder,
      files: files.map(file => file.path),
      [Symbol.dispose]: () => fs.rmSync(folder, { recursive: true, force: true }),
    }
  } catch (error) {
    fs.rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

/** Runs the project's TypeScript. @throws Error with its messages */
export async function compile(args: readonly string[], cwd = ROOT): Promise<void> {
  try {
    await run(process.execPath, [COMPILER, '--pretty', 'false', ...args], { cwd })
  } catch (error) {
    throw new Error(`tsc ${args.join(' ')}\n${(error as { stdout?: string }).stdout}`, { cause: error })
  }
}

/** npm on the Node that it came with. A cache of its own, so that it leaves nothing at home. */
async function npm(args: readonly string[], cwd: string): Promise<string> {
  const ours = path.dirname(process.execPath)
  const searchPath = (process.env['PATH'] ?? '')
    .split(':')
    .filter(folder => folder !== ours && !folder.endsWith('.bin'))
  const cache = path.join(cwd, '../npm-cache')
  const env = {
    ...process.env,
    PATH: searchPath.join(':'),
    npm_config_cache: cache,
    npm_config_update_notifier: 'false',
  }
  const { stdout } = await run('npm', [...args], { cwd, env })
  fs.rmSync(cache, { recursive: true, force: true })
  return stdout
}
