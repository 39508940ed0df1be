// `axoneme policy check`: what is wrong with manifests, as a compiler would tell it.

import type { Command } from 'commander'
import { Option } from 'commander'
import { checkManifests } from '../policy/index.ts'
import { counted, FOUND, judging, offlineCommand, problemLine, someObjects } from './offline-command.ts'

type CheckOptions = { readonly strict?: boolean; readonly output: 'text' | 'json' }

export function policyCheckCommand(): Command {
  return offlineCommand('check')
    .description('what is wrong with manifests, with file, line and column; needs no agent and no root')
    .argument('<file...>', 'files and folders with manifests of any kind; - is standard input')
    .option('--strict', 'end with 1 for warnings too')
    .addOption(new Option('-o, --output <format>', 'how to print').choices(['text', 'json']).default('text'))
    .addHelpText('after', '\nExit codes: 0 nothing wrong, 1 errors, 2 wrong use or unreadable files.')
    .action(judging(check))
}

function check(paths: readonly string[], { strict, output }: CheckOptions): void {
  const read = someObjects(paths)
  const problems = [...read.problems, ...checkManifests(read.objects)]
  const errors = problems.filter(({ severity }) => severity === 'error').length
  const warnings = problems.length - errors
  if (output === 'json') console.log(JSON.stringify(problems, undefined, 2))
  else {
    for (const problem of problems) console.log(problemLine(problem))
    const found =
      problems.length === 0 ? 'nothing wrong' : `${counted(errors, 'error')}, ${counted(warnings, 'warning')}`
    console.log(`${counted(read.objects.length, 'object')}: ${found}`)
  }
  if (errors > 0 || (strict && warnings > 0)) process.exitCode = FOUND
}
