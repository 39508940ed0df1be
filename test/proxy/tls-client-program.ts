// A client for tests, of TLS or of any bytes. Each line on standard input is a connection,
// and is answered with a line of JSON that says what came and how it ended.

import net from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'

export type TlsClientCommand = { readonly id: number; readonly host: string; readonly port: number } & (
  | {
      readonly op: 'tls'
      /** None unless given. */
      readonly serverName?: string
      readonly say: string
      /** Wait before reading what comes. */
      readonly slowMs?: number
    }
  /** In base64, each in a segment of its own. */
  | { readonly op: 'bytes'; readonly writes: readonly string[]; readonly thenEnd?: boolean }
)
export type TlsClientResult = {
  readonly id: number
  /** `answer`: something came; `reset`, `end`, `silence`, or the code of an error: nothing did before. */
  readonly ended: string
  readonly text: string
  readonly bytes: number
}

const DEADLINE_MS = 15_000

createInterface(process.stdin)
  .on('line', line => void talk(JSON.parse(line) as TlsClientCommand))
  .on('close', () => process.exit())

async function talk(command: TlsClientCommand): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<Omit<TlsClientResult, 'id'>>()
  const { host, port } = command
  const socket =
    command.op === 'tls'
      ? tls.connect({
          host,
          port,
          rejectUnauthorized: false,
          ...(command.serverName && { servername: command.serverName }),
        })
      : net.connect({ host, port, noDelay: true })
  const isWhole = command.op === 'tls' && command.say === 'whole'
  let text = ''
  let bytes = 0
  const finish = (ended: string): void => resolve({ ended, text, bytes })
  const deadline = setTimeout(() => finish('silence'), DEADLINE_MS)
  socket.on('data', data => {
    bytes += data.length
    if (isWhole) return
    text = data.toString('latin1')
    finish('answer')
  })
  socket.on('end', () => finish('end'))
  socket.on('error', (error: NodeJS.ErrnoException) =>
    finish(error.code === 'ECONNRESET' ? 'reset' : (error.code ?? '?')),
  )
  if (command.op === 'tls') socket.once('secureConnect', () => void say(socket, command.say, command.slowMs))
  else socket.once('connect', () => void write(socket, command.writes, command.thenEnd === true))
  const result = await promise
  clearTimeout(deadline)
  socket.destroy()
  process.stdout.write(`${JSON.stringify({ id: command.id, ...result } satisfies TlsClientResult)}\n`)
}

async function say(socket: net.Socket, text: string, slowMs = 0): Promise<void> {
  socket.write(text)
  if (slowMs === 0) return
  socket.pause()
  await sleep(slowMs)
  socket.resume()
}

async function write(socket: net.Socket, writes: readonly string[], thenEnd: boolean): Promise<void> {
  for (const part of writes) {
    socket.write(Buffer.from(part, 'base64'))
    await sleep(1)
  }
  if (thenEnd) socket.end()
}
