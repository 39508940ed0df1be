// Sockets inside a network namespace, as a process of its own: Node opens a socket only
// after the call has returned, so a test process that merely enters a namespace would
// send from the machine's own network.
//
//   sockets-program.ts HOME
//
// Takes a command a line and tells events a line, both JSON (see sockets.ts). HOME is the
// inode of the test's own network namespace: in that one it refuses to run.

import dgram from 'node:dgram'
import fs from 'node:fs'
import net from 'node:net'
import readline from 'node:readline'
import type { Command, SocketEvent } from './sockets.ts'

if (String(fs.statSync('/proc/self/ns/net').ino) === process.argv[2]) {
  console.error('refused: this is the network namespace of the machine')
  process.exit(1)
}

/** What can be told to a socket: for one that listens, to whoever spoke to it last. */
type Open = { readonly send: (text: string) => void; readonly close: () => void }

const sockets = new Map<number, Open>()

const tell = (event: SocketEvent): void => console.log(JSON.stringify(event))
const tellError =
  (id: number) =>
  (error: NodeJS.ErrnoException): void =>
    tell({ id, kind: 'error', code: error.code ?? error.message })

for await (const line of readline.createInterface({ input: process.stdin })) obey(JSON.parse(line) as Command)
process.exit(0)

function obey(command: Command): void {
  const { id } = command
  switch (command.order) {
    case 'listen':
      sockets.set(id, command.protocol === 'TCP' ? listenTcp(command) : listenUdp(command))
      break
    case 'connect':
      sockets.set(id, command.protocol === 'TCP' ? connectTcp(command) : connectUdp(command))
      break
    case 'send':
      sockets.get(id)?.send(command.text)
      break
    case 'close':
      sockets.get(id)?.close()
      sockets.delete(id)
      break
  }
}

type Listen = Extract<Command, { order: 'listen' }>
type Connect = Extract<Command, { order: 'connect' }>

function listenTcp({ id, port }: Listen): Open {
  const peers = new Set<net.Socket>()
  let last: net.Socket | undefined
  const server = net.createServer(socket => {
    last = socket
    peers.add(socket)
    hear(id, socket)
    socket.on('data', () => {
      last = socket
    })
  })
  server.on('error', tellError(id)).listen(port, () => tell({ id, kind: 'open', port }))
  return {
    send: text => last?.write(text),
    close: () => {
      server.close()
      for (const peer of peers) peer.destroy()
    },
  }
}

function connectTcp({ id, address, port, from, fromPort }: Connect): Open {
  const own = { ...(from && { localAddress: from }), ...(fromPort && { localPort: fromPort }) }
  const socket = net.connect({ host: address, port, ...own })
  socket.on('connect', () => tell({ id, kind: 'open', port: socket.localPort ?? 0 }))
  hear(id, socket)
  return { send: text => socket.write(text), close: () => socket.destroy() }
}

function hear(id: number, socket: net.Socket): void {
  socket.setNoDelay().setEncoding('utf8')
  socket.on('data', text => tell({ id, kind: 'data', text: String(text) }))
  socket.on('error', tellError(id)).on('close', () => tell({ id, kind: 'closed' }))
}

/** One socket for both families, as a server has it. */
function listenUdp({ id, port }: Listen): Open {
  const socket = dgram.createSocket('udp6')
  let last: dgram.RemoteInfo | undefined
  socket.on('message', (text, peer) => {
    last = peer
    tell({ id, kind: 'data', text: text.toString() })
  })
  socket.on('error', tellError(id)).bind(port, () => tell({ id, kind: 'open', port }))
  return {
    send: text => last && socket.send(text, last.port, last.address, () => undefined),
    close: () => socket.close(),
  }
}

/** Connected, so that the kernel tells it of ICMP errors. */
function connectUdp({ id, address, port, from, fromPort }: Connect): Open {
  // A port that was asked for may be another socket's, too, which is connected elsewhere.
  const socket = dgram.createSocket({ type: net.isIPv6(address) ? 'udp6' : 'udp4', reuseAddr: fromPort !== undefined })
  socket.on('message', text => tell({ id, kind: 'data', text: text.toString() })).on('error', tellError(id))
  const connect = () => socket.connect(port, address, () => tell({ id, kind: 'open', port: socket.address().port }))
  socket.bind({ port: fromPort ?? 0, ...(from && { address: from }) }, connect)
  return {
    send: text =>
      socket.send(text, error => {
        if (error) tellError(id)(error)
      }),
    close: () => socket.close(),
  }
}
