// `axoneme policy`: the policies of an agent, and, without agent or root, who may reach
// whom by manifests alone.

import { Command, InvalidArgumentError, Option } from 'commander'
import { parsePorts, type ReachPort, reach, readCluster } from '../policy/index.ts'
import { readManifests } from './manifest-files.ts'
import { type OutputFormat, outputOption, print, tableText } from './output.ts'
import { policyCheckCommand } from './policy-check-command.ts'
import { policyGetCommand } from './policy-get.ts'
import { policyTestCommand } from './policy-test-command.ts'

export function policyCommand(): Command {
  return new Command('policy')
    .description('policies: those in force, and what policies in files would do')
    .addCommand(policyGetCommand())
    .addCommand(reachCommand())
    .addCommand(policyCheckCommand())
    .addCommand(policyTestCommand())
}

type ReachOptions = {
  readonly filename: readonly string[]
  readonly ports: readonly ReachPort[]
  readonly family?: string
  readonly output: OutputFormat
}

function reachCommand(): Command {
  return new Command('reach')
    .description('who may reach whom, computed from manifests; needs no agent and no root')
    .requiredOption('-f, --filename <path...>', 'files and folders with pods, namespaces and policies')
    .requiredOption('--ports <list>', 'such as 80/TCP,53/UDP,http', portList)
    .addOption(new Option('--family <family>', 'judge addresses of this IP family only').choices(['4', '6']))
    .addOption(outputOption())
    .action(({ filename, ports, family, output }: ReachOptions) => {
      const { cluster } = readManifests(filename, readCluster)
      const rows = [...reach(cluster, ports, family ? { family: family === '6' ? 6 : 4 } : {})]
      print(output, rows, all =>
        tableText(
          ['FROM', 'TO', 'PORT', 'VERDICT'],
          all.map(row => [row.from, row.to, `${row.port}/${row.protocol}`, row.verdict]),
        ),
      )
    })
}

function portList(text: string): readonly ReachPort[] {
  const ports = parsePorts(text)
  if (typeof ports === 'string') throw new InvalidArgumentError(ports)
  return ports
}
