// A client for tests that writes any bytes. Each line on standard input is a connection:
// what to write, and after how many answers to close. The answer is a line of JSON with
// the bytes that came, and whether the other side closed.

import net from 'node:net'
import { createInterface } from 'node:readline'

export type ClientCommand = {
  readonly id: number
  readonly host: string
  readonly port: number
  /** Latin-1; each in a write of its own, the next when something has come since, or soon after. */
  readonly writes: readonly string[]
  /** Answers of HTTP/1 to wait for; the other side may close first. */
  readonly answers: number
  /** Do not read answers: wait for the other side to close, or for silence. */
  readonly silenceMs?: number
}
export type ClientResult = { readonly id: number; readonly bytes: string; readonly closed: boolean }

/** A connection that hangs is told as it is. */
const DEADLINE_MS = 5_000
const BETWEEN_WRITES_MS = 10

createInterface(process.stdin).on('line', line => talk(JSON.parse(line) as ClientCommand))
process.stdin.on('end', () => process.exit())

function talk({ id, host, port, writes, answers, silenceMs }: ClientCommand): void {
  const waiting = [...writes]
  let bytes = ''
  let done = false
  const socket = net.connect({ host, port, noDelay: true })
  const finish = (closed: boolean): void => {
    if (done) return
    done = true
    clearTimeout(deadline)
    socket.destroy()
    process.stdout.write(`${JSON.stringify({ id, bytes, closed } satisfies ClientResult)}\n`)
  }
  const deadline = setTimeout(() => finish(false), silenceMs ?? DEADLINE_MS)
  const write = (): void => {
    const next = waiting.shift()
    if (next === undefined || done) return
    socket.write(Buffer.from(next, 'latin1'))
    setTimeout(write, BETWEEN_WRITES_MS)
  }
  socket.on('connect', write)
  socket.on('data', chunk => {
    bytes += chunk.toString('latin1')
    if (silenceMs === undefined && countAnswers(bytes) >= answers) finish(false)
  })
  socket.on('end', () => finish(true))
  socket.on('error', () => finish(true))
}

/** Whole answers with their bodies. Those without a length end with the connection. */
function countAnswers(bytes: string): number {
  let count = 0
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf('\r\n\r\n', at)
    if (end < 0) return count
    const head = bytes.slice(at, end).toLowerCase()
    const [, length] = /\r\ncontent-length: *(\d+)/.exec(head) ?? []
    const informational = /^http\/1\.1 1(?!01)/.test(head)
    at = end + 4
    if (length !== undefined) at += Number(length)
    else if (head.includes('\r\ntransfer-encoding: chunked')) {
      const last = bytes.indexOf('\r\n0\r\n\r\n', end)
      at = last < 0 ? Number.POSITIVE_INFINITY : last + 7
    } else if (!informational && !/^http\/1\.1 (101|204|304)/.test(head)) return count
    if (at > bytes.length) return count
    if (!informational) count++
  }
  return count
}
