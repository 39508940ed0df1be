// Servers for tests, each at a port, over IPv4 and IPv6: what they are asked they answer
// with JSON that says how it reached them. A line on standard input asks what they have
// had since the last one.
//
//   https-server-program.ts SERVERS      of JSON: HttpsServer[]

import fs from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import type net from 'node:net'
import { createInterface } from 'node:readline'
import type tls from 'node:tls'

export type HttpsServer = {
  readonly port: number
  /** `http1`: that alone, where TLS is there both unless said. */
  readonly protocol?: 'http1' | 'http2'
  /** NAME of NAME.crt and NAME.key; without, it is no server of TLS. */
  readonly certificate?: string
  /** NAME of the authority whose certificate clients have to show. */
  readonly clients?: string
}
export type Reached = {
  readonly path: string
  readonly version: string
  readonly address: string
  readonly serverName?: string
  readonly client?: string | string[]
  readonly body: number
}
export type Had = { requests: number; bodyBytes: number; handshakes: number }

const had: Had = { requests: 0, bodyBytes: 0, handshakes: 0 }

for (const { port, protocol, certificate, clients } of JSON.parse(process.argv[2] ?? '') as HttpsServer[]) {
  const secure = certificate && {
    key: fs.readFileSync(`${certificate}.key`),
    cert: fs.readFileSync(`${certificate}.crt`),
    ...(clients && { ca: fs.readFileSync(`${clients}.crt`), requestCert: true, rejectUnauthorized: true }),
  }
  const server = serverOf(secure, protocol)
  server.on('request', (request: http.IncomingMessage, response: http.ServerResponse) => {
    had.requests++
    let body = 0
    request.on('data', (chunk: Buffer) => {
      body += chunk.length
      had.bodyBytes += chunk.length
    })
    request.on('end', () => {
      const socket = (
        'stream' in request ? (request as unknown as http2.Http2ServerRequest).stream.session?.socket : request.socket
      ) as (net.Socket & Partial<tls.TLSSocket>) | undefined
      const client = socket?.getPeerCertificate?.().subject?.CN
      const reached: Reached = {
        path: request.url ?? '',
        version: request.httpVersion,
        address: socket?.remoteAddress?.replace(/^::ffff:/, '') ?? '',
        ...(typeof socket?.servername === 'string' && { serverName: socket.servername }),
        ...(client && { client }),
        body,
      }
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(reached))
    })
  })
  server.on('secureConnection', () => had.handshakes++)
  server.on('tlsClientError', () => undefined)
  server.on('sessionError', () => undefined)
  server.listen(port, '::', () => console.log(`listens at ${port}`))
}
function serverOf(
  secure: (tls.SecureContextOptions & tls.TlsOptions) | '' | undefined,
  protocol: HttpsServer['protocol'],
) {
  if (!secure) return protocol === 'http2' ? http2.createServer() : http.createServer()
  return protocol === 'http1' ? https.createServer(secure) : http2.createSecureServer({ ...secure, allowHTTP1: true })
}
createInterface(process.stdin)
  .on('line', () => {
    console.log(JSON.stringify(had))
    Object.assign(had, { requests: 0, bodyBytes: 0, handshakes: 0 })
  })
  .on('close', () => process.exit())
