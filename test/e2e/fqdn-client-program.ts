// Asks DNS for a name and connects to the address at once, as any program does. A line of
// JSON on its input is one such attempt, one on its output what came of it.

import { Resolver } from 'node:dns/promises'
import net from 'node:net'
import readline from 'node:readline'

export type NameAttempt = { readonly name: string; readonly family?: 4 | 6; readonly port: number }

/** `outcome`: `connected`, or what DNS or the connection came to. */
export type NameOutcome = {
  readonly name: string
  readonly address?: string
  readonly outcome: string
  readonly resolveMs: number
  readonly connectMs: number
}

const CONNECT_TIMEOUT_MS = 900
const resolver = new Resolver({ timeout: 2_000, tries: 1 })
resolver.setServers([process.argv[2] ?? ''])

async function attempt({ name, family = 4, port }: NameAttempt): Promise<NameOutcome> {
  const startMs = performance.now()
  let address: string | undefined
  try {
    ;[address] = family === 4 ? await resolver.resolve4(name) : await resolver.resolve6(name)
  } catch (error) {
    return {
      name,
      outcome: (error as NodeJS.ErrnoException).code ?? 'error',
      resolveMs: performance.now() - startMs,
      connectMs: 0,
    }
  }
  if (address === undefined)
    return { name, outcome: 'no address', resolveMs: performance.now() - startMs, connectMs: 0 }
  const resolvedMs = performance.now()
  // A connection whose first packet is dropped takes a second: it is given up before.
  const outcome = await connect(address, port)
  return { name, address, outcome, resolveMs: resolvedMs - startMs, connectMs: performance.now() - resolvedMs }
}

function connect(host: string, port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const socket = net.connect({ host, port })
  socket.setTimeout(CONNECT_TIMEOUT_MS, () => resolve('timeout'))
  socket.on('connect', () => resolve('connected'))
  socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'))
  return promise.finally(() => socket.destroy())
}

for await (const line of readline.createInterface({ input: process.stdin }))
  void attempt(JSON.parse(line) as NameAttempt).then(outcome => console.log(JSON.stringify(outcome)))
