// `axoneme policy explain`: why a connection or a flow is allowed or denied, and what
// would change that; and all that may reach a pod. By files alone, or by what an agent
// has read.

import readline from 'node:readline'
import { Argument, Command, Option } from 'commander'
import { stringify } from 'yaml'
import {
  type Cluster,
  type EnforcementMode,
  type Explanation,
  explain,
  explainFlow,
  explainPod,
  findPod,
  QuestionError,
  readCluster,
  readQuestion,
} from '../policy/index.ts'
import { askedRequest, type RequestOptions, requestInFlow, withRequest } from './asked-request.ts'
import { colours as pc } from './colours.ts'
import { agentOf, type ConnectionOptions, withConnection } from './connection.ts'
import { explainRequest, type RequestExplanation, requestText } from './explain-request.ts'
import { clusterOf } from './live-cluster.ts'
import { clusterObjects, readManifests } from './manifest-files.ts'
import { podReachText } from './policy-explain-pod-text.ts'
import { explanationText } from './policy-explain-text.ts'
import { enforcementOption } from './policy-options.ts'

type ExplainOptions = ConnectionOptions &
  RequestOptions & {
    readonly filename?: readonly string[]
    readonly pod?: string
    readonly flow?: string
    readonly change?: boolean
    readonly policyEnforcement: EnforcementMode
    readonly output: 'text' | 'json' | 'yaml'
  }

export function policyExplainCommand(): Command {
  return withRequest(withConnection(new Command('explain')))
    .description('why a connection, or a request on it, is allowed or denied, and what would change that')
    .addArgument(new Argument('[from]', 'NAMESPACE/POD, an IP address, or world'))
    .addArgument(new Argument('[to]', 'the same'))
    .addArgument(new Argument('[port]', 'such as 8080/TCP, http, 53/UDP, 8/ICMP, EchoRequest/ICMPv6'))
    .option('-f, --filename <path...>', 'judge by these files and folders, without agent and root; - is standard input')
    .option('--pod <namespace/name>', 'instead: all that may reach this pod and that it may reach')
    .option('--flow <json>', 'instead: a flow as `axoneme observe -o json` prints it; - reads them from standard input')
    .option('--change', 'print only the objects that would turn the verdict round, to be applied')
    .addOption(enforcementOption())
    .addOption(new Option('-o, --output <format>', 'how to print').choices(['text', 'json', 'yaml']).default('text'))
    .addHelpText('after', HELP)
    .action(
      async (from: string | undefined, to: string | undefined, port: string | undefined, options: ExplainOptions) => {
        const asked = askedFor(from, to, port, options)
        if (asked.kind === 'flows') await explainFlows(options)
        else if (asked.kind === 'pod') printPod(await clusterFor(options), asked.pod, options)
        else {
          const request = askedRequest(options)
          const cluster = await clusterFor(options)
          const explanation = explain(cluster, readQuestion(cluster, asked.from, asked.to, asked.port))
          printExplanation(
            request ? { ...explanation, request: explainRequest(explanation, request) } : explanation,
            options,
          )
        }
      },
    )
}

const HELP = `
Examples:
  axoneme policy explain shop/frontend shop/cart http -f manifests/
  axoneme policy explain shop/cart world 443/TCP
  axoneme policy explain shop/frontend shop/cart 8080/TCP --http "DELETE /products/7"
  axoneme policy explain shop/cart world 53/UDP --dns api.example.com
  axoneme policy explain --pod shop/cart
  axoneme observe --verdict DROPPED -o json | axoneme policy explain --flow -
  axoneme policy explain shop/frontend shop/cart http --change | axoneme apply -f -`

type Asked =
  | { readonly kind: 'connection'; readonly from: string; readonly to: string; readonly port: string }
  | { readonly kind: 'pod'; readonly pod: string }
  | { readonly kind: 'flows' }

/** @throws QuestionError unless one thing is asked */
function askedFor(
  from: string | undefined,
  to: string | undefined,
  port: string | undefined,
  { pod, flow, change }: ExplainOptions,
): Asked {
  const kinds = [from !== undefined, pod !== undefined, flow !== undefined].filter(Boolean).length
  if (kinds > 1) throw new QuestionError('give either FROM TO PORT/PROTOCOL, or --pod, or --flow')
  if (pod !== undefined && change) throw new QuestionError('--change goes with a connection, not with --pod')
  if (pod !== undefined) return { kind: 'pod', pod }
  if (flow !== undefined) return { kind: 'flows' }
  if (from === undefined || to === undefined || port === undefined)
    throw new QuestionError(
      'what is to be explained? FROM TO PORT/PROTOCOL, such as shop/web shop/cart 8080/TCP; or --pod, or --flow',
    )
  return { kind: 'connection', from, to, port }
}

async function clusterFor(options: ExplainOptions): Promise<Cluster> {
  const { filename, policyEnforcement: enforcement } = options
  if (filename) return readManifests(filename, objects => readCluster(clusterObjects(objects), { enforcement })).cluster
  return clusterOf(await agentOf(options).cluster())
}

function printPod(cluster: Cluster, name: string, { output }: ExplainOptions): void {
  const reach = explainPod(cluster, findPod(cluster, name))
  if (output === 'text') console.log(podReachText(reach))
  else console.log(output === 'json' ? JSON.stringify(reach, undefined, 2) : yamlText(reach))
}

/** Why a connection is allowed or denied, and where a request was asked about, the request. */
type Explained = Explanation & { readonly request?: RequestExplanation }

function printExplanation(explained: Explained, { output, change }: ExplainOptions): void {
  const { request } = explained
  if (change) {
    if (request) throw new QuestionError('--change goes with a connection, not with a request')
    if (!explained.change.possible) throw new QuestionError(explained.change.because)
    console.log(explained.change.yaml.trimEnd())
  } else if (output === 'text') {
    if (request) console.log(`${requestText(request, explained)}\n`)
    // To deny the connection is no answer to who asks about a request on it.
    console.log(explanationText(explained, { change: !request || request.connectionDenied }))
  } else console.log(output === 'json' ? JSON.stringify(explained, undefined, 2) : yamlText(explained))
}

const yamlText = (value: unknown): string => stringify(value, { aliasDuplicateObjects: false }).trimEnd()

/** A live cluster is asked for anew when it is older than this. */
const MAX_AGE_MS = 1000

/** One explanation for each flow, as they come. A line that is none is told, and the others are explained. */
async function explainFlows(options: ExplainOptions): Promise<void> {
  const { flow = '', output, change } = options
  let known: { readonly cluster: Cluster; readonly readAt: number } | undefined
  let count = 0
  let lineNumber = 0
  for await (const line of flow === '-' ? readline.createInterface({ input: process.stdin }) : [flow]) {
    lineNumber++
    if (line.trim() === '') continue
    if (!known || (!options.filename && performance.now() - known.readAt > MAX_AGE_MS))
      known = { cluster: await clusterFor(options), readAt: performance.now() }
    const explained = explainedLine(known.cluster, line)
    if (explained instanceof QuestionError) {
      if (flow !== '-') throw explained
      console.error(`${pc.red('axoneme:')} line ${lineNumber}: ${explained.message}`)
      process.exitCode = 1
      continue
    }
    // One object a line, so that a stream stays one.
    if (output === 'json' && !change && flow === '-') console.log(JSON.stringify(explained))
    else {
      if (count++ > 0) console.log(output === 'text' && !change ? '' : '---')
      printExplanation(explained, options)
    }
  }
}

function explainedLine(cluster: Cluster, line: string): Explained | QuestionError {
  try {
    const flow = parsedFlow(line)
    const asked = requestInFlow(flow)
    if (!asked) return explainFlow(cluster, flow)
    // What became of the request says nothing of the connection, which was let through to a proxy.
    const explanation = explainFlow(cluster, { ...(flow as object), verdict: 'REDIRECTED', dropReason: undefined })
    return { ...explanation, request: explainRequest(explanation, asked) }
  } catch (error) {
    if (error instanceof QuestionError) return error
    throw error
  }
}

function parsedFlow(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new QuestionError(
      `a flow is one line of JSON, as \`axoneme observe -o json\` prints it: ${(cause as Error).message}`,
    )
  }
}
