// Asks DNS servers for tests: a line of JSON on its input is what to send, one on its
// output is what came back until enough did, or the time was over.

import dgram from 'node:dgram'
import net from 'node:net'
import readline from 'node:readline'

export type ClientCall = {
  readonly transport: 'TCP' | 'UDP'
  readonly from: { readonly address: string; readonly port: number }
  readonly to: { readonly address: string; readonly port: number }
  /** In base 64, sent at once. */
  readonly messages: readonly string[]
  readonly wanted: number
  readonly timeoutMs: number
  /** Over TCP: nothing more will be asked. */
  readonly isLast?: boolean
}

export type ClientAnswer = {
  readonly answers: readonly { readonly message: string; readonly from: string }[]
  /** How a connection ended before that. */
  readonly end?: string
}

function overDatagrams({ from, to, messages, wanted, timeoutMs }: ClientCall): Promise<ClientAnswer> {
  const { promise, resolve } = Promise.withResolvers<ClientAnswer>()
  const socket = dgram.createSocket({ type: from.address.includes(':') ? 'udp6' : 'udp4', reuseAddr: true })
  const answers: { message: string; from: string }[] = []
  const finish = (): void => {
    clearTimeout(timer)
    socket.close(() => resolve({ answers }))
  }
  const timer = setTimeout(finish, timeoutMs)
  socket.on('message', (bytes, { address, port }) => {
    answers.push({ message: bytes.toString('base64'), from: `${address} ${port}` })
    if (answers.length === wanted) finish()
  })
  socket.bind(from.port, from.address, () => {
    for (const message of messages) socket.send(Buffer.from(message, 'base64'), to.port, to.address)
  })
  return promise
}

function overStream({ from, to, messages, wanted, timeoutMs, isLast }: ClientCall): Promise<ClientAnswer> {
  const { promise, resolve } = Promise.withResolvers<ClientAnswer>()
  const socket = net.connect({ host: to.address, port: to.port, localAddress: from.address, localPort: from.port })
  const answers: { message: string; from: string }[] = []
  let rest: Buffer = Buffer.alloc(0)
  const finish = (end?: string): void => {
    clearTimeout(timer)
    // With a reset, so that the port can be used again at once.
    socket.resetAndDestroy()
    resolve({ answers, ...(end !== undefined && { end }) })
  }
  const timer = setTimeout(() => finish('timeout'), timeoutMs)
  socket.on('error', error => finish(error.message))
  socket.on('end', () => finish('end'))
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
      const end = 2 + rest.readUInt16BE(0)
      answers.push({
        message: rest.subarray(2, end).toString('base64'),
        from: `${socket.remoteAddress} ${socket.remotePort}`,
      })
      rest = rest.subarray(end)
    }
    if (answers.length >= wanted) finish()
  })
  // All in one write: a client that does not wait.
  const frames = messages.map(message => Buffer.from(message, 'base64'))
  socket.write(Buffer.concat(frames.flatMap(bytes => [Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])))
  if (isLast) socket.end()
  return promise
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const call = JSON.parse(line) as ClientCall
  const ask = call.transport === 'UDP' ? overDatagrams : overStream
  console.log(JSON.stringify(await ask(call)))
}
