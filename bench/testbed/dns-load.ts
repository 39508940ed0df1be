// Questions of DNS, and connections to what is answered: runs bench/dnsload.c.

import path from 'node:path'
import type { Namespace } from '../../src/net/index.ts'
import { BUILD_FOLDER } from './load.ts'
import { outputOf, Program } from './programs.ts'

const DNSLOAD = path.join(BUILD_FOLDER, 'dnsload')

/** Answers every question with the next of so many addresses. */
export const startDnsServer = (
  namespace: Namespace,
  { first, count }: { readonly first: string; readonly count: number },
  signal: AbortSignal,
): Promise<Program> => Program.ready(namespace, [DNSLOAD, 'serve', first, String(count)], signal)

export type DnsSample = {
  readonly perSecond: number
  readonly answered: number
  readonly p50Micros: number
  readonly lost: number
}

export async function askNames(
  { namespace, server }: { readonly namespace: Namespace; readonly server: string },
  load: { readonly onTheirWay: number; readonly seconds: number; readonly name: string; readonly signal: AbortSignal },
): Promise<DnsSample> {
  const args = ['ask', server, String(load.seconds), String(load.onTheirWay), load.name]
  const { lost = 0, count = 0, seconds = Number.NaN, p50_us = Number.NaN } = await figures(namespace, args, load.signal)
  return { perSecond: count / seconds, answered: count, p50Micros: p50_us, lost }
}

export type NameConnections = {
  readonly names: number
  readonly unanswered: number
  readonly atOnce: number
  /** When the SYN was sent a second time. */
  readonly late: number
  readonly p50Micros: number
  readonly p99Micros: number
}

/** Asks for so many new names a second and connects to each answer at once. */
export async function connectToNames(
  { namespace, server }: { readonly namespace: Namespace; readonly server: string },
  load: { readonly perSecond: number; readonly seconds: number; readonly port: number; readonly name: string },
  signal: AbortSignal,
): Promise<NameConnections> {
  const args = ['connect', server, String(load.seconds), String(load.perSecond), String(load.port), load.name]
  const {
    names = 0,
    unanswered = 0,
    at_once = 0,
    late = 0,
    p50_us = Number.NaN,
    p99_us = Number.NaN,
  } = await figures(namespace, args, signal)
  return { names, unanswered, atOnce: at_once, late, p50Micros: p50_us, p99Micros: p99_us }
}

async function figures(
  namespace: Namespace,
  args: readonly string[],
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const lines = (await outputOf(namespace, [DNSLOAD, ...args], signal)).trim().split('\n')
  return Object.assign({}, ...lines.map(line => JSON.parse(line) as object)) as Record<string, number>
}
