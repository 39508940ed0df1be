// Asks a DNS server as fast as it answers: so many questions on their way at a time, from
// one port. Prints how many were answered each second, and how long it took.
// Arguments: address and port to ask from, server, questions on their way, seconds, name.

import dgram from 'node:dgram'
import { message } from '../../src/dns/testing/messages.ts'

const [address = '', port = '', server = '', onTheirWay = '', seconds = '', name = ''] = process.argv.slice(2)
const LOST_MS = 1_000

const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4')
const asked = new Map<number, number>()
const latencies: number[] = []
let id = 0
let lost = 0
let isOver = false

function ask(): void {
  id = (id + 1) & 0xffff
  asked.set(id, performance.now())
  socket.send(message({ id, questions: [{ name: name.replace('N', String(id)) }] }), 53, server)
}

socket.on('message', bytes => {
  const at = asked.get(bytes.readUInt16BE(0))
  if (at === undefined) return
  asked.delete(bytes.readUInt16BE(0))
  latencies.push(performance.now() - at)
  if (!isOver) ask()
})

socket.bind(Number(port), address, () => {
  for (let i = 0; i < Number(onTheirWay); i++) ask()
})

const sweeper = setInterval(() => {
  for (const [id, at] of asked)
    if (performance.now() - at > LOST_MS) {
      asked.delete(id)
      lost++
      ask()
    }
}, 100)

setTimeout(() => {
  isOver = true
  clearInterval(sweeper)
  const sorted = latencies.sort((a, b) => a - b)
  const at = (part: number): number => Math.round((sorted[Math.floor(sorted.length * part)] ?? 0) * 1000)
  const rate = Math.round(sorted.length / Number(seconds))
  console.log(JSON.stringify({ rate, p50Micros: at(0.5), p99Micros: at(0.99), lost }))
  socket.close()
}, Number(seconds) * 1000)
