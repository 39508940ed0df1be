// A server for tests that keeps every byte that reaches it: HTTP/1.1 at port 80, HTTP/2
// without TLS at port 81, both families. Each line on standard input asks for what came
// since the last; the answer is a line of JSON. It upgrades connections to WebSocket,
// where it sends back what it is sent.

import { createHash } from 'node:crypto'
import http from 'node:http'
import http2 from 'node:http2'
import type net from 'node:net'
import { createInterface } from 'node:readline'
import { PORT } from './http-network.ts'

const seen: Buffer[] = []
const streams: string[] = []
const targets: string[] = []
let connections = 0

function keep(socket: net.Socket): void {
  connections++
  socket.on('data', (chunk: Buffer) => seen.push(chunk))
  socket.on('error', () => socket.destroy())
}

const http1 = http.createServer({ insecureHTTPParser: true }, (request, response) => {
  targets.push(`${request.method} ${request.url}`)
  request.resume()
  if (!request.url?.startsWith('/large')) request.on('end', () => response.end('ok'))
  if (request.url?.startsWith('/early')) response.end('ok')
  if (request.url?.startsWith('/switch')) request.socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n')
  if (request.url?.startsWith('/large'))
    stream(response, Number(new URL(request.url, 'http://x').searchParams.get('mb')))
})
http1.keepAliveTimeout = 3_600_000
http1.on('upgrade', (request, socket) => {
  targets.push(`${request.method} ${request.url}`)
  // RFC 6455, 4.2.2.
  const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
  const accept = createHash('sha1').update(key).digest('base64')
  const lines = ['connection: upgrade', 'upgrade: websocket', `sec-websocket-accept: ${accept}`]
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`)
  socket.on('data', (chunk: Buffer) => socket.write(chunk))
})
http1.on('clientError', (_error, socket) => socket.destroy())

function stream(response: http.ServerResponse, megabytes: number): void {
  const chunk = Buffer.alloc(1 << 20, 'x')
  let left = megabytes
  const more = (): void => {
    while (left-- > 0) if (!response.write(chunk)) return
    response.end()
  }
  response.on('drain', more)
  more()
}

const http2Server = http2.createServer({ settings: { enableConnectProtocol: true } })
http2Server.on('stream', (stream, headers) => {
  streams.push(JSON.stringify(headers))
  stream.on('error', () => stream.destroy())
  const grpc = String(headers['content-type']).startsWith('application/grpc')
  stream.respond({ ':status': 200, ...(grpc && { 'content-type': 'application/grpc' }) }, { waitForTrailers: grpc })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.resume()
  stream.on('end', () => stream.end('ok'))
})

for (const [server, port] of [
  [http1, PORT.http1],
  [http2Server, PORT.http2],
] as const) {
  server.on('connection', keep)
  server.listen(port, '::')
}

http1.once('listening', () => process.stdout.write('ready\n'))
createInterface(process.stdin).on('line', () => {
  const bytes = Buffer.concat(seen.splice(0)).toString('latin1')
  process.stdout.write(
    `${JSON.stringify({ bytes, streams: streams.splice(0), targets: targets.splice(0), connections })}\n`,
  )
  connections = 0
})
process.stdin.on('end', () => process.exit())
