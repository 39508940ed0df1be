// How commands print: tables for people, JSON and YAML for machines, colours only on a
// terminal. Every command that lists something takes `-o table|json|yaml`.

import Table from 'cli-table3'
import { InvalidArgumentError, Option } from 'commander'
import { stringify } from 'yaml'
import { colours as pc } from './colours.ts'

export const OUTPUT_FORMATS = ['table', 'json', 'yaml'] as const
export type OutputFormat = (typeof OUTPUT_FORMATS)[number]

export function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to print').choices(OUTPUT_FORMATS).default('table')
}

/** Columns side by side without lines, as kubectl prints. */
export function tableText(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: columns.map(column => pc.bold(column)),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 3 },
    chars: NO_LINES,
  })
  for (const row of rows) table.push([...row])
  return table
    .toString()
    .split('\n')
    .map(line => line.trimEnd())
    .join('\n')
}

const NO_LINES = Object.fromEntries(
  'top,top-mid,top-left,top-right,bottom,bottom-mid,bottom-left,bottom-right,left,left-mid,mid,mid-mid,right,right-mid,middle'
    .split(',')
    .map(name => [name, '']),
)

/** Prints a value as JSON or YAML, or, for people, what `text` makes of it. */
export function print<Value>(format: OutputFormat, value: Value, text: (value: Value) => string): void {
  if (format === 'json') console.log(JSON.stringify(value, undefined, 2))
  else if (format === 'yaml') console.log(stringify(value).trimEnd())
  else console.log(text(value))
}

/** For options that take a whole number. */
export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('wants a whole number')
  return Number(text)
}

export function bytesText(bytes: number): string {
  const mebibytes = bytes / 2 ** 20
  return `${mebibytes < 10 ? mebibytes.toFixed(1) : Math.round(mebibytes)} MiB`
}
