// A DNS server for tests of rules about names. The name says what is answered: the label
// `a7` is the seventh address of the range given, `t3` a time to live of 3 seconds, `x` an
// alias on the way, `ip-10-0-0-1` that very address. AAAA questions have an answer where a range of IPv6 is given.

import dgram from 'node:dgram'
import { readQuery } from '../../src/dns/index.ts'
import { addressRecord, cnameRecord, message, TYPE } from '../../src/dns/testing/messages.ts'
import { ip } from '../../src/ip/index.ts'

const ANSWER = 0x8580
const [first4 = '', first6 = ''] = process.argv.slice(2)

/** The address that stands so many behind the first one; the last byte alone counts. */
function addressAfter(first: string, offset: number): number[] {
  const { family, bytes } = ip(first)
  const all = family === 4 ? [...bytes.subarray(12)] : [...bytes]
  return [...all.slice(0, -1), ((all.at(-1) ?? 0) + offset) % 256]
}

const numberIn = (labels: readonly string[], letter: string): number | undefined => {
  const label = labels.find(text => new RegExp(`^${letter}\\d+$`).test(text))
  return label === undefined ? undefined : Number(label.slice(1))
}

const socket = dgram.createSocket('udp4')
socket.on('message', (bytes, client) => {
  const question = readQuery(bytes)
  if ('problem' in question) return
  const { id, name, type } = question
  const labels = name.split('.')
  const first = type === TYPE.A ? first4 : type === TYPE.AAAA ? first6 : ''
  const offset = numberIn(labels, 'a')
  const ttl = numberIn(labels, 't') ?? 60
  const given = labels.map(label => /^ip-(\d+)-(\d+)-(\d+)-(\d+)$/.exec(label)).find(found => found !== null)
  const address = given ? given.slice(1).map(Number) : undefined
  const owner = labels.includes('x') ? 'alias.elsewhere' : name
  const content = address ?? (first === '' || offset === undefined ? undefined : addressAfter(first, offset))
  const records = content ? [addressRecord(owner, content, ttl)] : []
  const answers = owner === name ? records : [cnameRecord(name, owner, 300), ...records]
  socket.send(message({ id, flags: ANSWER, questions: [{ name, type }], answers }), client.port, client.address)
})
socket.bind(53, '0.0.0.0', () => console.log('ready'))
