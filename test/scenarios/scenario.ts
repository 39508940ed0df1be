// A scenario is a transcript: commands that declare, change and advance, and commands
// that show, with what they show written below them. Running it again must show the
// same. A line that begins with `$ ` is a command; the lines below it are the command's
// input where it takes one, and else its output. Comments begin with `#`.
//
//   $ declare FILE              the text below is the file's content
//   $ remove FILE
//   $ add NAMESPACE/POD [CONTAINER]      gives the pod an interface; shows its addresses
//   $ delete CONTAINER
//   $ end CONTAINER             the pod's network namespace vanishes
//   $ advance SECONDS           lets time pass
//   $ stop                      ends the agent; files may change meanwhile
//   $ restart [silent]          ends the agent where it runs and starts the next one; shows what that wrote.
//                               Silent: the source tells nothing before `$ deliver`
//   $ deliver
//   $ learn NAME TTL ADDRESS... DNS has answered; shows what is written until that is in force
//   $ use [ADDRESS...]          the addresses outside that connections use from now on
//   $ service NAMESPACE/NAME    as `axoneme services NAMESPACE/NAME` prints it
//   $ why TARGET [from=POD | host | outside=ADDRESS] [source=IP:PORT]        as `axoneme services why` prints it
//   $ tables NAME...            as `axoneme tables NAME` prints them
//   $ maps [NAME...]            the datapath's maps: endpoints ipcache policy_maps runtime; and those of services, where
//                               they are named: frontends backends slots affinity_backends source_ranges
//   $ try FROM... -> TO... PORT/PROTOCOL... [over IPv6]     who reaches whom, from the maps; ends are NAMESPACE/POD,
//                               host, or an address

import { stripVTControlCharacters } from 'node:util'
import { explanationAnswer, serviceAnswer } from '../../src/agent/service-answers.ts'
import { tableText } from '../../src/cli/output.ts'
import { serviceDetailText } from '../../src/cli/services-text.ts'
import { serviceExplanationText } from '../../src/cli/services-why-text.ts'
import type { Tables } from '../../src/tables/index.ts'
import { attempt, type End, outcome, type Port } from './attempt.ts'
import { type DumpedMap, dumpMap, MAP_NAMES } from './dump.ts'
import { type DumpedServiceMap, dumpServiceMap, SERVICE_MAP_NAMES } from './dump-services.ts'
import { NODE, type SimulatedNode } from './simulated-node.ts'

type Block = { readonly command: string; readonly line: number; readonly body: readonly string[] }

/** @returns the transcript as it is when its commands run on this node */
export async function play(text: string, node: SimulatedNode): Promise<string> {
  const { preamble, blocks } = parse(text)
  const out = [...preamble]
  for (const block of blocks) {
    out.push(`$ ${block.command}`, ...(await run(block, node)), '')
  }
  return `${out.join('\n').trimEnd()}\n`
}

function parse(text: string): { preamble: string[]; blocks: Block[] } {
  const preamble: string[] = []
  const blocks: { command: string; line: number; body: string[] }[] = []
  for (const [index, line] of text.split('\n').entries()) {
    if (line.startsWith('$ ')) blocks.push({ command: line.slice(2).trim(), line: index + 1, body: [] })
    else (blocks.at(-1)?.body ?? preamble).push(line)
  }
  return { preamble, blocks }
}

async function run({ command, line, body }: Block, node: SimulatedNode): Promise<readonly string[]> {
  const [name = '', ...words] = command.split(/\s+/)
  const action = ACTIONS[name]
  if (!action) throw new Error(`line ${line}: there is no command ${name}`)
  // A comment may stand between two commands; it belongs to the one below it.
  const comment = body.slice(body.findLastIndex(text => !/^(#.*)?$/.test(text)) + 1)
  const remark = comment.some(text => text !== '') ? ['', ...trim(comment)] : []
  try {
    const output = await action({ words, input: trim(body.slice(0, body.length - comment.length)), node })
    return [...output, ...remark]
  } catch (error) {
    throw new Error(`line ${line}: ${command}: ${(error as Error).message}`, { cause: error })
  }
}

function trim(lines: readonly string[]): string[] {
  const first = lines.findIndex(line => line !== '')
  return first < 0 ? [] : lines.slice(first, lines.findLastIndex(line => line !== '') + 1)
}

type Given = { readonly words: readonly string[]; readonly input: readonly string[]; readonly node: SimulatedNode }

const ACTIONS: Readonly<Record<string, (given: Given) => Promise<readonly string[]>>> = {
  async declare({ words: [file = ''], input, node }) {
    node.declare({ [file]: `${input.join('\n')}\n` })
    if (node.isRunning) await node.settle()
    return input
  },
  async remove({ words: [file = ''], node }) {
    node.declare({ [file]: undefined })
    if (node.isRunning) await node.settle()
    return []
  },
  async add({ words: [pod = '', containerId = pod.replace('/', '-')], node }) {
    const [namespace = '', name = ''] = pod.split('/')
    const output = await node.add({ namespace, name }, containerId).then(
      ({ id, addresses }) => `endpoint ${id}: ${addresses.join(' ')}`,
      (error: Error & { code?: string }) => `${error.code}: ${error.message}`,
    )
    await node.settle()
    return [output]
  },
  async delete({ words: [containerId = ''], node }) {
    await node.delete(containerId)
    await node.settle()
    return []
  },
  async end({ words: [containerId = ''], node }) {
    node.endNamespace(containerId)
    return []
  },
  async advance({ words: [seconds], node }) {
    await node.advance(Number(seconds) * 1000)
    return []
  },
  async restart({ words, node }) {
    node.takeWrites()
    await node.restart(words[0] === 'silent')
    return writesText(node)
  },
  async stop({ node }) {
    await node.stop()
    return []
  },
  async deliver({ node }) {
    node.takeWrites()
    node.deliver()
    await node.settle()
    return writesText(node)
  },
  async learn({ words: [name = '', ttl, ...addresses], node }) {
    node.takeWrites()
    const ttlSeconds = Number(ttl)
    const taught = addresses.map(address => ({ address, ttlSeconds }))
    const timeMicros = Math.round(node.clock.nowMs() * 1000)
    const names = [{ name, addresses: taught, client: '10.244.0.2', server: '10.96.0.10', timeMicros }]
    await node.engine.names.teach({ names }, new AbortController().signal)
    return writesText(node)
  },
  async use({ words, node }) {
    node.usedAddresses.clear()
    for (const address of words) node.usedAddresses.add(address)
    return []
  },
  async tables({ words, node }) {
    return words.flatMap(name => titled(words, name, tableLines(node.tables, name)))
  },
  async service({ words: [key = ''], node }) {
    return textLines(serviceDetailText(serviceAnswer(servicesOf(node), key)))
  },
  async why({ words: [target = '', ...rest], node }) {
    const query = new URLSearchParams(rest.join('&'))
    query.set('target', target)
    return textLines(serviceExplanationText(explanationAnswer(servicesOf(node), query)))
  },
  async maps({ words, node }) {
    const names: readonly string[] = words.length > 0 ? words : MAP_NAMES
    const dump = (name: string): string[] =>
      (SERVICE_MAP_NAMES as readonly string[]).includes(name)
        ? dumpServiceMap(node.datapath, name as DumpedServiceMap)
        : dumpMap(node.datapath, name as DumpedMap)
    return names.flatMap(name => titled(names, name, dump(name)))
  },
  async try({ words, node }) {
    const arrow = words.indexOf('->')
    const over = words.indexOf('over')
    const behind = words.slice(arrow + 1, over < 0 ? undefined : over)
    const ports = behind.filter(word => /^\d+\/(TCP|UDP)$/.test(word))
    const ends = behind.filter(word => !ports.includes(word))
    return words
      .slice(0, arrow)
      .flatMap(from =>
        ends
          .filter(to => to !== from)
          .flatMap(to => ports.map(port => tryLine(node, from, to, port, over < 0 ? 4 : 6))),
      )
  },
}

/** How many elements of each map were written. */
function writesText(node: SimulatedNode): string[] {
  const counts = new Map<string, number>()
  for (const { map, kind } of node.takeWrites()) counts.set(`${map} ${kind}`, (counts.get(`${map} ${kind}`) ?? 0) + 1)
  return counts.size === 0 ? ['wrote nothing'] : [...counts].map(([what, count]) => `${what} ${count}`).sort()
}

/** With a heading where there is more than one thing to show. */
function titled(names: readonly string[], name: string, lines: readonly string[]): string[] {
  return names.length > 1 ? [`[${name}]`, ...lines] : [...lines]
}

const servicesOf = ({ tables, engine, datapath }: SimulatedNode) => ({
  node: NODE,
  tables,
  kernel: engine.servicesInKernel,
  datapath,
  sockets: true,
})

const textLines = (text: string): string[] => stripVTControlCharacters(text).split('\n')

function tableLines({ database }: Tables, name: string): string[] {
  const table = database.table(name)
  if (!table) throw new Error(`there is no table ${name}`)
  const { columns, rows } = table.print()
  return textLines(tableText(columns, rows))
}

function tryLine(node: SimulatedNode, from: string, to: string, portText: string, family: 4 | 6): string {
  const [number, protocol] = portText.split('/') as [string, Port['protocol']]
  const port = { port: Number(number), protocol }
  const prediction = attempt(node, endOf(node, from), endOf(node, to), port, family)
  const what = `${from} -> ${to} ${portText}`
  if (!prediction) return `${what}: not here`
  const ruleText = (rule: number): string => node.tables.rules.get(String(rule))?.text ?? `rule ${rule}`
  const rules = [
    ...(prediction.egress_rule ? [`egress: ${ruleText(prediction.egress_rule)}`] : []),
    ...(prediction.ingress_rule ? [`ingress: ${ruleText(prediction.ingress_rule)}`] : []),
  ]
  const { verdict, reason } = prediction
  const direction = prediction.direction.toLowerCase()
  const decided = { dropped: ` ${direction}`, audited: `, audited ${reason} ${direction}` }
  const shown = verdict === 'dropped' || verdict === 'audited' ? decided[verdict] : ''
  return [`${what}: ${outcome(prediction)}${shown}`, ...rules].join(', ')
}

function endOf({ tables }: SimulatedNode, text: string): End {
  if (text === 'host') return { kind: 'host' }
  if (!text.includes('/')) return { kind: 'address', address: text }
  const [endpoint] = tables.endpoints.by('pod', text)
  if (!endpoint) throw new Error(`pod ${text} has no endpoint`)
  return { kind: 'endpoint', endpoint }
}
