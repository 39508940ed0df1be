// Asks by HTTP from inside a pod's network namespace, as a process of its own: each line
// of its input is a command in JSON, each line of its output the answer to one.
//
//   l7-client-program.ts HOME
//
// HOME is the inode of the test's own network namespace: in that one it refuses to run.

import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import readline from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

export type ClientCommand =
  /** `connection`: requests of one name use one connection, as long as it is open. */
  | {
      readonly op: 'ask'
      readonly url: string
      readonly method?: string
      readonly connection?: string
      readonly headers?: Readonly<Record<string, string>>
    }
  /** So many at a time, each with a connection of its own, until `stop`. */
  | { readonly op: 'load'; readonly url: string; readonly atATime: number }
  | { readonly op: 'stop' }

export type Asked =
  | { readonly status: number; readonly body: string; readonly port: number }
  | { readonly error: string }
export type Loaded = {
  readonly statuses: Readonly<Record<string, number>>
  readonly longestMs: number
}

const TIMEOUT_MS = 10_000
const LOAD_PAUSE_MS = 2

const [home] = process.argv.slice(2)
if (String(fs.statSync('/proc/self/ns/net').ino) === home) {
  console.error('refused: this is the network namespace of the machine')
  process.exit(1)
}

const agents = new Map<string, http.Agent>()
let load: { stop: boolean; loops: Promise<void>[]; statuses: Record<string, number>; longestMs: number } | undefined

for await (const line of readline.createInterface({ input: process.stdin }))
  console.log(JSON.stringify(await answer(JSON.parse(line) as ClientCommand)))
process.exit(0)

async function answer(command: ClientCommand): Promise<unknown> {
  if (command.op === 'ask')
    return ask(command.url, command.method ?? 'GET', agentOf(command.connection), command.headers)
  if (command.op === 'load') {
    const begun = { stop: false, loops: [] as Promise<void>[], statuses: {}, longestMs: 0 }
    begun.loops = Array.from({ length: command.atATime }, () => askAgainAndAgain(command.url, begun))
    load = begun
    return {}
  }
  if (load) load.stop = true
  await Promise.all(load?.loops ?? [])
  return { statuses: load?.statuses ?? {}, longestMs: load?.longestMs ?? 0 } satisfies Loaded
}

async function askAgainAndAgain(url: string, into: NonNullable<typeof load>): Promise<void> {
  while (!into.stop) {
    const startMs = performance.now()
    const answered = await ask(url, 'GET', false)
    into.longestMs = Math.max(into.longestMs, performance.now() - startMs)
    const key = 'status' in answered ? String(answered.status) : answered.error
    into.statuses[key] = (into.statuses[key] ?? 0) + 1
    await sleep(LOAD_PAUSE_MS)
  }
}

function agentOf(connection: string | undefined): http.Agent | false {
  if (connection === undefined) return false
  const agent = agents.get(connection) ?? new http.Agent({ keepAlive: true, maxSockets: 1 })
  agents.set(connection, agent)
  return agent
}

async function ask(
  url: string,
  method: string,
  agent: http.Agent | false,
  headers: http.OutgoingHttpHeaders = {},
): Promise<Asked> {
  try {
    const request = http.request(url, { method, agent, headers, signal: AbortSignal.timeout(TIMEOUT_MS) })
    request.end()
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    const port = request.socket?.localPort ?? 0
    const body = (await response.setEncoding('utf8').toArray()).join('')
    return { status: response.statusCode ?? 0, body, port }
  } catch (error) {
    return { error: (error as NodeJS.ErrnoException).code ?? String(error) }
  }
}
