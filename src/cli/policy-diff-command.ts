// `axoneme policy diff`: what changes between two sets of manifests.

import type { Command } from 'commander'
import { Option } from 'commander'
import {
  type ChangeGroup,
  type Cluster,
  type ClusterDiff,
  diffClusters,
  type EnforcementMode,
  groupChanges,
  PlaceNames,
  type PortChange,
  portClassText,
  readCluster,
} from '../policy/index.ts'
import { colours as pc } from './colours.ts'
import { printJsonList } from './long-output.ts'
import { clusterObjects, reportProblems } from './manifest-files.ts'
import { counted, FOUND, judging, offlineCommand, soundObjects } from './offline-command.ts'
import { jsonDecider } from './policy-json.ts'
import { enforcementOption } from './policy-options.ts'

type DiffOptions = {
  readonly exitCode?: boolean
  readonly output: 'text' | 'json'
  readonly policyEnforcement: EnforcementMode
}

export function policyDiffCommand(): Command {
  return offlineCommand('diff')
    .description('which pairs and ports change between two sets of manifests; needs no agent and no root')
    .argument('<old>', 'a file or folder with pods, namespaces and policies')
    .argument('<new>', 'the same, changed')
    .option('--exit-code', 'end with 1 when something changes')
    .addOption(enforcementOption())
    .addOption(
      new Option('-o, --output <format>', 'how to print; json has every pair')
        .choices(['text', 'json'])
        .default('text'),
    )
    .addHelpText('after', '\nExit codes: 0, or 1 for changes with --exit-code; 2 wrong use or manifests with errors.')
    .action(judging(runDiff))
}

function runDiff(oldPath: string, newPath: string, { exitCode, output, policyEnforcement }: DiffOptions): void {
  const before = clusterOf(oldPath, policyEnforcement)
  const after = clusterOf(newPath, policyEnforcement, before)
  const diff = diffClusters(before, after)
  if (output === 'json') printJsonList(jsonRows(diff))
  else console.log(textOf(diff, after))
  const isSame = diff.pairs.length + diff.onlyBefore.length + diff.onlyAfter.length === 0
  if (exitCode && !isSame) process.exitCode = FOUND
}

function clusterOf(target: string, enforcement: EnforcementMode, like?: Cluster): Cluster {
  const objects = clusterObjects(soundObjects([target]))
  const { cluster, problems } = readCluster(objects, { enforcement, ...(like && { like }) })
  reportProblems(problems)
  return cluster
}

function* jsonRows({ pairs, onlyBefore, onlyAfter }: ClusterDiff): Generator<object> {
  for (const name of onlyBefore) yield { only: 'old', name }
  for (const name of onlyAfter) yield { only: 'new', name }
  for (const { from, to, family, changes } of pairs)
    for (const change of changes) yield { from, to, ...(family && { family }), ...jsonChange(change) }
}

const jsonChange = (change: PortChange): object => ({
  ports: portClassText(change),
  protocol: change.protocolName,
  first: change.first,
  last: change.last,
  old: change.before,
  new: change.after,
  oldDeciders: change.decidersBefore.map(jsonDecider),
  newDeciders: change.decidersAfter.map(jsonDecider),
})

/** Most groups, and most reasons of one, that people are shown. */
const MOST_GROUPS = 50
const MOST_REASONS = 3
const MOST_NAMES = 8

function textOf(diff: ClusterDiff, after: Cluster): string {
  const names = new PlaceNames(after.content.pods, diff.places)
  const groups = groupChanges(diff)
  const shown = groups.slice(0, MOST_GROUPS)
  const rest = groups.length - shown.length
  const pods = (list: readonly string[], side: string) =>
    list.length > 0 ? [`only in ${side}, not compared: ${shortened(list, MOST_NAMES, ', ')}`] : []
  return [
    ...shown.flatMap(group => groupLines(group, names)),
    ...(rest > 0 ? [`and ${rest} more groups of pairs; -o json has them all`] : []),
    ...pods(diff.onlyBefore, 'old'),
    ...pods(diff.onlyAfter, 'new'),
    diff.pairs.length === 0
      ? 'no pair changes'
      : `${counted(diff.pairs.length, 'pair')} ${diff.pairs.length === 1 ? 'changes' : 'change'}`,
  ].join('\n')
}

function groupLines({ from, to, family, lines, pairs }: ChangeGroup, names: PlaceNames): string[] {
  const list = (places: readonly string[]) => shortened(names.of(places), MOST_NAMES, ', ')
  const where = `${family ? ` over IPv${family}` : ''}${pairs > 1 ? pc.dim(` (${pairs} pairs)`) : ''}`
  return [
    `${pc.bold(`${list(from)} → ${list(to)}`)}${where}`,
    ...lines.flatMap(({ ports, before, after, because }) => {
      const isMore = after !== 'denied' && before === 'denied'
      const sign = after === 'denied' ? pc.red('-') : isMore ? pc.green('+') : pc.yellow('~')
      const shown = because.slice(0, MOST_REASONS)
      return [
        `  ${sign} ${ports}: ${before} → ${after}`,
        ...shown.map(text => `      ${text}`),
        ...(because.length > shown.length ? [`      and ${because.length - shown.length} more`] : []),
      ]
    }),
  ]
}

function shortened(list: readonly string[], most: number, separator: string): string {
  const rest = list.length - most
  return rest > 1 ? `${list.slice(0, most).join(separator)} and ${rest} more` : list.join(separator)
}
