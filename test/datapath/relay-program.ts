// A proxy as small as one can be: it takes connections and datagrams for any address
// where the datapath hands them to it, passes them on in the name of who sent them, and
// puts before each answer what the kernel says that the connection is judged by.
//
//   relay-program.ts MAP-ID
//
// MAP-ID is that of `proxy_sockets`; it also listens for the TLS contexts of slots 0 and 31. A first message that begins with "same" is passed on
// from the client's own port, with "close" the connection is closed at once; a datagram that begins with "late" comes from a port where
// nobody waits for the answer. Says "ready" when it listens.

import net from 'node:net'
import { KernelMap, parseObject } from '../../src/bpf/index.ts'
import { formatIp, ip } from '../../src/ip/index.ts'
import { type ProxyListener, proxySocketIndex, readDatapathObject } from '../../src/maps/index.ts'
import { bindTo, makeTransparent } from '../../src/net/foreign-sockets.ts'
import {
  connectForeign,
  DatagramBatch,
  ForeignSender,
  openForeignDatagrams,
  openTransparentSocket,
  type SocketEnd,
  tellOriginalDestination,
} from '../../src/net/index.ts'
import { check } from '../../src/sys/errors.ts'
import { addressOf, close, keepAlive, poll, SYSCALL, stableBuffer, syscall } from '../../src/sys/native.ts'
import { POD_OBJECT } from './socket-node.ts'

const SOL_TCP = 6
const TCP_INFO = 11
const PROXY_ANSWER = 0x58000000
const EGRESS_ANSWER = 0x60000000
const ECONNREFUSED = 111
const LATE_PORT = 9999
const INFO = {
  bytes: 104,
  unacked: 24,
  sacked: 28,
  lost: 32,
  retrans: 36,
  fackets: 40,
  rtt: 68,
  rttvar: 72,
  reordering: 88,
} as const

const { schema } = readDatapathObject(parseObject(POD_OBJECT))
/** Whoever is forgotten is not called any more. */
const polled: unknown[] = []
const sockets = KernelMap.byId<number, bigint>(Number(process.argv[2]))

for (const family of [4, 6] as const) {
  relayConnections(register(family, 'TCP', 'HTTP'))
  for (const slot of [0, 31]) relayConnections(register(family, 'TCP', { slot }), `slot ${slot} `)
  relayDatagrams(register(family, 'UDP', 'DNS'), family)
}
console.log('ready')

function register(family: 4 | 6, protocol: 'TCP' | 'UDP', listener: ProxyListener): number {
  const mark = protocol === 'TCP' ? schema.proxyMark.number.ACCEPTED : undefined
  const { fd } = openTransparentSocket(family, protocol, mark)
  const name = protocol === 'TCP' ? 'tcp' : 'udp'
  const value = Buffer.alloc(8)
  value.writeBigUInt64LE(BigInt(fd))
  const key = Buffer.alloc(4)
  key.writeUInt32LE(proxySocketIndex(schema, listener, name, family))
  sockets.setRaw(key, value)
  return fd
}

/** @param place what is put before each answer besides */
function relayConnections(fd: number, place = ''): void {
  net.createServer(client => void relay(client, place).catch(() => client.destroy())).listen({ fd })
}

async function relay(client: net.Socket, place: string): Promise<void> {
  const opener = endOf(client.remoteAddress, client.remotePort)
  const responder = endOf(client.localAddress, client.localPort)
  client.on('error', () => client.destroy())
  const first = await new Promise<Buffer>(resolve => client.once('data', resolve))
  if (first.toString().startsWith('close')) return void client.end()
  const keepsPort = first.toString().startsWith('same')
  const upstream = keepsPort ? fromSamePort(opener, responder) : await fromAnyPort(opener, responder)
  upstream
    .on('error', () => client.resetAndDestroy())
    .on('data', text => client.write(`${place}${judgedBy(client)} ${String(text)}`))
  upstream.write(first)
  client.on('data', text => upstream.write(text)).on('close', () => upstream.destroy())
}

async function fromAnyPort(opener: SocketEnd, responder: SocketEnd): Promise<net.Socket> {
  return new net.Socket({ fd: await connectForeign(opener.address, responder, AbortSignal.timeout(10_000)) })
}

function fromSamePort(opener: SocketEnd, responder: SocketEnd): net.Socket {
  const isFour = net.isIPv4(formatIp(opener.address))
  const family = isFour ? 2 : 10
  const fd = check('open', syscall(SYSCALL.socket, family, 1 | 0o4000, 0))
  check('make transparent', makeTransparent(fd, family))
  check('bind', bindTo(fd, opener))
  return new net.Socket({ fd }).connect(responder.port, formatIp(responder.address))
}

const endOf = (address = '', port = 0): SocketEnd => ({ address: ip(address).bytes, port })

/** What the kernel answers: rule sets, identities and rules, of opener and responder, and the service. */
function judgedBy(client: net.Socket): string {
  const info = stableBuffer(INFO.bytes)
  const length = stableBuffer(4)
  length.writeUInt32LE(info.length)
  const { fd } = Reflect.get(client, '_handle') as { readonly fd: number }
  check('TCP_INFO', syscall(SYSCALL.getsockopt, fd, SOL_TCP, TCP_INFO, addressOf(info), addressOf(length)))
  keepAlive([info, length])
  const at = (name: Exclude<keyof typeof INFO, 'bytes'>) => info.readUInt32LE(INFO[name])
  if (at('unacked') < PROXY_ANSWER) return '[unknown]'
  const [egress, ingress] = [at('unacked') - PROXY_ANSWER, at('sacked') - PROXY_ANSWER]
  const only = egress > 0 && ingress > 0 ? 0 : egress > 0 ? EGRESS_ANSWER + egress : PROXY_ANSWER + ingress
  const sets = at('rttvar') === only ? `${egress}/${ingress}` : `not ${at('rttvar')}`
  const service = at('rtt') === 0 ? '' : ` service ${at('rtt')}`
  return `[${sets} ${at('lost')}>${at('retrans')} ${at('fackets')},${at('reordering')}${service}]`
}

function relayDatagrams(fd: number, family: 4 | 6): void {
  const batch = new DatagramBatch(8, 2048)
  const sender = new ForeignSender(family)
  tellOriginalDestination(fd, family)
  const handle = poll(fd, () => {
    for (let index = 0, count = batch.receive(fd); index < count; index++) {
      const [from, to] = [batch.source(index), batch.destination(index)]
      if (from && to) relayDatagram(sender, from, to, Buffer.from(batch.payload(index)))
    }
  })
  polled.push(handle)
}

/** One question, one answer. */
function relayDatagram(sender: ForeignSender, from: SocketEnd, to: SocketEnd, question: Buffer): void {
  // Nobody waits for that answer any more.
  if (question.toString().startsWith('late')) return void sender.send({ ...from, port: LATE_PORT }, to, question)
  const fd = check('open', openForeignDatagrams(from.address, to))
  const content = stableBuffer(question.length)
  content.set(question)
  check('send', syscall(SYSCALL.sendto, fd, addressOf(content), content.length, 0, 0, 0))
  keepAlive(content)
  const batch = new DatagramBatch(1, 2048)
  const handle = poll(fd, () => {
    const received = batch.receive(fd)
    const answer = received === 1 ? `[relayed] ${String(Buffer.from(batch.payload(0)))}` : '[refused]'
    if (received === 1 || received === -ECONNREFUSED) sender.send(to, from, Buffer.from(answer))
    handle.close()
    close(fd)
  })
}
