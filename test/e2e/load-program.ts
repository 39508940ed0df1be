// Load from inside a pod's network namespace, as a process of its own: Node opens the
// sockets of `net.connect` only after the call has returned, so a test process that
// merely enters a namespace would send from the machine's own network.
//
//   load-program.ts HOME hold ADDRESS PORT COUNT        opens connections; echoes each line of its input on all of them
//   load-program.ts HOME attempt ADDRESS PORT TIMEOUT   connects again and again until its input ends, then tells how many did, and what failed
//   load-program.ts HOME flood ADDRESS PORT             sends datagrams as fast as it can until its input ends, then tells how many
//
// HOME is the inode of the test's own network namespace: in that one it refuses to run.

import dgram from 'node:dgram'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import readline from 'node:readline'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'

const ECHO_TIMEOUT_MS = 10_000
const LISTEN_TIMEOUT_MS = 20_000
const PAUSE_MS = 2
const DATAGRAMS_PER_TURN = 64

const [home, mode, address = '', port = '', number = ''] = process.argv.slice(2)
if (String(fs.statSync('/proc/self/ns/net').ino) === home) {
  console.error('refused: this is the network namespace of the machine')
  process.exit(1)
}
if (mode === 'hold') await hold(Number(number))
else if (mode === 'attempt') await attempt(Number(number))
else if (mode === 'flood') await flood()
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
  const failures: string[] = []
  while (!stop.signal.aborted) {
    const socket = net.connect(Number(port), address)
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(timeoutMs) })
      connected++
    } catch (error) {
      const { code, name } = error as NodeJS.ErrnoException
      // A pod runs a moment before its program listens.
      if (code !== 'ECONNREFUSED' || connected > 0) failures.push(`${code ?? name} after ${connected} connections`)
    } finally {
      socket.destroy()
    }
    await sleep(PAUSE_MS)
  }
  console.log(JSON.stringify({ connected, failures }))
}

async function flood(): Promise<void> {
  const stop = new AbortController()
  process.stdin.resume().once('end', () => stop.abort())
  const socket = dgram.createSocket(net.isIPv6(address) ? 'udp6' : 'udp4')
  socket.connect(Number(port), address)
  await once(socket, 'connect')
  let sent = 0
  console.log('flooding')
  while (!stop.signal.aborted) {
    for (let i = 0; i < DATAGRAMS_PER_TURN; i++) socket.send('x', () => sent++)
    await nextTurn()
  }
  console.log(JSON.stringify({ sent }))
}
