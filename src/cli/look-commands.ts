// Commands that look at a running agent: status, tables, endpoints, identities, BPF
// maps and programs. They ask its API and print.

import { Command } from 'commander'
import type {
  AgentStatus,
  DropCount,
  PrintedTable,
  ReconcilerState,
  RequestStatus,
  ServiceCounts,
} from '../api/index.ts'
import { colours as pc } from './colours.ts'
import { agentOf, type ConnectionOptions, withConnection } from './connection.ts'
import { bytesText, type OutputFormat, outputOption, print, tableText } from './output.ts'

type LookOptions = ConnectionOptions & { readonly output: OutputFormat }

const looking = (name: string, description: string): Command =>
  withConnection(new Command(name)).description(description).addOption(outputOption())

export function statusCommand(): Command {
  return looking('status', 'is the agent well, and what does it hold').action(async (options: LookOptions) => {
    const status = await agentOf(options).status()
    print(options.output, status, statusText)
    if (!status.ready) process.exitCode = 1
  })
}

function statusText(status: AgentStatus): string {
  const state = status.ready
    ? pc.green(`ready (after ${status.readyAfterMs} ms)`)
    : pc.yellow('starting: sources or the kernel are not done yet')
  const counts = Object.entries(status.counts).map(([name, count]) => `${count} ${name}`)
  return [
    `${pc.bold('node')}         ${status.node}`,
    `${pc.bold('agent')}        ${state}, version ${status.version}, pid ${status.pid}, since ${status.startedAt}`,
    `${pc.bold('kernel')}       ${status.kernel}`,
    `${pc.bold('policies')}     enforcement ${status.policyEnforcement}`,
    `${pc.bold('holds')}        ${counts.join(', ')}`,
    `${pc.bold('services')}     ${servicesText(status.services)}`,
    `${pc.bold('revision')}     ${status.revision}`,
    `${pc.bold('memory')}       ${bytesText(status.memoryBytes)}`,
    `${pc.bold('flow events')}  ${status.events.received} read, ${status.events.lost} lost`,
    ...(status.proxy ? [`${pc.bold('proxy')}        ${proxyText(status.proxy)}`] : []),
    `${pc.bold('requests')}     ${requestsText(status.requests)}`,
    ...status.reconcilers.map(reconcilerText),
    ...status.problems.map(problem =>
      problem.severity === 'error' ? pc.red(`error        ${problem.text}`) : pc.yellow(`warning      ${problem.text}`),
    ),
  ].join('\n')
}

function servicesText({ services, frontends, backends, failed, maps }: ServiceCounts): string {
  const parts = [`${services} services, ${frontends} frontends, ${backends} backends`]
  if (failed > 0) parts.push(pc.red(`${failed} failed`))
  const fills = maps.map(({ name, entries, ageMs, maxEntries }) => {
    const age = ageMs >= 1000 ? `, ${Math.round(ageMs / 1000)} s ago` : ''
    return `${name} ${entries} of ${maxEntries}${age}`
  })
  return `${parts.join(', ')} (maps: ${fills.join(', ')})`
}

function proxyText(proxy: NonNullable<AgentStatus['proxy']>): string {
  const state = proxy.ready ? pc.green('ready') : pc.yellow(`not ready: ${proxy.waitsFor ?? 'servers start'}`)
  if (!('pid' in proxy)) return state
  const { ruleSets, events, servers } = proxy
  const counts = `${ruleSets.sets} rule sets with ${ruleSets.rules} rules, ${events.received} events, ${events.lost} lost${
    events.http === 'denied' ? ' (allowed requests of HTTP make none)' : ''
  }`
  const rows = servers.map(({ name, state, restarts, lastEnd }) => {
    const ends = restarts > 0 ? `, started again ${restarts} times (${lastEnd ?? 'unknown why'})` : ''
    return `\n             ${name}: ${state}${ends}`
  })
  const failed = ruleSets.failed.map(row =>
    pc.red(`\n             ${row.server}, rule set ${row.number}: ${row.error}`),
  )
  return `${state}, pid ${proxy.pid}, ${counts}${rows.join('')}${failed.join('')}`
}

function requestsText({ received, lost, counts }: RequestStatus): string {
  const parts = counts.map(({ protocol, verdict, count }) => `${protocol} ${count} ${verdict}`)
  return `${received} seen, ${lost} lost${parts.length > 0 ? ` (${parts.join(', ')})` : ''}`
}

function reconcilerText({ name, done, pending, failed }: ReconcilerState): string {
  const parts = [`${done} done`, ...(pending ? [`${pending} pending`] : [])]
  const failures = failed.map(row => pc.red(`\n             ${row.key}: ${row.error} (${row.attempts} attempts)`))
  const tail = failed.length > 0 ? pc.red(`, ${failed.length} failed`) : ''
  return `${pc.bold('in kernel')}    ${name}: ${parts.join(', ')}${tail}${failures.join('')}`
}

export function tablesCommand(): Command {
  return looking('tables', 'list the tables of an agent, or print one')
    .argument('[name]', 'table to print')
    .action(async (name: string | undefined, options: LookOptions) => {
      if (name) await printTable(name, options)
      else
        print(options.output, await agentOf(options).tables(), tables =>
          tableText(
            ['TABLE', 'ROWS', 'COMPLETE'],
            tables.map(table => [table.name, String(table.rows), table.initialized ? 'yes' : 'no']),
          ),
        )
    })
}

/** A command that prints one table of the agent. */
export function tableCommand(name: string, table: string, description: string): Command {
  return looking(name, description).action((options: LookOptions) => printTable(table, options))
}

async function printTable(name: string, options: LookOptions): Promise<void> {
  const table = await agentOf(options).table(name)
  if (options.output === 'table') console.log(tableText(table.columns, table.rows))
  else print(options.output, tableObjects(table), String)
}

const tableObjects = ({ columns, rows }: PrintedTable): Record<string, string>[] =>
  rows.map(row =>
    Object.fromEntries(columns.map((column, i) => [column.toLowerCase().replaceAll(' ', '_'), row[i] ?? ''])),
  )

export function bpfCommand(): Command {
  const command = new Command('bpf').description('what the agent has in the kernel')
  command.addCommand(
    looking('maps', 'maps with their size and fill').action(async (options: LookOptions) =>
      print(options.output, await agentOf(options).maps(), maps =>
        tableText(
          ['MAP', 'TYPE', 'KEY', 'VALUE', 'ENTRIES', 'MAX', 'FILL'],
          maps.map(map => [
            map.name,
            map.type,
            `${map.keyBytes} B`,
            `${map.valueBytes} B`,
            map.entries === null ? '' : String(map.entries),
            String(map.maxEntries),
            map.entries === null ? '' : `${((100 * map.entries) / map.maxEntries).toFixed(1)} %`,
          ]),
        ),
      ),
    ),
  )
  command.addCommand(
    looking('programs', 'programs with their size').action(async (options: LookOptions) =>
      print(options.output, await agentOf(options).programs(), programs =>
        tableText(
          ['PROGRAM', 'ID', 'TAG', 'TRANSLATED', 'JITED', 'DEVICES'],
          programs.map(program => [
            program.name,
            String(program.id),
            program.tag,
            `${program.translatedBytes} B`,
            `${program.jitedBytes} B`,
            String(program.attached),
          ]),
        ),
      ),
    ),
  )
  command.addCommand(
    looking('counters', 'packets forwarded and dropped, by reason and direction').action(async (options: LookOptions) =>
      print(options.output, await agentOf(options).drops(), counters =>
        tableText(
          ['VERDICT', 'DIRECTION', 'PACKETS', 'BYTES'],
          counters.map(counter => [
            counterText(counter),
            counter.direction.toLowerCase(),
            counter.packets,
            counter.bytes,
          ]),
        ),
      ),
    ),
  )
  return command
}

function counterText({ verdict, reason }: DropCount): string {
  if (verdict === 'AUDIT') return `AUDIT ${reason}`
  return verdict === 'FORWARDED' ? verdict : reason
}
