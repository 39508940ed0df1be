// `axoneme services`: how the services of a node stand, one of them in full, and why an
// address leads where it leads, by an agent or by files alone.

import { Command, Option } from 'commander'
import { stringify } from 'yaml'
import {
  type AskedService,
  explainService,
  readServiceQuestion,
  type ServiceExplanation,
  ServiceQuestionError,
} from '../services/index.ts'
import { agentOf, type ConnectionOptions, withConnection } from './connection.ts'
import { clusterObjects, ManifestError, readManifests } from './manifest-files.ts'
import { type OutputFormat, outputOption, print } from './output.ts'
import { servicesWorld } from './services-offline.ts'
import { serviceDetailText, serviceListText } from './services-text.ts'
import { serviceExplanationText } from './services-why-text.ts'

type ListOptions = ConnectionOptions & { readonly output: OutputFormat; readonly namespace?: string }

type WhyOptions = ConnectionOptions & {
  readonly filename?: readonly string[]
  readonly from?: string
  readonly fromHost?: boolean
  readonly fromOutside?: string
  readonly source?: string
  readonly output: 'text' | 'json' | 'yaml'
}

export function servicesCommand(): Command {
  return withConnection(new Command('services'))
    .description('services of a node: frontends, backends, and whether the kernel has all of it')
    .argument('[name]', 'NAMESPACE/NAME, or NAME of the namespace, to tell more of')
    .option('-n, --namespace <name>', 'only this namespace; for a bare NAME without it default')
    .addOption(outputOption())
    .enablePositionalOptions()
    .addCommand(whyCommand())
    .action(async (name: string | undefined, options: ListOptions) => {
      const agent = agentOf(options)
      const { namespace, output } = options
      if (name !== undefined) {
        const [given = '', bare, ...rest] = name.split('/')
        if (rest.length > 0) throw new ManifestError(`${name} is no NAMESPACE/NAME of a service`)
        const detail = bare === undefined ? agent.service(namespace ?? 'default', given) : agent.service(given, bare)
        print(output, await detail, serviceDetailText)
        return
      }
      const rows = await agent.services()
      print(output, namespace === undefined ? rows : rows.filter(row => row.namespace === namespace), serviceListText)
    })
}

function whyCommand(): Command {
  return withConnection(new Command('why'))
    .description('why an address and port leads where it leads: frontend, backends, and what the kernel has of it')
    .argument('<target>', 'IP:PORT[/PROTOCOL], [IPV6]:PORT[/PROTOCOL], or NAMESPACE/NAME[:PORT]')
    .option('-f, --filename <path...>', 'by these files and folders, without agent and root; - is standard input')
    .option('--from <pod>', 'for this pod, NAMESPACE/POD')
    .option('--from-host', 'for a process of the node')
    .option('--from-outside <address>', 'for this address outside of the cluster')
    .option('--source <ip:port>', 'what becomes of the open connection from there')
    .addOption(new Option('-o, --output <format>', 'how to print').choices(['text', 'json', 'yaml']).default('text'))
    .addHelpText('after', HELP)
    .action(async (target: string, options: WhyOptions) => {
      const asked = {
        target,
        ...(options.from !== undefined && { from: options.from }),
        ...(options.fromHost && { fromHost: true }),
        ...(options.fromOutside !== undefined && { fromOutside: options.fromOutside }),
      }
      const { filename, source, node, output } = options
      if (filename && source !== undefined)
        throw new ServiceQuestionError('--source asks for an open connection, of which files tell nothing')
      printExplanation(filename ? explained(filename, node, asked) : await answered(options, asked), output)
    })
}

const HELP = `
Examples:
  axoneme services why 10.96.0.10:53/UDP --from shop/cart
  axoneme services why 172.30.0.2:30080 --from-outside 192.0.2.7
  axoneme services why shop/cart:http --from-host
  axoneme services why shop/cart:http --from shop/frontend -f manifests/
  axoneme services why 10.96.0.10:80 --from shop/cart --source 10.244.0.5:40112`

function explained(filename: readonly string[], node: string, asked: AskedService): ServiceExplanation {
  const { world } = readManifests(filename, objects => servicesWorld(clusterObjects(objects), node))
  return explainService(world, readServiceQuestion(world, asked))
}

function answered(options: WhyOptions, { target, from, fromHost, fromOutside }: AskedService) {
  const { source } = options
  return agentOf(options).explainService({
    target,
    ...(from !== undefined && { from }),
    ...(fromHost && { host: '1' }),
    ...(fromOutside !== undefined && { outside: fromOutside }),
    ...(source !== undefined && { source }),
  })
}

function printExplanation(explanation: ServiceExplanation, output: WhyOptions['output']): void {
  if (output === 'text') console.log(serviceExplanationText(explanation))
  else if (output === 'json') console.log(JSON.stringify(explanation, undefined, 2))
  else console.log(stringify(explanation, { aliasDuplicateObjects: false }).trimEnd())
}
