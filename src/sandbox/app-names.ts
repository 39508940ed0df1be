// The DNS server of the pods' program: a few names with an address each, over UDP. Copied into each pod beside app.ts,
// so it imports nothing else but Node.

import dgram from 'node:dgram'
import net from 'node:net'
import { EXIT, quit } from './app-clients.ts'

const HEADER_BYTES = 12
const MAX_LABEL_BYTES = 63
const TYPE = { A: 1, AAAA: 28 } as const
const CODE = { noError: 0, formatError: 1, noSuchName: 3 } as const
/** A response, with authority, that repeats whether recursion is desired and has it. */
const RESPONSE = 0x8480
const RECURSION_DESIRED = 0x0100
const NAME_OF_QUESTION = 0xc000 | HEADER_BYTES
const TTL_SECONDS = 60

/** Addresses by name, in small letters and without the last dot. */
export type Names = ReadonlyMap<string, readonly string[]>

/** names NAME=ADDRESS…: answers for these names; of all others it says that they are not there */
export function serveNames(args: string[]): void {
  const names = new Map<string, string[]>()
  for (const arg of args) {
    const [name = '', address = ''] = arg.split('=')
    if (name === '' || net.isIP(address) === 0) quit(EXIT.usage, `names NAME=ADDRESS …: not so: '${arg}'`)
    names.set(name.toLowerCase(), [...(names.get(name.toLowerCase()) ?? []), address])
  }
  const socket = dgram.createSocket({ type: 'udp6', ipv6Only: false })
  socket.on('error', error => quit(EXIT.failed, `cannot listen: ${error.message}`))
  socket.on('message', (question, from) => {
    const answer = answerTo(question, names)
    if (answer) socket.send(answer, from.port, from.address, () => {})
  })
  socket.bind(53)
}

/** @returns undefined for what is no question */
export function answerTo(message: Buffer, names: Names): Buffer | undefined {
  if (message.length < HEADER_BYTES || message.readUInt16BE(2) & 0x8000) return undefined
  const asked = message.readUInt16BE(4) === 1 ? readQuestion(message) : undefined
  if (!asked) return withHeader(message, CODE.formatError, [], [])
  const found = names.get(asked.name)
  const addresses = (found ?? []).filter(address => asked.type === (net.isIPv6(address) ? TYPE.AAAA : TYPE.A))
  const records = addresses.map(address => recordOf(asked.type, address))
  return withHeader(message, found ? CODE.noError : CODE.noSuchName, [asked.bytes], records)
}

function readQuestion(message: Buffer): { name: string; type: number; bytes: Buffer } | undefined {
  const labels: string[] = []
  let at = HEADER_BYTES
  for (;;) {
    const length = message[at]
    if (length === undefined || length > MAX_LABEL_BYTES) return undefined
    at += 1 + length
    if (length === 0) break
    labels.push(message.toString('latin1', at - length, at).toLowerCase())
  }
  if (message.length < at + 4) return undefined
  return {
    name: labels.join('.'),
    type: message.readUInt16BE(at),
    bytes: message.subarray(HEADER_BYTES, at + 4),
  }
}

function withHeader(asked: Buffer, code: number, questions: readonly Buffer[], records: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt16BE(asked.readUInt16BE(0), 0)
  header.writeUInt16BE(RESPONSE | (asked.readUInt16BE(2) & RECURSION_DESIRED) | code, 2)
  header.writeUInt16BE(questions.length, 4)
  header.writeUInt16BE(records.length, 6)
  return Buffer.concat([header, ...questions, ...records])
}

function recordOf(type: number, address: string): Buffer {
  const content = bytesOf(address)
  const head = Buffer.alloc(12)
  head.writeUInt16BE(NAME_OF_QUESTION, 0)
  head.writeUInt16BE(type, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt32BE(TTL_SECONDS, 6)
  head.writeUInt16BE(content.length, 10)
  return Buffer.concat([head, content])
}

function bytesOf(address: string): Buffer {
  if (net.isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  const [before = '', after] = address.split('::')
  const words = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const [first, last] = [words(before), words(after ?? '')]
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => '0')
  return Buffer.from([...first, ...zeros, ...last].map(word => word.padStart(4, '0')).join(''), 'hex')
}
