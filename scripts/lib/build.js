// Compiles the C of the project into build/: the datapath's BPF objects and the small native programs. What is compiled is a list of
// folders; each file in them becomes one target. A target is compiled again when its command, its source or a header beside it
// changed, by content. Results are renamed into place and their stamps written last.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { MULTIARCH_INCLUDE } from './debian-packages.js'
import { SetUpError } from './errors.js'
import { listFiles, readIfThere } from './files.js'
import { run } from './programs.js'

// -mcpu=v3 is what every supported kernel's verifier knows; the default depends on the compiler's version. libbpf's headers and the
// kernel's are the system's own. -g makes BTF; llvm-strip then drops DWARF and keeps BTF.
const BPF_FLAGS = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', '-Wall', '-Wextra', '-Werror', `-I${MULTIARCH_INCLUDE}`]
const NATIVE_FLAGS = ['-O2', '-std=gnu11', '-Wall', '-Wextra', '-Werror']

/**
 * @typedef {object} SourceFolder
 * @property {string} folder
 * @property {'objects' | 'programs' | 'program'} makes objects: each NAME.bpf.c becomes NAME.o; programs: each NAME.c becomes the
 *   program NAME; program: all of them together become one program, named after the folder
 * @property {string} output folder of the results
 * @property {readonly string[]} flags
 */

/** @type {readonly SourceFolder[]} */
export const SOURCE_FOLDERS = [
  { folder: 'bpf', makes: 'objects', output: 'build', flags: BPF_FLAGS },
  // Static: they start faster, and run where there is no library folder.
  { folder: 'src/sandbox/pod-init', makes: 'program', output: 'build', flags: [...NATIVE_FLAGS, '-static'] },
  { folder: 'cni', makes: 'programs', output: 'build', flags: [...NATIVE_FLAGS, '-static'] },
  { folder: 'bench', makes: 'programs', output: 'build', flags: NATIVE_FLAGS },
]

/**
 * @typedef {object} Target
 * @property {string} output relative to the checkout
 * @property {readonly string[]} sources relative to the checkout
 * @property {(output: string) => readonly (readonly string[])[]} commands that make it
 * @property {string} stamp content hash of everything it depends on
 */

/**
 * @param {string} root
 * @param {readonly SourceFolder[]} [sourceFolders]
 * @returns {Target[]}
 */
export function listTargets(root, sourceFolders = SOURCE_FOLDERS) {
  return sourceFolders.flatMap(({ folder, makes, output, flags }) => {
    const files = listFiles(path.join(root, folder)).map(file => path.join(folder, file))
    const headers = files.filter(file => file.endsWith('.h'))
    const ending = makes === 'objects' ? '.bpf.c' : '.c'
    const sources = files.filter(file => file.endsWith(ending) && path.dirname(file) === folder)
    const target = (/** @type {string} */ name, /** @type {string[]} */ inputs) => {
      const commands = makes === 'objects' ? objectCommands(flags, inputs) : programCommands(flags, inputs)
      return {
        output: path.join(output, name),
        sources: inputs,
        commands,
        stamp: hash(root, [...inputs, ...headers], JSON.stringify(commands('OUTPUT'))),
      }
    }
    if (makes === 'program') return sources.length > 0 ? [target(path.basename(folder), sources)] : []
    return sources.map(source => target(path.basename(source, ending) + (makes === 'objects' ? '.o' : ''), [source]))
  })
}

/**
 * @param {readonly string[]} flags
 * @param {readonly string[]} sources
 * @returns {Target['commands']}
 */
const objectCommands = (flags, sources) => result => [
  ['clang', ...flags, '-c', ...sources, '-o', result],
  ['llvm-strip', '-g', result],
]

/**
 * @param {readonly string[]} flags
 * @param {readonly string[]} sources
 * @returns {Target['commands']}
 */
const programCommands = (flags, sources) => result => [['clang', ...flags, ...sources, '-o', result]]

/**
 * @param {string} root
 * @param {readonly SourceFolder[]} [sourceFolders]
 * @returns {Target[]} those whose result is missing or older than its sources
 */
export function findOutdated(root, sourceFolders = SOURCE_FOLDERS) {
  return listTargets(root, sourceFolders).filter(
    ({ output, stamp }) => !existsSync(path.join(root, output)) || readIfThere(stampFile(root, output)) !== stamp,
  )
}

/**
 * @param {readonly Target[]} targets
 * @param {{ root: string, searchPath: string, note: (line: string) => void }} options
 * @throws {SetUpError} with the output of every compiler run that failed
 */
export async function build(targets, { root, searchPath, note }) {
  const workFolder = path.join(root, 'build/.work')
  rmSync(workFolder, { recursive: true, force: true })
  mkdirSync(workFolder, { recursive: true })
  const waiting = [...targets]
  /** @type {{ target: Target, output: string }[]} */
  const failures = []
  const worker = async () => {
    for (let target = waiting.shift(); target; target = waiting.shift()) {
      note(target.output)
      const output = await compile(target, { root, searchPath, workFolder })
      if (output !== undefined) failures.push({ target, output })
    }
  }
  await Promise.all([worker(), worker()])
  rmSync(workFolder, { recursive: true, force: true })
  if (failures.length > 0) {
    throw new SetUpError(`these do not compile: ${failures.map(({ target }) => target.output).join(', ')}`, {
      output: failures.map(({ output }) => output).join('\n'),
    })
  }
}

/**
 * @param {Target} target
 * @param {{ root: string, searchPath: string, workFolder: string }} options
 * @returns {Promise<string | undefined>} the compiler's output when it failed
 */
async function compile({ output, commands, stamp }, { root, searchPath, workFolder }) {
  const result = path.join(workFolder, output.replaceAll('/', '-'))
  for (const [program = '', ...args] of commands(path.relative(root, result))) {
    const { code, output: text } = await run(program, args, { cwd: root, env: { ...process.env, PATH: searchPath } })
    if (code !== 0) return text
  }
  rmSync(stampFile(root, output), { force: true })
  mkdirSync(path.dirname(path.join(root, output)), { recursive: true })
  renameSync(result, path.join(root, output))
  mkdirSync(path.dirname(stampFile(root, output)), { recursive: true })
  writeFileSync(stampFile(root, output), stamp)
  return undefined
}

/**
 * @param {string} root
 * @param {string} output
 */
function stampFile(root, output) {
  return path.join(root, 'build/.stamps', output.replaceAll('/', '-'))
}

/**
 * @param {string} root
 * @param {readonly string[]} files
 * @param {string} commands
 */
function hash(root, files, commands) {
  const sum = createHash('sha256').update(commands)
  for (const file of files) sum.update(`\n${file}\n`).update(readFileSync(path.join(root, file)))
  return sum.digest('hex')
}
