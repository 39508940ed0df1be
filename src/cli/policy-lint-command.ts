// `axoneme policy lint`: what is valid in policies and hardly meant.

import type { Command } from 'commander'
import { InvalidArgumentError, Option } from 'commander'
import { isLintId, LINT_RULES, type LintFinding, type LintId, lintManifests, readCluster } from '../policy/index.ts'
import { colours as pc } from './colours.ts'
import { clusterObjects, reportProblems } from './manifest-files.ts'
import { counted, FOUND, judging, offlineCommand, problemLine, soundObjects } from './offline-command.ts'

type LintOptions = {
  readonly disable: readonly LintId[]
  readonly warnOnly?: boolean
  readonly output: 'text' | 'json'
}

export function policyLintCommand(): Command {
  const width = Math.max(...Object.keys(LINT_RULES).map(id => id.length)) + 2
  const ids = Object.entries(LINT_RULES).map(([id, about]) => `  ${id.padEnd(width)}${about}`)
  return offlineCommand('lint')
    .description(
      'rules in manifests that do nothing, contradict or are wider than they look; needs no agent and no root',
    )
    .argument('<file...>', 'files and folders with pods, namespaces and policies; - is standard input')
    .option('--disable <id>', 'leave out findings of this id; may be given more than once', addId, [])
    .option('--warn-only', 'end with 0 whatever is found')
    .addOption(new Option('-o, --output <format>', 'how to print').choices(['text', 'json']).default('text'))
    .addHelpText('after', `\nIds:\n${ids.join('\n')}`)
    .addHelpText('after', '\nExit codes: 0 nothing found, 1 findings, 2 wrong use or manifests with errors.')
    .action(judging(runLint))
}

function addId(text: string, before: readonly LintId[]): readonly LintId[] {
  const ids = text.split(',').map(id => id.trim())
  const unknown = ids.find(id => !isLintId(id))
  if (unknown !== undefined) throw new InvalidArgumentError(`there is no "${unknown}"; --help lists the ids`)
  return [...before, ...ids.filter(isLintId)]
}

function runLint(paths: readonly string[], { disable, warnOnly, output }: LintOptions): void {
  const objects = clusterObjects(soundObjects(paths))
  const { cluster, problems } = readCluster(objects)
  // Warnings are for `check` to tell.
  reportProblems(problems.filter(({ severity }) => severity === 'error'))
  if (cluster.content.pods.length === 0)
    console.error(pc.yellow('there are no pods among the manifests: selectors and named ports are not judged'))
  const findings = lintManifests(objects, { disable: new Set(disable) })
  if (output === 'json') console.log(JSON.stringify(findings, undefined, 2))
  else for (const line of textLines(findings, cluster.content.policies.length)) console.log(line)
  if (findings.length > 0 && !warnOnly) process.exitCode = FOUND
}

function textLines(findings: readonly LintFinding[], policies: number): string[] {
  const of = policies === 1 ? '1 policy' : `${policies} policies`
  return [
    ...findings.map(finding => `${problemLine(finding)} ${pc.dim(`[${finding.id}]`)}`),
    `${of}: ${findings.length === 0 ? 'nothing found' : counted(findings.length, 'finding')}`,
  ]
}
