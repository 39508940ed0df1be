// `axoneme observe`: flows of a node as they happen, one readable line each.

import { Command, Option } from 'commander'
import { stringify } from 'yaml'
import { FLOW_FILTERS, type Flow, type FlowFilter, flowLine } from '../observe/index.ts'
import { colours as pc } from './colours.ts'
import { agentOf, type ConnectionOptions, withConnection } from './connection.ts'
import { wholeNumber } from './output.ts'

type ObserveOptions = ConnectionOptions & {
  readonly follow: boolean
  readonly last?: number
  readonly output: 'compact' | 'json' | 'yaml'
}

/** Options that the agent filters by; their names are those of the API. */
const FILTERS: readonly (readonly [option: string, description: string])[] = [
  ['--pod <namespace/name>', 'only flows from or to this pod'],
  ['--service <namespace/name>', 'only flows of connections that were opened to this service'],
  ['--verdict <verdict>', 'only flows with this verdict, such as DROPPED, REDIRECTED or AUDIT'],
  [
    '--type <type>',
    'only flows of this type: l7 (requests), drop, trace (packets that pass), new, active, closed, related',
  ],
  ['--protocol <protocol>', 'only flows of this protocol, such as tcp, udp, http, dns, kafka or tls'],
  ['--http-method <method>', 'only requests with this method'],
  ['--http-path <expression>', 'only requests whose path and query have a match of this regular expression'],
  ['--http-url <expression>', 'the same of the whole URL'],
  ['--http-status <status>', 'only requests answered with this status, such as 404, or 5+ for those that begin with 5'],
  [
    '--http-header <name[:value]>',
    'only requests with this header, of those that the proxy tells (proxy --http-headers)',
  ],
  ['--dns-query <expression>', 'only questions of DNS whose name has a match of this regular expression'],
]

export function observeCommand(): Command {
  const command = withConnection(new Command('observe'))
    .description('show flows: who talks to whom and what is asked, the verdict, the reason and the rule')
    .option('-f, --follow', 'go on with new flows', false)
    .option('--last <count>', 'begin with so many of the newest flows (default: 20, or 0 with --follow)', wholeNumber)
  for (const [option, description] of FILTERS) command.option(option, description)
  return command
    .addOption(
      new Option('-o, --output <format>', 'how to print').choices(['compact', 'json', 'yaml']).default('compact'),
    )
    .action(async (options: ObserveOptions) => {
      const stop = new AbortController()
      process.once('SIGINT', () => stop.abort())
      const query = {
        ...(options.follow && { follow: '1' }),
        ...(options.last !== undefined && { last: String(options.last) }),
        ...filtersOf(command),
      }
      for await (const item of agentOf(options).flows<Flow | { readonly missed: number }>(query, stop.signal)) {
        if ('missed' in item) console.error(pc.yellow(`${item.missed} flows were missed: the reader was too slow`))
        else console.log(formatted(item, options.output))
      }
    })
}

function filtersOf(command: Command): FlowFilter {
  const given = FLOW_FILTERS.flatMap(name => {
    const option = command.options.find(({ long }) => long === `--${name}`)
    const value: unknown = option && command.getOptionValue(option.attributeName())
    if (typeof value !== 'string') return []
    return [[name, name === 'pod' || name === 'service' ? inNamespace(value) : value]]
  })
  return Object.fromEntries(given) as FlowFilter
}

const inNamespace = (name: string): string => (name.includes('/') ? name : `default/${name}`)

function formatted(flow: Flow, output: ObserveOptions['output']): string {
  if (output === 'json') return JSON.stringify(flow)
  return output === 'yaml' ? `---\n${stringify(flow).trimEnd()}` : coloured(flow)
}

function coloured(flow: Flow): string {
  const line = flowLine(flow)
  if (flow.verdict === 'AUDIT') return pc.yellow(line)
  return flow.verdict === 'DROPPED' || flow.verdict === 'ERROR' ? pc.red(line) : line
}
