// A DNS server for tests, on port 53 of the addresses that it is given: the first label
// of a name says what it does. Prints each question that it hears, as a line of JSON,
// unless `quiet` is the last argument.

import dgram from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import { type Question, readEdns, readQuery } from '../../src/dns/index.ts'
import { addressRecord, cnameRecord, type Message, message } from '../../src/dns/testing/messages.ts'

const PORT = 53
const ANSWER = 0x8180
const TRUNCATED = 0x0200
const NAME_ERROR = 3
const AAAA = 28
const LATE_MS = 300

const [last, ...others] = process.argv.slice(2).reverse()
const isQuiet = last === 'quiet'
const addresses = isQuiet ? others : process.argv.slice(2)

function hear(
  transport: string,
  from: { address?: string | undefined; port?: number | undefined },
  query: Uint8Array,
): void {
  const question = readQuery(query)
  if (isQuiet || 'problem' in question) return
  const payloadBytes = readEdns(query, question)?.payloadBytes
  console.log(JSON.stringify({ transport, ...from, id: question.id, name: question.name, payloadBytes }))
}

function answerTo(question: Question, transport: 'TCP' | 'UDP'): Message {
  const { id, name, type } = question
  const answer = { id, flags: ANSWER, questions: [{ name, type }] }
  const what = name.split('.')[0] ?? ''
  const last = Number(/^a(\d+)$/.exec(what)?.[1] ?? 1)
  const address =
    type === AAAA ? [0x20, 1, 0xd, 0xb8, ...Array<number>(11).fill(0), last % 256] : [192, 0, 2, last % 256]
  if (what === 'nx') return { ...answer, flags: ANSWER | NAME_ERROR }
  if (what === 'big' && transport === 'UDP') return { ...answer, flags: ANSWER | TRUNCATED }
  if (what === 'big')
    return { ...answer, answers: Array.from({ length: 200 }, (_, i) => addressRecord(name, [192, 0, 2, i])) }
  if (what === 'cname')
    return { ...answer, answers: [cnameRecord(name, 'edge.cdn', 30), addressRecord('edge.cdn', [192, 0, 2, 9])] }
  if (what === 'nottl') return { ...answer, answers: [addressRecord(name, address, 0)] }
  return { ...answer, answers: [addressRecord(name, address)] }
}

async function serveDatagrams(address: string): Promise<void> {
  const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4')
  socket.on('message', (bytes, client) => {
    const question = readQuery(bytes)
    if ('problem' in question) return
    hear('UDP', { address: client.address, port: client.port }, bytes)
    const send = (answer: Message): void => socket.send(message(answer), client.port, client.address)
    const answer = answerTo(question, 'UDP')
    const forged = { ...answer, id: (question.id + 1) & 0xffff }
    const what = question.name.split('.')[0]
    if (what === 'silent') return
    if (what === 'onlyforged') for (let i = 0; i < 20; i++) send(forged)
    else if (what === 'badid') {
      send(forged)
      send({ ...answer, questions: [{ name: 'another.example' }] })
      send(answer)
    } else if (what === 'late') setTimeout(() => send(answer), LATE_MS)
    else if (what === 'bare') send({ id: question.id, flags: ANSWER | 1 })
    else send(answer)
  })
  socket.bind(PORT, address)
  await once(socket, 'listening')
}

async function serveStreams(address: string): Promise<void> {
  const server = net.createServer(socket => {
    socket.on('error', () => undefined)
    let rest: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
        const end = 2 + rest.readUInt16BE(0)
        const query = rest.subarray(2, end)
        const question = readQuery(query)
        rest = rest.subarray(end)
        if ('problem' in question) continue
        hear('TCP', { address: socket.remoteAddress, port: socket.remotePort }, query)
        const what = question.name.split('.')[0]
        if (what === 'close') socket.end()
        else if (what !== 'silent')
          setTimeout(() => send(socket, answerTo(question, 'TCP')), what === 'late' ? LATE_MS : 0)
      }
    })
  })
  server.listen(PORT, address)
  await once(server, 'listening')
}

function send(socket: net.Socket, answer: Message): void {
  const bytes = message(answer)
  socket.write(Buffer.from([bytes.length >> 8, bytes.length & 0xff, ...bytes]))
}

for (const address of addresses) {
  await serveDatagrams(address)
  await serveStreams(address)
}
console.log('"ready"')
