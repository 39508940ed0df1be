// What the commands for CI pipelines share: no agent, no root, and exit codes that tell
// what was found (1) from what could not be judged at all (2).

import { Command } from 'commander'
import { formatProblem, type ManifestObject, type Problem } from '../manifests/index.ts'
import { colours as pc } from './colours.ts'
import { ManifestError, readObjects, reportProblems } from './manifest-files.ts'

/** Found what was looked for: errors, findings, failed expectations, differences. */
export const FOUND = 1
/** Wrong use, files that cannot be read, manifests with errors. */
export const TROUBLE = 2

/** A command whose wrong use ends with TROUBLE. */
export function offlineCommand(name: string): Command {
  return new Command(name).exitOverride(error => process.exit(error.exitCode === 0 ? 0 : TROUBLE))
}

/** Runs an action that reads manifests; when it cannot, says so and ends with TROUBLE. */
export function judging<Arguments extends readonly unknown[]>(
  action: (...args: Arguments) => void,
): (...args: Arguments) => void {
  return (...args) => {
    try {
      action(...args)
    } catch (error) {
      if (!(error instanceof ManifestError)) throw error
      console.error(`${pc.red('axoneme:')} ${error.message}`)
      process.exitCode = TROUBLE
    }
  }
}

/** The objects of files and folders. @throws ManifestError when one has an error, or when there are none */
export function soundObjects(paths: readonly string[]): readonly ManifestObject[] {
  const { objects, problems } = someObjects(paths)
  reportProblems(problems)
  return objects
}

/** The objects and what is wrong with the rest. @throws ManifestError when there is neither: a wrong path is no clean result */
export function someObjects(paths: readonly string[]): ReturnType<typeof readObjects> {
  const read = readObjects(paths)
  if (read.objects.length + read.problems.length === 0)
    throw new ManifestError(`there are no manifests in ${paths.join(', ')}`)
  return read
}

/** A problem as compilers print it, the severity in its colour. */
export function problemLine(problem: Problem): string {
  return problem.severity === 'error' ? pc.red(formatProblem(problem)) : pc.yellow(formatProblem(problem))
}

/** `1 error`, `2 errors`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`
