// `axoneme policy reach`: who may reach whom, computed from manifests. Its table may have
// millions of rows, so it is printed as it is computed.

import { Command, InvalidArgumentError, Option } from 'commander'
import { stringify } from 'yaml'
import {
  type ClusterPod,
  type EnforcementMode,
  parsePorts,
  podName,
  type ReachPort,
  type ReachRow,
  reach,
  readCluster,
  rulesWord,
  seenWord,
} from '../policy/index.ts'
import { colours as pc } from './colours.ts'
import { printJsonList, printLines } from './long-output.ts'
import { clusterObjects, readManifests } from './manifest-files.ts'
import { type OutputFormat, outputOption } from './output.ts'
import { enforcementOption } from './policy-options.ts'

type ReachOptions = {
  readonly filename: readonly string[]
  readonly ports: readonly ReachPort[]
  readonly family?: string
  readonly policyEnforcement: EnforcementMode
  readonly output: OutputFormat
}

export function policyReachCommand(): Command {
  return new Command('reach')
    .description('who may reach whom, computed from manifests; needs no agent and no root')
    .requiredOption('-f, --filename <path...>', 'files and folders with pods, namespaces and policies')
    .requiredOption('--ports <list>', 'such as 80/TCP,53/UDP,http', portList)
    .addOption(new Option('--family <family>', 'judge addresses of this IP family only').choices(['4', '6']))
    .addOption(enforcementOption())
    .addOption(outputOption())
    .action(({ filename, ports, family, policyEnforcement: enforcement, output }: ReachOptions) => {
      const { cluster } = readManifests(filename, objects => readCluster(clusterObjects(objects), { enforcement }))
      const rows = reach(cluster, ports, family ? { family: family === '6' ? 6 : 4 } : {})
      if (output === 'json') printJsonList(rows)
      else if (output === 'yaml') printLines(yamlLines(rows))
      else printLines(tableLines(rows, cluster.content.pods))
    })
}

function* yamlLines(rows: Iterable<ReachRow>): Generator<string> {
  let isEmpty = true
  for (const row of rows) {
    yield stringify([row]).trimEnd()
    isEmpty = false
  }
  if (isEmpty) yield '[]'
}

/** Columns side by side, as other tables are, with room for the longest name. */
function* tableLines(rows: Iterable<ReachRow>, pods: readonly ClusterPod[]): Generator<string> {
  const nameWidth = Math.max(4, ...pods.map(pod => podName(pod).length)) + 3
  const line = (from: string, to: string, port: string, verdict: string): string =>
    `${from.padEnd(nameWidth)}${to.padEnd(nameWidth)}${port.padEnd(PORT_WIDTH)}${verdict}`
  yield pc.bold(line('FROM', 'TO', 'PORT', 'VERDICT'))
  for (const row of rows) yield line(row.from, row.to, `${row.port}/${row.protocol}`, verdictText(row))
}

const verdictText = ({ verdict, rules = [], seen = [] }: ReachRow): string =>
  [verdict, ...rules.map(parser => rulesWord({ parser })), ...seen.map(parser => seenWord({ parser }))].join(', ')

const PORT_WIDTH = '65535/SCTP'.length + 3

function portList(text: string): readonly ReachPort[] {
  const ports = parsePorts(text)
  if (typeof ports === 'string') throw new InvalidArgumentError(ports)
  return ports
}
