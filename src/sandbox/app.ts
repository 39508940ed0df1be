// The program that stands in for the usual test images inside a pod: serves HTTP and echo on TCP, echo on UDP, and
// connects as a client. It understands the command lines of agnhost (netexec, serve-hostname, porter, test-webserver,
// pause, connect) and of http-echo. It is copied into each pod as one file, so it imports nothing but Node itself.

import dgram from 'node:dgram'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import net from 'node:net'
import { hostname } from 'node:os'
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'

/** How `connect` and `get` end; agnhost itself ends every failure with 1. */
const EXIT = { answered: 0, failed: 1, usage: 2, refused: 3, timedOut: 4, unreachable: 5 } as const

const MAX_CONNECTIONS = 1024
const REQUEST_LINE = /^(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|CONNECT|TRACE) \S+ HTTP\/1\./
const podName = process.env['AXONEME_POD'] ?? hostname()

const COMMANDS: Readonly<Record<string, (args: string[]) => void>> = {
  serve,
  netexec,
  'serve-hostname': serveHostname,
  'test-webserver': testWebserver,
  porter,
  'http-echo': httpEcho,
  pause,
  connect,
  get: getUrl,
}

process.on('SIGTERM', () => process.exit(0))
process.on('SIGINT', () => process.exit(0))

const [command = 'pause', ...commandArgs] = process.argv.slice(2)
const run = COMMANDS[command]
if (!run) quit(EXIT.usage, `unknown command '${command}'; known: ${Object.keys(COMMANDS).join(', ')}`)
run(commandArgs)

function quit(code: number, message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(code)
}

/** Go programs take `-name=value` for `--name=value`, and a bare boolean flag or `--name=false`. */
function flags(args: string[], options: ParseArgsOptionsConfig): Record<string, string> {
  const normal = args.map(arg => (/^-[a-z]{2,}/.test(arg) ? `-${arg}` : arg).replace(/=true$/, ''))
  const kept = normal.filter(arg => !/^--[a-z-]+=false$/.test(arg))
  const denied = normal.filter(arg => /^--[a-z-]+=false$/.test(arg)).map(arg => arg.slice(2, -6))
  const { values, positionals } = parseArgs({ args: kept, options, strict: false, allowPositionals: true })
  const result: Record<string, string> = { positional: positionals[0] ?? '' }
  for (const [name, value] of Object.entries(values)) {
    if (!(name in options)) process.stderr.write(`flag --${name} is ignored\n`)
    result[name] = String(value)
  }
  for (const name of denied) result[name] = 'false'
  return result
}

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

/** HTTP for who speaks HTTP, plain echo for anything else. */
function serveTcp(port: number, answer: Answer): void {
  const http = createServer(answer)
  const server = net.createServer(socket => {
    socket.on('error', () => socket.destroy())
    socket.once('data', first => {
      socket.pause()
      socket.unshift(first)
      if (REQUEST_LINE.test(first.toString('latin1'))) http.emit('connection', socket)
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
  const options = flags(args, { 'http-port': { type: 'string' }, 'udp-port': { type: 'string' } })
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

// ---- clients

function exitCodeOf(error: NodeJS.ErrnoException): number {
  switch (error.code) {
    case 'ECONNREFUSED':
      return EXIT.refused
    case 'ETIMEDOUT':
      return EXIT.timedOut
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return EXIT.unreachable
    default:
      return EXIT.failed
  }
}

/** agnhost prints one of these words; its users look for them. */
function quitAs(error: NodeJS.ErrnoException): never {
  const code = exitCodeOf(error)
  if (code === EXIT.refused) quit(code, 'REFUSED')
  if (code === EXIT.timedOut) quit(code, 'TIMEOUT')
  if (code === EXIT.unreachable) quit(code, 'UNREACHABLE')
  quit(code, error.code === 'ENOTFOUND' || error.code === 'EAI_AGAIN' ? 'DNS' : `OTHER: ${error.message}`)
}

/** Go durations of one unit: `500ms`, `3s`, `1m`; a bare number is seconds. */
function durationMs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text)
  if (!match) quit(EXIT.usage, `not a duration: '${text}'`)
  return Number(match[1]) * { ms: 1, s: 1000, m: 60_000 }[(match[2] ?? 's') as 'ms' | 's' | 'm']
}

const timeoutError = (): NodeJS.ErrnoException => Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' })

/** connect HOST:PORT [--protocol tcp|udp] [--timeout 3s] */
function connect(args: string[]): void {
  const options = flags(args, { protocol: { type: 'string' }, timeout: { type: 'string' } })
  const target = /^\[?(.*?)\]?:(\d+)$/.exec(options['positional'] ?? '')
  const [, host, port] = target ?? quit(EXIT.usage, 'connect HOST:PORT [--protocol tcp|udp] [--timeout 3s]')
  const protocol = options['protocol'] ?? 'tcp'
  setTimeout(() => quitAs(timeoutError()), durationMs(options['timeout'] ?? '3s'))
  if (protocol === 'tcp') {
    const socket = net.connect({ host: host ?? '', port: Number(port), autoSelectFamily: true })
    socket.on('connect', () => process.exit(EXIT.answered)).on('error', quitAs)
  } else if (protocol === 'udp') {
    const socket = dgram.createSocket(net.isIPv6(host ?? '') ? 'udp6' : 'udp4')
    socket.on('message', () => process.exit(EXIT.answered)).on('error', quitAs)
    socket.connect(Number(port), host, () => socket.send('axoneme connect\n', () => {}))
  } else {
    quit(EXIT.usage, `protocol ${protocol} is not one of tcp, udp`)
  }
}

/** get URL [--timeout 3s]: prints the body */
function getUrl(args: string[]): void {
  const options = flags(args, { timeout: { type: 'string' } })
  const url = options['positional'] ?? ''
  if (!URL.canParse(url)) quit(EXIT.usage, 'get http://HOST[:PORT]/PATH [--timeout 3s]')
  setTimeout(() => quitAs(timeoutError()), durationMs(options['timeout'] ?? '3s'))
  get(url, response => {
    const failed = (response.statusCode ?? 0) >= 400
    if (failed) process.stderr.write(`HTTP ${response.statusCode}\n`)
    response.on('end', () => process.exit(failed ? EXIT.failed : EXIT.answered)).pipe(process.stdout)
  }).on('error', quitAs)
}
