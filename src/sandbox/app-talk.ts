// A client that is told what to ask: each line of its input is a question in JSON, each line of its output what came of
// it, in the same order. Connections have names and are kept between questions. Copied into each pod beside app.ts.

import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import readline from 'node:readline'
import { callRpc, type RpcAnswer } from './app-rpc.ts'

/** Who asks on a `connection` shares it with those that name the same one; without it each has its own. */
export type Question =
  | { readonly http: string; readonly method?: string; readonly connection?: string; readonly timeoutMs?: number }
  /** An address with its port, and a method of gRPC such as `/shop.Stock/Count`. */
  | { readonly grpc: string; readonly method: string; readonly connection?: string; readonly timeoutMs?: number }
  /** A name that the pod's DNS server is asked for. */
  | { readonly name: string; readonly timeoutMs?: number }

/** `port` is the client's own: the same one means the same connection. */
export type Said =
  | { readonly status: number; readonly says: string; readonly port: number }
  | { readonly addresses: readonly string[] }
  /** A code such as `ECONNRESET`; of DNS `EREFUSED` and `ENOTFOUND`; `timed out`. */
  | { readonly error: string }

const TIMEOUT_MS = 3_000
const MAX_SAID = 1_000

const agents = new Map<string, http.Agent>()
const sessions = new Map<string, http2.ClientHttp2Session>()

/** talk */
export async function talk(): Promise<void> {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const said = await ask(JSON.parse(line) as Question).catch((error: NodeJS.ErrnoException) => ({
      error: error.name === 'TimeoutError' || error.name === 'AbortError' ? 'timed out' : (error.code ?? error.message),
    }))
    process.stdout.write(`${JSON.stringify(said)}\n`)
  }
  process.exit(0)
}

async function ask(question: Question): Promise<Said> {
  const timeoutMs = question.timeoutMs ?? TIMEOUT_MS
  if ('http' in question) return await askHttp(question.http, question.method ?? 'GET', question.connection, timeoutMs)
  if ('grpc' in question) return await askRpc(question.grpc, question.method, question.connection, timeoutMs)
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 })
  return { addresses: await resolver.resolve4(question.name) }
}

async function askHttp(url: string, method: string, connection: string | undefined, timeoutMs: number): Promise<Said> {
  const signal = AbortSignal.timeout(timeoutMs)
  const request = http.request(url, { method, agent: agentOf(connection), signal })
  request.end()
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  const port = request.socket?.localPort ?? 0
  const says = (await response.setEncoding('utf8').toArray()).join('').slice(0, MAX_SAID)
  return { status: response.statusCode ?? 0, says, port }
}

function agentOf(connection: string | undefined): http.Agent | false {
  if (connection === undefined) return false
  const agent = agents.get(connection) ?? new http.Agent({ keepAlive: true, maxSockets: 1 })
  agents.set(connection, agent)
  return agent
}

async function askRpc(target: string, method: string, connection: string | undefined, timeoutMs: number) {
  const known = connection === undefined ? undefined : sessions.get(connection)
  const session = known && !known.destroyed ? known : http2.connect(`http://${target}`)
  if (connection !== undefined) sessions.set(connection, session)
  session.on('error', () => {}) // the streams tell
  try {
    const answer: RpcAnswer = await callRpc(session, method, timeoutMs)
    return { ...answer, port: (session.socket.address() as AddressInfo).port }
  } finally {
    if (connection === undefined) session.close()
  }
}
