// Load from inside a pod's network namespace, as a process of its own: Node opens the
// sockets of `net.connect` only after the call has returned, so a test process that
// merely enters a namespace would send from the machine's own network.
//
//   load-program.ts HOME hold ADDRESS PORT COUNT        opens connections; echoes each line of its input on all of them
//   load-program.ts HOME attempt ADDRESS PORT TIMEOUT   connects again and again until its input ends, then tells the counts
//
// HOME is the inode of the test's own network namespace: in that one it refuses to run.

import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import readline from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

const ECHO_TIMEOUT_MS = 10_000
const LISTEN_TIMEOUT_MS = 20_000
const PAUSE_MS = 2

const [home, mode, address = '', port = '', number = ''] = process.argv.slice(2)
if (String(fs.statSync('/proc/self/ns/net').ino) === home) {
  console.error('refused: this is the network namespace of the machine')
  process.exit(1)
}
if (mode === 'hold') await hold(Number(number))
else if (mode === 'attempt') await attempt(Number(number))
else throw new Error(`unknown mode ${mode}`)
process.exit(0)

async function hold(count: number): Promise<void> {
  const sockets = await Promise.all(Array.from({ length: count }, open))
  console.log('open')
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const answers = await Promise.allSettled(sockets.map(socket => echo(socket, line)))
    const lost = answers.filter(({ status }) => status === 'rejected').length
    console.log(lost === 0 ? 'echoed' : `${lost} of ${count} connections did not answer`)
  }
}

/** A pod runs a moment before its program listens: until then a connection is refused. */
async function open(): Promise<net.Socket> {
  const deadline = performance.now() + LISTEN_TIMEOUT_MS
  for (;;) {
    const socket = net.connect(Number(port), address).setEncoding('utf8')
    try {
      await once(socket, 'connect')
      return socket
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED' || performance.now() > deadline) throw error
      await sleep(PAUSE_MS)
    }
  }
}

async function echo(socket: net.Socket, line: string): Promise<void> {
  const signal = AbortSignal.timeout(ECHO_TIMEOUT_MS)
  let received = ''
  socket.write(line)
  while (!received.includes(line)) received += String(await once(socket, 'data', { signal }))
}

async function attempt(timeoutMs: number): Promise<void> {
  const stop = new AbortController()
  process.stdin.resume().once('end', () => stop.abort())
  let connected = 0
  let failed = 0
  while (!stop.signal.aborted) {
    const socket = net.connect(Number(port), address)
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(timeoutMs) })
      connected++
    } catch {
      failed++
    } finally {
      socket.destroy()
    }
    await sleep(PAUSE_MS)
  }
  console.log(JSON.stringify({ connected, failed }))
}
