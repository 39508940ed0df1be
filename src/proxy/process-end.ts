// How a process of a server ends, and what it said before.

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** The reason stands some lines before the last one. */
const MOST_LINES = 4
const MOST_CHARACTERS = 200
const PATIENCE_AT_END_MS = 2_000

export function endOf(process: ChildProcess): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  process.once('error', error => resolve(error.message))
  process.once('exit', (code, signal) => resolve(signal ? `killed by ${signal}` : `exit code ${code}`))
  return promise
}

/** What it said last on its standard error, as it often says there why it ends. */
export function lastLinesOf({ stderr }: ChildProcess): () => string[] {
  let lines: string[] = []
  stderr?.on('data', (text: Buffer) => {
    const said = text
      .toString()
      .split('\n')
      .filter(line => line.trim() !== '')
    lines = [...lines, ...said].slice(-MOST_LINES).map(line => line.trim().slice(0, MOST_CHARACTERS))
  })
  return () => (lines.length === 0 ? [] : [lines.join('; ')])
}

/** Asks a process to end, then does not ask. */
export async function end(process: ChildProcess, ended: Promise<string>): Promise<void> {
  process.kill('SIGTERM')
  const patience = AbortSignal.timeout(PATIENCE_AT_END_MS)
  await Promise.race([ended, once(patience, 'abort')])
  process.kill('SIGKILL')
  await ended
}
