// The program that stands in for the usual test images inside a pod: serves HTTP, gRPC and echo on TCP, echo on UDP, and
// connects as a client. It understands the command lines of agnhost (netexec, serve-hostname, porter, test-webserver,
// pause, connect) and of http-echo. It is copied into each pod with app-*.ts, so it imports nothing else but Node.

import dgram from 'node:dgram'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import net from 'node:net'
import { hostname } from 'node:os'
import { connect, durationMs, EXIT, flags, getUrl, load, quit } from './app-clients.ts'
import { serveNames } from './app-names.ts'
import { HTTP2_BEGINNING, rpcServer } from './app-rpc.ts'
import { talk } from './app-talk.ts'

const MAX_CONNECTIONS = 1024
const REQUEST_LINE = /^(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE) \S+ HTTP\/1\./
const podName = process.env['AXONEME_POD'] ?? hostname()

const COMMANDS: Readonly<Record<string, (args: string[]) => void | Promise<void>>> = {
  serve,
  netexec,
  'serve-hostname': serveHostname,
  'test-webserver': testWebserver,
  porter,
  'http-echo': httpEcho,
  pause,
  connect,
  get: getUrl,
  load,
  names: serveNames,
  talk,
}

/** Until then a process that was asked to end serves on. */
let shutdownDelayMs = 0
process.once('SIGTERM', () => setTimeout(() => process.exit(0), shutdownDelayMs))
process.once('SIGINT', () => process.exit(0))

const [command = 'pause', ...commandArgs] = process.argv.slice(2)
const run = COMMANDS[command]
if (!run) quit(EXIT.usage, `unknown command '${command}'; known: ${Object.keys(COMMANDS).join(', ')}`)
await run(commandArgs)

function ports(text: string | undefined): number[] {
  const numbers = (text ?? '').split(',').filter(Boolean).map(Number)
  const wrong = numbers.find(number => !Number.isInteger(number) || number < -1 || number > 65535)
  if (wrong !== undefined) quit(EXIT.usage, `not a port number in '${text}'`)
  return numbers.filter(number => number > 0)
}

// ---- servers

type Answer = (request: IncomingMessage, response: ServerResponse) => void

const clientOf = (socket: { remoteAddress?: string | undefined; remotePort?: number | undefined }): string =>
  `${socket.remoteAddress?.replace(/^::ffff:/, '')}:${socket.remotePort}`

/** Who answered, what was asked, by whom; then the request's body. */
function answerEcho(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://pod')
  const fixed: Readonly<Record<string, () => string>> = {
    '/hostname': hostname,
    '/hostName': hostname,
    '/clientip': () => clientOf(request.socket),
    '/echo': () => url.searchParams.get('msg') ?? '',
    '/header': () => String(request.headers[(url.searchParams.get('key') ?? '').toLowerCase()] ?? ''),
    '/healthz': () => 'ok',
  }
  const fixedAnswer = fixed[url.pathname]
  response.setHeader('content-type', 'text/plain')
  if (fixedAnswer) {
    response.end(fixedAnswer())
    return
  }
  if (url.pathname === '/exit') process.exit(Number(url.searchParams.get('code') ?? 0))
  response.write(`${podName}\n${request.method} ${request.url} HTTP/${request.httpVersion}\n`)
  response.write(`client: ${clientOf(request.socket)}\n`)
  request.pipe(response)
}

const answerText =
  (text: string): Answer =>
  (_, response) =>
    response.setHeader('content-type', 'text/plain').end(text)

function onListenError(error: Error): never {
  quit(EXIT.failed, `cannot listen: ${error.message}`)
}

/** HTTP for who speaks HTTP, gRPC for who speaks HTTP/2, plain echo for anything else. */
function serveTcp(port: number, answer: Answer): void {
  const http = createServer(answer)
  const rpc = rpcServer(podName)
  const server = net.createServer(socket => {
    socket.on('error', () => socket.destroy())
    socket.once('data', first => {
      socket.pause()
      socket.unshift(first)
      const text = first.toString('latin1')
      if (text.startsWith(HTTP2_BEGINNING)) {
        rpc.emit('connection', socket) // reads what is there by itself, but not from a socket that flows
        return
      }
      if (REQUEST_LINE.test(text)) http.emit('connection', socket)
      else socket.pipe(socket)
      socket.resume()
    })
  })
  server.maxConnections = MAX_CONNECTIONS
  server.on('error', onListenError).listen(port)
}

/** Sends one fixed text on every connection and closes it, as serve-hostname does. */
function serveTcpText(port: number, text: string): void {
  const server = net.createServer(socket => socket.on('error', () => socket.destroy()).end(text))
  server.maxConnections = MAX_CONNECTIONS
  server.on('error', onListenError).listen(port)
}

function serveUdp(port: number, answer: (message: string, client: string) => string): void {
  const listen = (type: 'udp4' | 'udp6'): void => {
    const socket = dgram.createSocket(type)
    socket.on('message', (message, from) => {
      const client = clientOf({ remoteAddress: from.address, remotePort: from.port })
      socket.send(answer(message.toString('latin1'), client), from.port, from.address, () => {})
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (type === 'udp6' && error.code === 'EAFNOSUPPORT') listen('udp4')
      else onListenError(error)
    })
    socket.bind(port)
  }
  listen('udp6')
}

/** serve [--tcp PORT,…] [--udp PORT,…] */
function serve(args: string[]): void {
  const options = flags(args, { tcp: { type: 'string' }, udp: { type: 'string' } })
  for (const port of ports(options['tcp'])) serveTcp(port, answerEcho)
  for (const port of ports(options['udp'])) serveUdp(port, message => message)
}

function netexec(args: string[]): void {
  const options = flags(args, {
    'http-port': { type: 'string' },
    'udp-port': { type: 'string' },
    'delay-shutdown': { type: 'string' },
  })
  shutdownDelayMs = durationMs(options['delay-shutdown'] ?? '0')
  for (const port of ports(options['http-port'] ?? '8080')) serveTcp(port, answerEcho)
  for (const port of ports(options['udp-port'] ?? '8081')) {
    serveUdp(port, (message, client) => {
      const text = message.trim()
      if (/^hostname$/i.test(text)) return hostname()
      if (/^clientip$/i.test(text)) return client
      return text.startsWith('echo ') ? text.slice(5) : message
    })
  }
}

function serveHostname(args: string[]): void {
  const options = flags(args, {
    tcp: { type: 'boolean' },
    udp: { type: 'boolean' },
    http: { type: 'boolean' },
    port: { type: 'string' },
  })
  const port = ports(options['port'] ?? '9376')[0] ?? 9376
  if (options['udp'] === 'true') serveUdp(port, hostname)
  if (options['tcp'] === 'true') serveTcpText(port, hostname())
  else if (options['http'] !== 'false') serveTcp(port, answerText(hostname()))
}

function testWebserver(args: string[]): void {
  const options = flags(args, { port: { type: 'string' } })
  for (const port of ports(options['port'] ?? '80')) serveTcp(port, answerEcho)
}

/** One HTTP server for every SERVE_PORT_n of the environment. */
function porter(): void {
  for (const [name, value] of Object.entries(process.env)) {
    const port = /^SERVE_PORT_(\d+)$/.exec(name)?.[1]
    if (port) serveTcp(Number(port), answerText(value ?? ''))
    else if (/^SERVE_\w+_PORT_\d+$/.test(name)) process.stderr.write(`${name}: this protocol is not served\n`)
  }
  pause()
}

function httpEcho(args: string[]): void {
  const options = flags(args, { listen: { type: 'string' }, text: { type: 'string' } })
  const port = Number((options['listen'] ?? ':5678').replace(/^.*:/, ''))
  serveTcp(port, answerText(`${options['text'] ?? process.env['ECHO_TEXT'] ?? podName}\n`))
}

function pause(): void {
  setInterval(() => {}, 2 ** 30)
}
