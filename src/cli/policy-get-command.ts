// `axoneme policy get`: how the policies of an agent stand, all of them in columns or
// those of a name in detail.

import { Command } from 'commander'
import { POLICY_STATUS_COLUMNS, type PolicyStatus } from '../tables/index.ts'
import { colours as pc } from './colours.ts'
import { agentOf, type ConnectionOptions, withConnection } from './connection.ts'
import { ManifestError } from './manifest-files.ts'
import { type OutputFormat, outputOption, print, tableText } from './output.ts'

type GetOptions = ConnectionOptions & { readonly output: OutputFormat }

export function policyGetCommand(): Command {
  return withConnection(new Command('get'))
    .description('how the policies of an agent stand: valid or not, enforced since when, on which pods')
    .argument('[name]', 'NAME, NAMESPACE/NAME or KIND/NAMESPACE/NAME of a policy to tell more of')
    .addOption(outputOption())
    .action(async (name: string | undefined, options: GetOptions) => {
      const all = await agentOf(options).policies()
      const found = name === undefined ? all : all.filter(status => isNamed(status, name))
      if (name !== undefined && found.length === 0)
        throw new ManifestError(`there is no policy ${name}; \`axoneme policy get\` lists those that there are`)
      print(options.output, found, rows => (name === undefined ? listText(rows) : rows.map(detailText).join('\n\n')))
    })
}

/** Whether the last parts of `KIND/NAMESPACE/NAME`, or for a cluster-wide kind of `KIND/NAME`, are these. */
function isNamed({ kind, namespace, name }: PolicyStatus, wanted: string): boolean {
  const full = [kind, ...(namespace ? [namespace] : []), name].join('/').toLowerCase()
  return `/${full}`.endsWith(`/${wanted.toLowerCase()}`)
}

function listText(rows: readonly PolicyStatus[]): string {
  const columns = Object.entries(POLICY_STATUS_COLUMNS)
  return tableText(
    columns.map(([title]) => title),
    rows.map(row => columns.map(([, text]) => text(row))),
  )
}

function detailText(status: PolicyStatus): string {
  const { kind, namespace, name, origin, message, enforced, endpoints, entries, unenforced, problems } = status
  const fields: [string, readonly string[]][] = [
    ['policy', [`${kind} ${namespace ? `${namespace}/` : ''}${name}`]],
    ['where', [`${origin.file}:${origin.line}`]],
    ['status', [status.state === 'enforced' ? pc.green(message) : pc.yellow(`${status.state}: ${message}`)]],
    ['in force', enforced ? [`since ${enforced.since}, from revision ${enforced.revision}`] : []],
    ['audit', auditText(status)],
    ['endpoints', [String(endpoints.length), ...endpoints]],
    ['entries', [String(entries)]],
    ['not yet', unenforced.map(({ path, reason }) => `${path}: ${reason}`)],
    ['problems', problems.map(problemText)],
  ]
  return fields
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => `${pc.bold(title.padEnd(10))}${lines.join(`\n${' '.repeat(10)}`)}`)
    .join('\n')
}

function auditText({ audit, auditedEndpoints }: PolicyStatus): string[] {
  if (audit) return ['its denials are recorded and pass']
  if (auditedEndpoints.length === 0) return []
  return ['in namespaces that are audited, its denials are recorded and pass:', ...auditedEndpoints]
}

function problemText({ severity, message, file, line, column }: PolicyStatus['problems'][number]): string {
  const text = `${file}:${line}:${column}: ${severity}: ${message}`
  return severity === 'error' ? pc.red(text) : pc.yellow(text)
}
