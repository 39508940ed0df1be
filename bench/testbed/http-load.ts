// Load of HTTP: wrk and h2load of Debian, and the benchmark's own bench/httpload.c for what these do not do, against
// bench/httpserve.c; and nginx as a server of HTTP/2.

import fs from 'node:fs'
import path from 'node:path'
import type { Namespace } from '../../src/net/index.ts'
import { BUILD_FOLDER } from './load.ts'
import { outputOf, Program } from './programs.ts'

/** Of the small server, and of nginx. */
export const HTTP_PORTS = { small: 5020, http2: 5021 } as const
const HTTPSERVE = path.join(BUILD_FOLDER, 'httpserve')
const HTTPLOAD = path.join(BUILD_FOLDER, 'httpload')

export async function startHttpServers(
  owned: AsyncDisposableStack,
  namespace: Namespace,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  owned.use(await Program.ready(namespace, [HTTPSERVE, String(HTTP_PORTS.small)], signal))
  const configuration = path.join(folder, 'http2-server.conf')
  fs.writeFileSync(configuration, http2Server(folder))
  owned.use(new Program(namespace, ['setpriv', '--pdeathsig=KILL', 'nginx', '-c', configuration]))
}

/** One process, which writes nothing but answers. */
const http2Server = (folder: string): string => `user root;
worker_processes 1;
daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log stderr;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `  ${name}_temp_path ${folder}/${name};`).join('\n')}
  server {
    listen ${HTTP_PORTS.http2} http2;
    listen [::]:${HTTP_PORTS.http2} http2;
    http2_max_concurrent_streams 1000;
    location / { return 200 "Hello, world\\n"; }
  }
}
`

export type HttpRoute = {
  /** Of the client. */
  readonly namespace: Namespace
  readonly server: string
  readonly path: string
}

const url = ({ server, path: pathname }: HttpRoute, port: number): string => `http://${server}:${port}${pathname}`

export type HttpSample = {
  readonly perSecond: number
  readonly p50Micros: number
  /** Answers that are no success, and errors of connections. */
  readonly failed: number
}

export type WrkOptions = {
  readonly connections: number
  /** Whole ones. */
  readonly seconds: number
  /** A connection for each request. */
  readonly closes?: boolean
  readonly signal: AbortSignal
}

export async function runWrk(route: HttpRoute, options: WrkOptions): Promise<HttpSample> {
  const { connections, seconds, closes, signal } = options
  const more = closes ? ['-H', 'Connection: close'] : []
  const load = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', ...more]
  const output = await outputOf(route.namespace, ['wrk', ...load, url(route, HTTP_PORTS.small)], signal)
  const [, latency = '', unit = ''] = /^\s+50%\s+([\d.]+)(us|ms|s)$/m.exec(output) ?? []
  const errors = /connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output)?.slice(1) ?? []
  const others = /Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? '0'
  return {
    perSecond: Number(/^Requests\/sec:\s+([\d.]+)/m.exec(output)?.[1]),
    p50Micros: Number(latency) * ({ us: 1, ms: 1e3 }[unit] ?? 1e6),
    failed: [...errors, others].reduce((sum, count) => sum + Number(count), 0),
  }
}

export type H2loadOptions = {
  readonly connections: number
  /** Requests on their way on each connection. */
  readonly streams: number
  readonly seconds: number
  readonly signal: AbortSignal
}

/** @returns requests a second. @throws Error when some fail */
export async function runH2load(
  route: HttpRoute,
  { connections, streams, seconds, signal }: H2loadOptions,
): Promise<number> {
  const load = [`-D${seconds}`, `-c${connections}`, `-m${streams}`]
  const output = await outputOf(route.namespace, ['h2load', ...load, url(route, HTTP_PORTS.http2)], signal)
  const [, perSecond] = /^finished in .*?, ([\d.]+) req\/s/m.exec(output) ?? []
  const [, others] = /^status codes: \d+ 2xx, (.*)$/m.exec(output) ?? []
  if (others !== '0 3xx, 0 4xx, 0 5xx')
    throw new Error(`h2load: not all requests were answered with success: ${output}`)
  return Number(perSecond)
}

/** Asks again and again on one connection, and tells when the status is another one. */
export class StatusWatcher implements Disposable {
  readonly #program: Program
  readonly #signal: AbortSignal

  constructor({ namespace, server, path: pathname }: HttpRoute, intervalMicros: number, signal: AbortSignal) {
    const args = ['watch', server, String(HTTP_PORTS.small), pathname, String(intervalMicros)]
    this.#program = new Program(namespace, [HTTPLOAD, ...args])
    this.#signal = signal
  }

  /** Times are those of `process.hrtime`: of the first request that was judged so, and of the last one that was not. */
  async next(): Promise<{ readonly status: number; readonly sentNs: bigint; readonly beforeNs: bigint }> {
    const change = JSON.parse(await this.#program.next(this.#signal)) as {
      readonly status: number
      readonly sent_ns: string
      readonly before_ns: string
    }
    return { status: change.status, sentNs: BigInt(change.sent_ns), beforeNs: BigInt(change.before_ns) }
  }

  [Symbol.dispose](): void {
    this.#program[Symbol.dispose]()
  }
}

export type NewConnections = {
  readonly answered: number
  readonly refused: number
  /** Ended by the other end before the answer was there. */
  readonly cut: number
  /** Answered with another status. */
  readonly others: number
  readonly longest_ms: number
}

export async function runNewConnections(
  { namespace, server, path: pathname }: HttpRoute,
  {
    seconds,
    processes,
    signal,
  }: { readonly seconds: number; readonly processes: number; readonly signal: AbortSignal },
): Promise<NewConnections> {
  const args = ['new', server, String(HTTP_PORTS.small), pathname, String(seconds), String(processes)]
  return JSON.parse(await outputOf(namespace, [HTTPLOAD, ...args], signal)) as NewConnections
}

/** Connections with one request each, kept until it is disposed of. @returns how many were answered */
export async function openIdle(
  { namespace, server, path: pathname }: HttpRoute,
  count: number,
  signal: AbortSignal,
): Promise<Disposable & { readonly answered: number }> {
  const args = ['idle', server, String(HTTP_PORTS.small), pathname, String(count)]
  const program = new Program(namespace, [HTTPLOAD, ...args])
  const { answered } = JSON.parse(await program.next(signal, 120_000)) as { readonly answered: number }
  return { answered, [Symbol.dispose]: () => program[Symbol.dispose]() }
}

/** @returns seconds. @throws Error when it is not answered with success */
export async function transfer(
  { namespace, server }: Pick<HttpRoute, 'namespace' | 'server'>,
  direction: 'up' | 'down',
  bytes: number,
  signal: AbortSignal,
): Promise<number> {
  const args = [direction, server, String(HTTP_PORTS.small), String(bytes)]
  const output = await outputOf(namespace, [HTTPLOAD, ...args], signal)
  return (JSON.parse(output) as { readonly seconds: number }).seconds
}
