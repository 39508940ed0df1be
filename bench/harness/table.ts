// Results for people: a table for the terminal, one in Markdown, and its place in a document. Pure.

import Table from 'cli-table3'
import colors from 'picocolors'
import type { Bound, Line, Section, Verdict } from './result.ts'

const COLUMNS = ['What', 'Target', 'Measured', 'Yardstick', 'Ratio', 'Verdict'] as const

export function terminalTable(sections: readonly Section[]): string {
  const table = new Table({
    head: [...COLUMNS],
    style: { head: [], border: [] },
    colAligns: ['left', 'right', 'right', 'right', 'right', 'left'],
  })
  for (const { title, lines } of sections) {
    table.push([{ colSpan: COLUMNS.length, content: colors.bold(title) }])
    for (const line of lines) table.push([...cells(line), paint(line.verdict)])
  }
  return table.toString()
}

export function markdownTable(sections: readonly Section[]): string {
  return sections
    .map(({ title, lines }) => {
      const rows = lines.map(line => [...cells(line), line.verdict === 'missed' ? '**missed**' : line.verdict])
      return [`### ${title}`, '', ...[[...COLUMNS], COLUMNS.map(() => '---'), ...rows].map(markdownRow)].join('\n')
    })
    .join('\n\n')
}

const markdownRow = (row: readonly string[]): string =>
  `| ${row.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`

/** What the notes of the lines say, one paragraph each. */
export function notes(sections: readonly Section[]): string[] {
  return sections.flatMap(({ lines }) => lines.flatMap(({ text, note }) => (note ? [`${text}: ${note}`] : [])))
}

const BEGIN = '<!-- measured: written by npm run bench -->'
const END = '<!-- end of measured -->'

/** The document with what stands between its two marks replaced. @throws Error where there are none */
export function replaceMeasured(document: string, content: string): string {
  const begin = document.indexOf(BEGIN)
  const end = document.indexOf(END)
  if (begin < 0 || end < begin) throw new Error(`the document has no '${BEGIN}' followed by '${END}'`)
  return `${document.slice(0, begin + BEGIN.length)}\n\n${content.trim()}\n\n${document.slice(end)}`
}

function cells({ text, target, measured, unit, yardstick, ratio }: Line): string[] {
  return [
    text,
    target ? boundText(target, ratio ? '' : unit) : '',
    quantityText(measured, unit),
    yardstick ? `${yardstick.text} ${quantityText(yardstick.value, unit)}` : '',
    ratio ? `${ratio.median.toFixed(3)} (${ratio.low.toFixed(2)}–${ratio.high.toFixed(2)})` : '',
  ]
}

const boundText = ({ kind, value }: Bound, unit: string): string =>
  `${kind === 'at least' ? '≥' : '≤'} ${unit ? quantityText(value, unit) : value.toFixed(2)}`

/** Three digits that mean something, thousands apart: `31,400 /s`, `2.31 ms`. */
export function quantityText(value: number, unit: string): string {
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  const rounded = digits === 0 ? Math.round(value / roundingStep(value)) * roundingStep(value) : value
  const text = rounded.toLocaleString('en-US', {
    maximumFractionDigits: Number.isInteger(value) ? 0 : Math.min(digits, 3),
  })
  return unit ? `${text} ${unit}` : text
}

/** Large counts are not known to the last unit, unless they are whole. */
function roundingStep(value: number): number {
  return Number.isInteger(value) ? 1 : 10 ** Math.max(0, Math.floor(Math.log10(Math.abs(value))) - 2)
}

function paint(verdict: Verdict): string {
  switch (verdict) {
    case 'met':
      return colors.green(verdict)
    case 'missed':
      return colors.red(verdict)
    case 'no target':
      return ''
  }
}
