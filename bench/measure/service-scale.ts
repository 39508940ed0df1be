// What 30,000 services with four endpoints each cost the agent's own parts: from rows of tables to elements of the
// kernel's maps, without files. In a process of its own, for its memory.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { type Line, plainLine, type Section } from '../harness/result.ts'
import type { Context } from './measurement.ts'

const PROGRAM = path.join(import.meta.dirname, 'service-program.ts')
const SERVICES = 30_000
const ENDPOINTS = 4
const CHANGES = 100

type Outcome = Readonly<
  Record<
    | 'programMs'
    | 'addMs'
    | 'slowestAddMs'
    | 'changeMs'
    | 'slowestChangeMs'
    | 'restartMs'
    | 'heapBytes'
    | 'rssBytes'
    | 'mapBytes',
    number
  >
>

export async function measureServiceScale({ signal, say }: Context): Promise<Section> {
  say(`${SERVICES.toLocaleString('en-US')} services, from tables to the kernel`)
  const args = ['--expose-gc', PROGRAM, SERVICES, ENDPOINTS, CHANGES].map(String)
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], signal })
  const [output, [status]] = await Promise.all([text(child.stdout), once(child, 'close')])
  if (status !== 0) throw new Error(`the measurement of many services ended with ${status}`)
  const title = `${SERVICES.toLocaleString('en-US')} services with ${ENDPOINTS} endpoints each: from tables to the kernel, without files`
  return { name: 'service-scale', title, lines: linesOf(JSON.parse(output) as Outcome) }
}

function linesOf(outcome: Outcome): Line[] {
  const line = (id: string, name: string, unit: string, value: number, limit?: number, note?: string): Line =>
    plainLine(
      {
        id: `services/scale/${id}`,
        text: name,
        unit,
        ...(limit !== undefined && { target: { kind: 'at most', value: limit } }),
        ...(note !== undefined && { note }),
      },
      value,
    )
  const slowest = (ms: number): string => `${CHANGES} times; the slowest ${ms.toFixed(1)} ms`
  return [
    line('program', 'all in force, from nothing', 's', outcome.programMs / 1000),
    line('restart', 'the same when all is in the kernel already, as after a restart', 's', outcome.restartMs / 1000),
    line('add', 'a service added → in force, p50', 'ms', outcome.addMs, 5, slowest(outcome.slowestAddMs)),
    line(
      'change',
      'an endpoint exchanged → in force, p50',
      'ms',
      outcome.changeMs,
      20,
      slowest(outcome.slowestChangeMs),
    ),
    line('maps', 'growth of kernel memory of the maps', 'MB', outcome.mapBytes / 1e6),
    line('heap', 'growth of live objects of the process', 'MB', outcome.heapBytes / 1e6),
    line('resident', 'resident memory of the process, garbage included', 'MB', outcome.rssBytes / 1e6),
  ]
}
