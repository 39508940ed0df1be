// The clients of the pods' program: one connection, one page, or requests again and again that are counted. Also what
// its servers and clients share about command lines. Copied into each pod beside app.ts.

import dgram from 'node:dgram'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'

/** How `connect` and `get` end; agnhost itself ends every failure with 1. */
export const EXIT = { answered: 0, failed: 1, usage: 2, refused: 3, timedOut: 4, unreachable: 5 } as const

export function quit(code: number, message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(code)
}

/** Go programs take `-name=value` for `--name=value`, and a bare boolean flag or `--name=false`. */
export function flags(args: string[], options: ParseArgsOptionsConfig): Record<string, string> {
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
export function durationMs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text)
  if (!match) quit(EXIT.usage, `not a duration: '${text}'`)
  return Number(match[1]) * { ms: 1, s: 1000, m: 60_000 }[(match[2] ?? 's') as 'ms' | 's' | 'm']
}

const timeoutError = (): NodeJS.ErrnoException => Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' })

/** connect HOST:PORT [--protocol tcp|udp] [--timeout 3s] */
export function connect(args: string[]): void {
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

/** get URL [--method GET] [--timeout 3s]: prints the body */
export function getUrl(args: string[]): void {
  const options = flags(args, { method: { type: 'string' }, timeout: { type: 'string' } })
  const url = options['positional'] ?? ''
  if (!URL.canParse(url)) quit(EXIT.usage, 'get http://HOST[:PORT]/PATH [--method GET] [--timeout 3s]')
  setTimeout(() => quitAs(timeoutError()), durationMs(options['timeout'] ?? '3s'))
  http
    .request(url, { method: options['method'] ?? 'GET' }, response => {
      const failed = (response.statusCode ?? 0) >= 400
      if (failed) process.stderr.write(`HTTP ${response.statusCode}\n`)
      response.on('end', () => process.exit(failed ? EXIT.failed : EXIT.answered)).pipe(process.stdout)
    })
    .on('error', quitAs)
    .end()
}

// ---- load

type Request = (signal: AbortSignal) => Promise<string>

/** What became of all requests. `answers` counts by what was answered, such as the name of the pod. */
type LoadReport = {
  requests: number
  failed: number
  readonly errors: Record<string, number>
  readonly answers: Record<string, number>
  longestMs: number
}

const MAX_DISTINCT_ANSWERS = 1000

/**
 * load URL|HOST:PORT: requests again and again, until the count, the duration, its input or a signal ends it; then prints
 * one line of JSON, a LoadReport. Says on standard error when it begins. For a HOST:PORT a connection (`tcp`) or a datagram that asks for the host's name (`udp`).
 *   [--protocol tcp|udp] [--requests N] [--duration 10s] [--interval 2ms] [--timeout 1s] [--concurrency 1]
 *   [--keep-alive] (one connection for many requests) [--source-port N] (of udp: one socket for all)
 */
export async function load(args: string[]): Promise<void> {
  const text = { type: 'string' } as const
  const options = flags(args, {
    protocol: text,
    requests: text,
    duration: text,
    interval: text,
    timeout: text,
    concurrency: text,
    'source-port': text,
    'keep-alive': { type: 'boolean' },
  })
  const request = await requestOf(options)
  const stop = new AbortController()
  const end = (): void => stop.abort()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.removeAllListeners(signal).once(signal, end)
  if (options['duration']) setTimeout(end, durationMs(options['duration']))
  if (!options['duration'] && !options['requests']) process.stdin.resume().once('end', end)
  const report: LoadReport = { requests: 0, failed: 0, errors: {}, answers: {}, longestMs: 0 }
  const most = Number(options['requests'] ?? Infinity)
  const timeoutMs = durationMs(options['timeout'] ?? '1s')
  const intervalMs = durationMs(options['interval'] ?? '2ms')
  process.stderr.write(`asking ${options['positional']}\n`)
  const worker = async (): Promise<void> => {
    while (!stop.signal.aborted && report.requests < most) {
      report.requests++
      await askOnce(report, request, timeoutMs)
      if (intervalMs > 0) await sleep(intervalMs)
    }
  }
  await Promise.all(Array.from({ length: Number(options['concurrency'] ?? 1) }, worker))
  process.stdout.write(`${JSON.stringify(report)}\n`, () =>
    process.exit(report.failed > 0 ? EXIT.failed : EXIT.answered),
  )
}

async function askOnce(report: LoadReport, request: Request, timeoutMs: number): Promise<void> {
  const startedMs = performance.now()
  try {
    count(report.answers, await request(AbortSignal.timeout(timeoutMs)))
  } catch (error) {
    report.failed++
    const { code, name, message } = error as NodeJS.ErrnoException
    count(report.errors, name === 'TimeoutError' || name === 'AbortError' ? 'timed out' : (code ?? message))
  }
  report.longestMs = Math.max(report.longestMs, Math.ceil(performance.now() - startedMs))
}

function count(counts: Record<string, number>, key: string): void {
  const known = key in counts || Object.keys(counts).length < MAX_DISTINCT_ANSWERS ? key : 'others'
  counts[known] = (counts[known] ?? 0) + 1
}

async function requestOf(options: Record<string, string>): Promise<Request> {
  const target = options['positional'] ?? ''
  if (/^https?:/.test(target)) {
    if (!URL.canParse(target)) quit(EXIT.usage, `not a URL: '${target}'`)
    const agent = options['keep-alive'] === 'true' ? new http.Agent({ keepAlive: true }) : false
    return signal => askPage(target, agent, signal)
  }
  const [, host = '', port] = /^\[?(.*?)\]?:(\d+)$/.exec(target) ?? quit(EXIT.usage, 'load URL or load HOST:PORT')
  if (options['protocol'] !== 'udp') return signal => askTcp(host, Number(port), signal)
  if (!options['source-port']) return signal => askUdp(host, Number(port), signal)
  const socket = await boundSocket(host, Number(options['source-port']))
  return signal => askOn(socket, host, Number(port), signal)
}

async function askPage(url: string, agent: http.Agent | false, signal: AbortSignal): Promise<string> {
  const request = http.get(url, { agent, signal })
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  let body = ''
  for await (const chunk of response.setEncoding('utf8')) body += chunk as string
  if ((response.statusCode ?? 0) >= 400) throw new Error(`HTTP ${response.statusCode}`)
  return body.trim().slice(0, 100)
}

async function askTcp(host: string, port: number, signal: AbortSignal): Promise<string> {
  const socket = net.connect({ host, port })
  try {
    await once(socket, 'connect', { signal })
    return 'connected'
  } finally {
    socket.destroy()
  }
}

async function boundSocket(host: string, port: number): Promise<dgram.Socket> {
  const socket = dgram.createSocket(net.isIPv6(host) ? 'udp6' : 'udp4')
  socket.bind(port)
  await once(socket, 'listening')
  return socket
}

async function askUdp(host: string, port: number, signal: AbortSignal): Promise<string> {
  const socket = dgram.createSocket(net.isIPv6(host) ? 'udp6' : 'udp4')
  try {
    socket.connect(port, host)
    await once(socket, 'connect', { signal })
    socket.send('hostname')
    const [message] = (await once(socket, 'message', { signal })) as [Buffer]
    return message.toString('utf8').slice(0, 100)
  } finally {
    socket.close()
  }
}

async function askOn(socket: dgram.Socket, host: string, port: number, signal: AbortSignal): Promise<string> {
  socket.send('hostname', port, host)
  const [message] = (await once(socket, 'message', { signal })) as [Buffer]
  return message.toString('utf8').slice(0, 100)
}
