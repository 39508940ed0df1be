// What the scenes of the demo have in common: the sandbox that they play in, and the rows that they show.

import { colours as pc } from './colours.ts'
import { tableText } from './output.ts'

export type Row = { readonly tried: string; readonly want: string; readonly got: string; readonly isRight: boolean }

export type Stage = {
  readonly sandbox: string
  readonly signal: AbortSignal
  /** Runs a command on the demo's sandbox, shown as a user would type it. */
  readonly axoneme: (args: readonly string[]) => Promise<void>
}

export type Scene = {
  readonly title: string
  /** Plays it and tells what was tried. */
  readonly play: (stage: Stage) => Promise<readonly Row[]>
  /** What may be asked about it then, by commands that are shown with what they print. */
  readonly questions?: readonly (readonly string[])[]
}

/** Shows what was tried. @returns how much of it did not end as expected */
export function showRows(rows: readonly Row[]): number {
  const text = ({ tried, want, got, isRight }: Row) => [
    `  ${tried}`,
    want,
    got,
    isRight ? pc.green('ok') : pc.red('WRONG'),
  ]
  console.log(tableText(['  TRIED', 'EXPECTED', 'HAPPENED', ''], rows.map(text)))
  return rows.filter(({ isRight }) => !isRight).length
}
