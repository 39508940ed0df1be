// `axoneme fqdn`: the names of DNS that an agent knows, with the addresses that they were
// answered with, and what rules about names make of them.

import { Command } from 'commander'
import type { KnownName } from '../api/index.ts'
import { canonicalName, NameSelectors } from '../policy/index.ts'
import { agentOf, type ConnectionOptions, withConnection } from './connection.ts'
import { type OutputFormat, outputOption, print, tableText } from './output.ts'

type FqdnOptions = ConnectionOptions & { readonly output: OutputFormat }

export function fqdnCommand(): Command {
  return withConnection(new Command('fqdn'))
    .description('DNS names that were answered, with their addresses and the rules that mean them')
    .argument('[name]', 'only this name, or the names of a pattern such as "*.example.com"')
    .addOption(outputOption())
    .action(async (name: string | undefined, options: FqdnOptions) => {
      const known = await agentOf(options).names()
      print(options.output, name === undefined ? known : selected(known, name), namesText)
    })
}

function selected(known: readonly KnownName[], text: string): KnownName[] {
  const selectors = new NameSelectors([canonicalName(text)])
  return known.filter(({ name }) => selectors.selecting(name).length > 0)
}

/** By name, then by address. */
export function namesText(known: readonly KnownName[]): string {
  if (known.length === 0) return 'no name is known: nobody asked, or no rule lets the answers of DNS be seen'
  const order = new Intl.Collator('en', { numeric: true })
  const sorted = known.toSorted((a, b) => order.compare(a.name, b.name) || order.compare(a.address, b.address))
  return tableText(
    ['NAME', 'ADDRESS', 'TTL LEFT', 'SELECTORS', 'IDENTITY', 'ASKED BY', 'ANSWERED BY'],
    sorted.map(row => [
      row.name,
      row.address,
      timeText(row),
      meaningText(row),
      identityText(row),
      row.client,
      row.server,
    ]),
  )
}

const timeText = ({ state, secondsLeft }: KnownName): string => (state === 'in-use' ? 'in use' : `${secondsLeft} s`)

const meaningText = ({ selectors, owner }: KnownName): string =>
  owner === undefined ? selectors.join(' ') : `(${owner})`

const identityText = ({ identity }: KnownName): string => (identity === undefined ? '' : String(identity))
