// `axoneme policy test`: whether manifests let reach whom they should, and nobody else,
// by files of expectations.

import type { Command } from 'commander'
import { Option } from 'commander'
import {
  type EnforcementMode,
  type ExpectationResult,
  failureLines,
  isExpectations,
  junitReport,
  readCluster,
  readExpectations,
  runExpectations,
  tapReport,
} from '../policy/index.ts'
import { colours as pc } from './colours.ts'
import { clusterObjects, ManifestError, reportProblems } from './manifest-files.ts'
import { counted, FOUND, judging, offlineCommand, soundObjects } from './offline-command.ts'
import { jsonDecider } from './policy-json.ts'
import { enforcementOption } from './policy-options.ts'

const FORMATS = ['text', 'json', 'junit', 'tap'] as const
type TestOptions = { readonly output: (typeof FORMATS)[number]; readonly policyEnforcement: EnforcementMode }

export function policyTestCommand(): Command {
  return offlineCommand('test')
    .description('whether manifests meet the expectations in PolicyExpectations; needs no agent and no root')
    .argument('<file...>', 'files and folders with manifests and expectations; - is standard input')
    .addOption(new Option('-o, --output <format>', 'how to print').choices(FORMATS).default('text'))
    .addOption(enforcementOption())
    .addHelpText('after', '\nExit codes: 0 all met, 1 some not met, 2 wrong use or manifests with errors.')
    .action(judging(runTest))
}

function runTest(paths: readonly string[], { output, policyEnforcement: enforcement }: TestOptions): void {
  const objects = soundObjects(paths)
  const read = objects.filter(isExpectations).map(readExpectations)
  if (read.length === 0)
    throw new ManifestError(
      `there are no expectations in ${paths.join(', ')}: an object of kind PolicyExpectations says who may reach whom`,
    )
  const { cluster, problems } = readCluster(clusterObjects(objects), { enforcement })
  reportProblems([...problems, ...read.flatMap(each => each.problems)])
  const results = runExpectations(
    cluster,
    read.flatMap(({ expectations }) => expectations),
  )
  process.stdout.write(REPORTS[output](results))
  if (results.some(({ passed }) => !passed)) process.exitCode = FOUND
}

const REPORTS: Readonly<Record<TestOptions['output'], (results: readonly ExpectationResult[]) => string>> = {
  text: textReport,
  json: results => `${JSON.stringify(results.map(jsonResult), undefined, 2)}\n`,
  junit: junitReport,
  tap: tapReport,
}

const MOST_LINES = 10

function textReport(results: readonly ExpectationResult[]): string {
  const lines = results.flatMap(result => {
    const { name, file, line } = result.expectation
    if (result.passed) return [`${pc.green('✓')} ${name}`]
    const details = failureLines(result, MOST_LINES).map(text => `    ${text}`)
    return [`${pc.red('✗')} ${name} ${pc.dim(`(${file}:${line})`)}`, ...details]
  })
  const failed = results.filter(({ passed }) => !passed).length
  return `${[...lines, `${counted(results.length, 'expectation')}, ${failed} not met`].join('\n')}\n`
}

function jsonResult({ expectation, passed, pairs, problems, failures, failureCount }: ExpectationResult): object {
  const { suite, name, file, line } = expectation
  return {
    suite,
    name,
    file,
    line,
    passed,
    pairs,
    problems,
    failureCount,
    failures: failures.map(({ deciders, ...failure }) => ({ ...failure, deciders: deciders.map(jsonDecider) })),
  }
}
