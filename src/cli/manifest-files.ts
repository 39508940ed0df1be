// Reads manifests for commands that judge them: warnings go to standard error, an error
// ends the command, since an answer without the faulty object would be wrong.

import fs from 'node:fs'
import path from 'node:path'
import { formatProblem, type ManifestObject, type Problem, parseManifests } from '../manifests/index.ts'
import { isExpectations, withWorkloadPods } from '../policy/index.ts'
import { isManifestName } from '../sources/folders.ts'
import { colours as pc } from './colours.ts'

export class ManifestError extends Error {
  override readonly name = 'ManifestError'
  readonly code = 'BAD_MANIFESTS'
}

/**
 * Reads files and folders (`-` is standard input) and makes something of all objects in them.
 * @throws ManifestError after printing every problem
 */
export function readManifests<Result extends { readonly problems: readonly Problem[] }>(
  paths: readonly string[],
  make: (objects: readonly ManifestObject[]) => Result,
): Result {
  const { objects, problems } = readObjects(paths)
  const result = make(objects)
  reportProblems([...problems, ...result.problems])
  return result
}

/** The objects of files and folders, and what is wrong with their text. @throws ManifestError when one cannot be read */
export function readObjects(paths: readonly string[]): {
  readonly objects: readonly ManifestObject[]
  readonly problems: readonly Problem[]
} {
  const parsed = paths
    .flatMap(manifestFiles)
    .map(file => parseManifests(readManifestText(file), file === '-' ? '(standard input)' : file))
  return {
    objects: parsed.flatMap(({ objects }) => objects),
    problems: parsed.flatMap(({ problems }) => problems),
  }
}

/** What a cluster is judged by: workloads have pods, and expectations are left out. */
export function clusterObjects(objects: readonly ManifestObject[]): ManifestObject[] {
  return withWorkloadPods(objects.filter(object => !isExpectations(object)))
}

/** Prints problems. @throws ManifestError when one of them is an error */
export function reportProblems(problems: readonly Problem[]): void {
  for (const problem of problems)
    console.error(problem.severity === 'error' ? pc.red(formatProblem(problem)) : pc.yellow(formatProblem(problem)))
  const errors = problems.filter(problem => problem.severity === 'error').length
  if (errors > 0)
    throw new ManifestError(`${errors} error${errors === 1 ? '' : 's'} in the manifests; nothing was done`)
}

/**
 * A file itself; of a folder, the manifest files in it and below it, sorted. As for the agent, links to folders are not
 * followed and hidden folders are left out; so is what only has the name of a manifest: a pipe, which would never end.
 */
export function manifestFiles(target: string): string[] {
  return target === '-' || !isFolder(target) ? [target] : filesBelow(target)
}

const filesBelow = (folder: string): string[] =>
  fs
    .readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(entry => {
      const full = path.join(folder, entry.name)
      if (entry.isDirectory()) return entry.name.startsWith('.') ? [] : filesBelow(full)
      return isManifestName(entry.name) && mayBeFile(full) ? [full] : []
    })

/** A link to nowhere may be one: whoever reads it says so. */
const mayBeFile = (file: string): boolean => fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? true

function isFolder(target: string): boolean {
  try {
    return fs.statSync(target).isDirectory()
  } catch (error) {
    throw new ManifestError(`${target} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

/** @throws ManifestError */
export function readManifestText(file: string): string {
  try {
    return file === '-' ? readStandardInput() : fs.readFileSync(file, 'utf8')
  } catch (error) {
    throw new ManifestError(`${file} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

/** All of it. A pipe may be one that does not wait: then this does, while the program before it has nothing to say yet. */
function readStandardInput(): string {
  const chunks: Buffer[] = []
  const buffer = Buffer.alloc(65536)
  for (;;) {
    const length = readOrWait(buffer)
    if (length === 0) return Buffer.concat(chunks).toString('utf8')
    if (length !== undefined) chunks.push(Buffer.from(buffer.subarray(0, length)))
  }
}

/** How much was read, 0 at the end, undefined when there was nothing yet. */
function readOrWait(buffer: Buffer): number | undefined {
  try {
    return fs.readSync(0, buffer)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    if (error.code === 'EOF') return 0
    if (error.code !== 'EAGAIN') throw error
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAIT_MS)
    return undefined
  }
}

const WAIT_MS = 10
