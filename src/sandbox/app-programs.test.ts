// The DNS server and the gRPC of the pods' program, as clients of theirs see them.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http2 from 'node:http2'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { answerTo, type Names } from './app-names.ts'
import { callRpc, rpcServer } from './app-rpc.ts'

const NAMES: Names = new Map([['data.example.com', ['172.30.0.200', 'fd00::c8']]])
const [A, AAAA, TXT] = [1, 28, 16]

const question = (name: string, type = A): Buffer =>
  Buffer.concat([
    Buffer.from('123401000001000000000000', 'hex'),
    ...name.split('.').map(label => Buffer.from([label.length, ...Buffer.from(label)])),
    Buffer.of(0, 0, type, 0, 1),
  ])

const answers: { name: string; asked: Buffer; want: { code: number; content?: string } | undefined }[] = [
  { name: 'a name', asked: question('data.example.com'), want: { code: 0, content: 'ac1e00c8' } },
  { name: 'in other letters', asked: question('DATA.Example.com'), want: { code: 0, content: 'ac1e00c8' } },
  {
    name: 'its other family',
    asked: question('data.example.com', AAAA),
    want: { code: 0, content: 'fd0000000000000000000000000000c8' },
  },
  { name: 'another type', asked: question('data.example.com', TXT), want: { code: 0 } },
  { name: 'another name', asked: question('example.com'), want: { code: 3 } },
  { name: 'half a question', asked: question('data.example.com').subarray(0, 20), want: { code: 1 } },
  { name: 'an answer', asked: Buffer.from('123481000001000000000000', 'hex'), want: undefined },
  { name: 'no header', asked: Buffer.alloc(11), want: undefined },
]

for (const { name, asked, want } of answers)
  test(`DNS: ${name}`, () => {
    const answer = answerTo(asked, NAMES)
    if (!want || !answer) {
      assert.equal(answer, want)
      return
    }
    assert.equal(answer.readUInt16BE(0), 0x1234)
    assert.equal(answer.readUInt16BE(2), 0x8580 | want.code)
    assert.equal(answer.readUInt16BE(6), want.content ? 1 : 0)
    if (want.content) assert.ok(answer.toString('hex').endsWith(want.content))
  })

test('gRPC: calls on one connection, over a socket from which some was read', async t => {
  const folder = mkdtempSync(path.join(tmpdir(), 'axo-rpc-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const rpc = rpcServer('pod')
  const server = net.createServer(socket =>
    socket.once('data', first => {
      socket.pause()
      socket.unshift(first)
      rpc.emit('connection', socket)
    }),
  )
  const socket = path.join(folder, 'rpc.sock')
  server.listen(socket)
  await once(server, 'listening')
  const session = http2.connect('http://pod', { createConnection: () => net.connect(socket) })
  for (const method of ['/shop.Stock/Count', '/shop.Stock/Take'])
    assert.deepEqual(await callRpc(session, method, 5_000), { status: 0, says: `pod ${method}` })
  const other = session.request({ ':path': '/' })
  const [headers] = (await once(other, 'response')) as [http2.IncomingHttpHeaders & { ':status'?: number }]
  assert.equal(headers[':status'], 415)
  session.destroy()
  server.close()
})
