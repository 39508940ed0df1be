// System calls on sockets, made one by one as a test says, with whatever the kernel
// answers: what a program sees that knows nothing of services. A process of its own,
// because a socket is in the network namespace and control group of who opens it.
//
//   socket-calls-program.ts
//
// A call a line, an answer a line, both JSON (see socket-calls.ts).

import dgram from 'node:dgram'
import net from 'node:net'
import readline from 'node:readline'
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from '../../src/ip/index.ts'
import { errnoName } from '../../src/sys/errors.ts'
import { addressOf, close, keepAlive, SYSCALL, stableBuffer, syscall } from '../../src/sys/native.ts'
import type { Answer, Call, Name } from './socket-calls.ts'

const AF_UNSPEC = 0
const FAMILY = { 4: 2, 6: 10 } as const
const TYPE = { TCP: 1, UDP: 2 } as const
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_RCVTIMEO = 20
const MSG_NOSIGNAL = 0x4000
/** Bounds a test that fails; an answer is there at once. */
const PATIENCE_SECONDS = 10n

const tell = (answer: Answer): void => console.log(JSON.stringify(answer))

for await (const line of readline.createInterface({ input: process.stdin })) {
  const call = JSON.parse(line) as Call
  if (call.call === 'serve') serve(call)
  else tell(answerTo(call))
}
process.exit(0)

function answerTo(call: Exclude<Call, { call: 'serve' }>): Answer {
  switch (call.call) {
    case 'socket':
      return open(call)
    case 'connect':
      return result(withName(call.to, (name, length) => syscall(SYSCALL.connect, call.fd, name, length)))
    case 'bind':
      return result(withName(call.name, (name, length) => syscall(SYSCALL.bind, call.fd, name, length)))
    case 'listen':
      return result(syscall(SYSCALL.listen, call.fd, 1))
    case 'getpeername':
      return readName((name, length) => syscall(SYSCALL.getpeername, call.fd, name, length))
    case 'send':
      return send(call)
    case 'receive':
      return receive(call.fd)
    case 'close':
      return result(close(call.fd))
  }
}

function result(value: number): Answer {
  return value < 0 ? { error: errnoName(-value) } : { value }
}

function open({ family, protocol }: Extract<Call, { call: 'socket' }>): Answer {
  const fd = syscall(SYSCALL.socket, FAMILY[family], TYPE[protocol], 0)
  const patience = stableBuffer(16)
  patience.writeBigInt64LE(PATIENCE_SECONDS)
  syscall(SYSCALL.setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, addressOf(patience), patience.length)
  const yes = stableBuffer(4)
  yes.writeInt32LE(1)
  syscall(SYSCALL.setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, addressOf(yes), 4)
  keepAlive([patience, yes])
  return result(fd)
}

function send({ fd, text, to }: Extract<Call, { call: 'send' }>): Answer {
  const content = stableBuffer(text.length)
  content.write(text)
  const sent = to
    ? withName(to, (name, length) =>
        syscall(SYSCALL.sendto, fd, addressOf(content), text.length, MSG_NOSIGNAL, name, length),
      )
    : syscall(SYSCALL.sendto, fd, addressOf(content), text.length, MSG_NOSIGNAL)
  keepAlive(content)
  return result(sent)
}

function receive(fd: number): Answer {
  const content = stableBuffer(2048)
  let length = 0
  const answer = readName((name, nameLength) => {
    length = syscall(SYSCALL.recvfrom, fd, addressOf(content), content.length, 0, name, nameLength)
    return length
  })
  return 'error' in answer ? answer : { ...answer, text: content.toString('utf8', 0, length) }
}

/** `struct sockaddr_in` or `sockaddr_in6`; without a name the one that says "none". */
function withName(name: Name | undefined, call: (address: bigint, length: number) => number): number {
  const ipv4 = name && parseIpv4(name.address)
  const ipv6 = name && parseIpv6(name.address)
  const bytes = stableBuffer(ipv6 ? 28 : 16)
  bytes.writeUInt16LE(ipv4 ? FAMILY[4] : ipv6 ? FAMILY[6] : AF_UNSPEC)
  bytes.writeUInt16BE(name?.port ?? 0, 2)
  if (ipv4) bytes.set(ipv4, 4)
  if (ipv6) bytes.set(ipv6, 8)
  const value = call(addressOf(bytes), bytes.length)
  keepAlive(bytes)
  return value
}

function readName(call: (address: bigint, length: bigint) => number): Answer {
  const bytes = stableBuffer(28)
  const length = stableBuffer(4)
  length.writeUInt32LE(bytes.length)
  const value = call(addressOf(bytes), addressOf(length))
  keepAlive([bytes, length])
  if (value < 0) return { error: errnoName(-value) }
  const isIpv4 = bytes.readUInt16LE() === FAMILY[4]
  const address = isIpv4 ? formatIpv4(bytes.subarray(4, 8)) : formatIpv6(bytes.subarray(8, 24))
  return { value, name: { address, port: bytes.readUInt16BE(2) } }
}

/** Answers whatever it gets with its own name in front, and to its last peer says so again at SIGUSR2. */
function serve({ name, protocol, at }: Extract<Call, { call: 'serve' }>): void {
  const failed = (error: Error): void => tell({ error: error.message })
  if (protocol === 'TCP') {
    let again = (): unknown => undefined
    const server = net.createServer(peer =>
      peer
        .on('data', text => {
          again = () => peer.write(`${name} again`)
          peer.write(`${name}: ${String(text)}`)
        })
        .on('error', () => peer.destroy()),
    )
    process.on('SIGUSR2', () => void again())
    server.on('error', failed).listen(at.port, at.address, () => tell({ value: 0 }))
    return
  }
  const socket = dgram.createSocket(net.isIPv6(at.address) ? 'udp6' : 'udp4')
  socket.on('message', (text, peer) => socket.send(`${name}: ${String(text)}`, peer.port, peer.address))
  socket.on('error', failed).bind(at.port, at.address, () => tell({ value: 0 }))
}
