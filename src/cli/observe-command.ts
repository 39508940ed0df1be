// `axoneme observe`: flows of a node as they happen, one readable line each.

import { Command, Option } from 'commander'
import { stringify } from 'yaml'
import { type Flow, flowLine } from '../observe/index.ts'
import { colours as pc } from './colours.ts'
import { agentOf, type ConnectionOptions, withConnection } from './connection.ts'
import { wholeNumber } from './output.ts'

type ObserveOptions = ConnectionOptions & {
  readonly follow: boolean
  readonly last?: number
  readonly pod?: string
  readonly verdict?: string
  readonly service?: string
  readonly output: 'compact' | 'json' | 'yaml'
}

export function observeCommand(): Command {
  return withConnection(new Command('observe'))
    .description('show flows: who talks to whom, the verdict, the reason and the rule')
    .option('-f, --follow', 'go on with new flows', false)
    .option('--last <count>', 'begin with so many of the newest flows (default: 20, or 0 with --follow)', wholeNumber)
    .option('--pod <namespace/name>', 'only flows from or to this pod')
    .option('--service <namespace/name>', 'only flows of connections that were opened to this service')
    .option('--verdict <verdict>', 'only flows with this verdict, such as DROPPED or AUDIT')
    .addOption(
      new Option('-o, --output <format>', 'how to print').choices(['compact', 'json', 'yaml']).default('compact'),
    )
    .action(async (options: ObserveOptions) => {
      const stop = new AbortController()
      process.once('SIGINT', () => stop.abort())
      const query = {
        ...(options.follow && { follow: '1' }),
        ...(options.last !== undefined && { last: String(options.last) }),
        ...(options.pod && { pod: inNamespace(options.pod) }),
        ...(options.service && { service: inNamespace(options.service) }),
        ...(options.verdict && { verdict: options.verdict.toUpperCase() }),
      }
      for await (const item of agentOf(options).flows<Flow | { readonly missed: number }>(query, stop.signal)) {
        if ('missed' in item) console.error(pc.yellow(`${item.missed} flows were missed: the reader was too slow`))
        else console.log(formatted(item, options.output))
      }
    })
}

const inNamespace = (name: string): string => (name.includes('/') ? name : `default/${name}`)

function formatted(flow: Flow, output: ObserveOptions['output']): string {
  if (output === 'json') return JSON.stringify(flow)
  return output === 'yaml' ? `---\n${stringify(flow).trimEnd()}` : coloured(flow)
}

function coloured(flow: Flow): string {
  const line = flowLine(flow)
  if (flow.verdict === 'AUDIT') return pc.yellow(line)
  return flow.verdict === 'DROPPED' ? pc.red(line) : line
}
