// A client for tests, of HTTP inside of TLS or without. Each line on standard input is a
// connection with its requests, one after the other, and is answered with a line of JSON.

import fs from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import net from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'

export type HttpsRequest = {
  readonly method?: string
  readonly path: string
  readonly host: string
  readonly headers?: Readonly<Record<string, string>>
  readonly bodyBytes?: number
  /** A file: it is not sent before that is there. */
  readonly after?: string
}
export type HttpsCommand = {
  readonly id: number
  readonly address: string
  readonly port: number
  readonly protocol: 'http1' | 'http2'
  /** Without it, no TLS. */
  readonly tls?: {
    readonly serverName?: string
    /** NAME of the authority by which the server's certificate is looked at. */
    readonly authority?: string
    /** NAME of the certificate to be shown. */
    readonly certificate?: string
  }
  readonly requests: readonly HttpsRequest[]
}
export type HttpsAnswer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}
export type HttpsResult = {
  readonly id: number
  readonly answers: readonly HttpsAnswer[]
  /** Of the connection, where it failed. */
  readonly error?: string
  /** CN of the certificate that the server showed, and whether it is trusted. */
  readonly peer?: string
  readonly trusted?: boolean
}

createInterface(process.stdin)
  .on('line', line => void talk(JSON.parse(line) as HttpsCommand))
  .on('close', () => process.exit())

async function talk(command: HttpsCommand): Promise<void> {
  const socket = connect(command)
  const answers: HttpsAnswer[] = []
  let error: string | undefined
  let peer: string | undefined
  const failed = new Promise<never>((_, reject) => {
    socket.on('error', reject)
    socket.on('close', () => reject(Object.assign(new Error('closed'), { code: 'CLOSED' })))
  })
  failed.catch(() => undefined)
  const secure = socket instanceof tls.TLSSocket ? socket : undefined
  secure?.once('secureConnect', () => {
    peer = String(secure.getPeerCertificate().subject?.CN ?? '')
  })
  try {
    const ask = command.protocol === 'http2' ? await http2Asker(socket, failed) : http1Asker(socket)
    for (const request of command.requests) {
      while (request.after !== undefined && !fs.existsSync(request.after)) await sleep(10)
      answers.push(await Promise.race([ask(request), failed]))
    }
  } catch (reason) {
    error = (reason as NodeJS.ErrnoException).code ?? String(reason)
  }
  const result: HttpsResult = {
    id: command.id,
    answers,
    ...(error !== undefined && { error }),
    ...(peer !== undefined && { peer, trusted: secure?.authorized ?? false }),
  }
  process.stdout.write(`${JSON.stringify(result)}\n`)
  socket.destroy()
}

function connect({ address: host, port, protocol, tls: secure }: HttpsCommand): net.Socket {
  if (!secure) return net.connect({ host, port })
  const { serverName, authority, certificate } = secure
  return tls.connect({
    host,
    port,
    rejectUnauthorized: false,
    ALPNProtocols: protocol === 'http2' ? ['h2'] : ['http/1.1'],
    ...(serverName !== undefined && { servername: serverName }),
    ...(authority && { ca: fs.readFileSync(`${authority}.crt`) }),
    ...(certificate && { cert: fs.readFileSync(`${certificate}.crt`), key: fs.readFileSync(`${certificate}.key`) }),
  })
}

type Ask = (request: HttpsRequest) => Promise<HttpsAnswer>

function http1Asker(socket: net.Socket): Ask {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  agent.createConnection = () => socket
  return async ({ method = 'GET', path, host, headers, bodyBytes = 0 }) => {
    const request = http.request({ agent, method, path, headers: { host, ...headers } })
    request.end(bodyBytes > 0 ? Buffer.alloc(bodyBytes, 'x') : undefined)
    return new Promise((resolve, reject) => {
      request.on('error', reject)
      request.on('response', response => {
        let body = ''
        response.on('data', (chunk: Buffer) => {
          body += String(chunk)
        })
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers as Record<string, string>, body }),
        )
      })
    })
  }
}

async function http2Asker(socket: net.Socket, failed: Promise<never>): Promise<Ask> {
  const ready = new Promise(resolve =>
    socket.once(socket instanceof tls.TLSSocket ? 'secureConnect' : 'connect', resolve),
  )
  await Promise.race([ready, failed])
  const session = http2.connect('http://any', { createConnection: () => socket })
  session.on('error', () => undefined)
  return ({ method = 'GET', path, host, headers, bodyBytes = 0 }) => {
    const stream = session.request({
      ':method': method,
      ':path': path,
      ':authority': host,
      ':scheme': 'https',
      ...headers,
    })
    stream.end(bodyBytes > 0 ? Buffer.alloc(bodyBytes, 'x') : undefined)
    return new Promise((resolve, reject) => {
      let answered: Record<string, string> = {}
      let body = ''
      stream.on('error', reject)
      stream.on('response', found => {
        answered = found as unknown as Record<string, string>
      })
      stream.on('data', (chunk: Buffer) => {
        body += String(chunk)
      })
      stream.on('end', () => resolve({ status: Number(answered[':status']), headers: answered, body }))
    })
  }
}
