// A HAProxy under its real configuration between a client and a server, for tests: only
// which rule sets a connection is judged by is told by headers of the request, in place
// of the kernel.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { EGRESS_ANSWER, PROXY_ANSWER } from '../../src/http/index.ts'
import { withNamespace } from '../../src/net/index.ts'
import { RequestObserver } from '../../src/observe/index.ts'
import type { HttpRule, L7RuleSet } from '../../src/policy/index.ts'
import type { HttpEvents, KernelAnswers } from '../../src/proxy/haproxy/options.ts'
import { haproxyRules } from '../../src/proxy/haproxy/rules.ts'
import type { L7Event } from '../../src/tables/index.ts'
import type { ClientCommand, ClientResult } from './http-client-program.ts'
import { closeDescriptor, HttpNetwork, listenEverywhere, PORT, SERVER, startInside } from './http-network.ts'

export const needsRoot = process.getuid?.() === 0 ? {} : { skip: 'needs root: run the tests with sudo' }

const HAPROXY_FILES = fileURLToPath(new URL('../../src/proxy/haproxy/', import.meta.url))
/** Number of the descriptor in the child: after standard input, output and error. */
const FIRST_DESCRIPTOR = 3
const socketsAt = (place: number) => ({ ipv4: FIRST_DESCRIPTOR + place, ipv6: FIRST_DESCRIPTOR + place + 1 })

/** Headers of a request stand in for the kernel. */
const ANSWERS_IN_HEADERS: KernelAnswers = {
  onlySet: 'req.hdr(test-only)',
  egressSet: 'req.hdr(test-egress)',
  ingressSet: 'req.hdr(test-ingress)',
  openerIdentity: 'int(1001)',
  responderIdentity: 'int(1002)',
  egressRule: 'int(7)',
  ingressRule: 'int(8)',
  service: 'int(9)',
}

export type Seen = {
  readonly bytes: string
  /** Method and target of each request of HTTP/1, as a lenient parser reads them. */
  readonly targets: readonly string[]
  /** Headers of each request of HTTP/2, in JSON. */
  readonly streams: readonly string[]
  readonly connections: number
}
export type Asked = Pick<ClientCommand, 'answers' | 'silenceMs'> & { readonly family: 4 | 6; readonly port: number }

/** None of it may mean anything to HAProxy. */
export const DENIED_BODY = 'ask the "shop" team: %[src] %ci $HOME\n'

/** Header lines that say by which sets a request is judged, in one answer where that can be. */
export const judgedBy = (egress: number, ingress: number): string => {
  if (egress === 0) return `test-only: ${PROXY_ANSWER + ingress}\r\n`
  if (ingress === 0) return `test-only: ${EGRESS_ANSWER + egress}\r\n`
  return `test-only: 0\r\ntest-egress: ${PROXY_ANSWER + egress}\r\ntest-ingress: ${PROXY_ANSWER + ingress}\r\n`
}

type Started = { readonly logs?: boolean; readonly told?: HttpEvents; readonly maxConnections?: number }

export class HttpProxy implements AsyncDisposable {
  readonly network = new HttpNetwork()
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-http-'))
  readonly #descriptors: number[] = []
  readonly #children: ChildProcess[] = []
  readonly #waiting = new Map<number, (result: ClientResult) => void>()
  readonly #lines: string[] = []
  readonly #log = net.createServer(socket => this.#readLog(socket))
  #nextId = 0
  #client: ReturnType<typeof startInside> | undefined
  #server: ReturnType<typeof startInside> | undefined
  #serverLines: AsyncIterator<string> | undefined
  haproxyPid = 0

  static async start(options: Started & { readonly sets?: readonly L7RuleSet[] } = {}): Promise<HttpProxy> {
    const proxy = new HttpProxy()
    try {
      await proxy.#start(options.sets ?? [], options)
      return proxy
    } catch (error) {
      await proxy[Symbol.asyncDispose]()
      throw error
    }
  }

  async #start(sets: readonly L7RuleSet[], how: Started): Promise<void> {
    this.#server = startInside(this.network.server, 'http-server-program.ts', [])
    this.#client = startInside(this.network.client, 'http-client-program.ts', [])
    this.#children.push(this.#server, this.#client)
    this.#serverLines = createInterface(this.#server.stdout)[Symbol.asyncIterator]()
    await this.#serverLines.next()
    createInterface(this.#client.stdout).on('line', line => {
      const result = JSON.parse(line) as ClientResult
      this.#waiting.get(result.id)?.(result)
      this.#waiting.delete(result.id)
    })
    this.#log.listen(this.#path('log.sock'))
    await once(this.#log, 'listening')
    this.#writeMaps(sets)
    this.#startHaproxy(how)
    await this.#runs()
  }

  #path(name: string): string {
    return path.join(this.folder, name)
  }

  #writeMaps(sets: readonly L7RuleSet[]): void {
    const entries = sets.flatMap(set => RULES.entries(set))
    for (const map of RULES.maps) {
      const lines = entries.filter(entry => entry.map === map).map(({ key, value }) => `${key} ${value}\n`)
      fs.writeFileSync(this.#path(`${map}.map`), lines.join(''))
    }
  }

  #startHaproxy({ logs = true, told = 'all', maxConnections = 2000 }: Started): void {
    const ports = [PORT.http1, PORT.tls, PORT.http2, PORT.nobody]
    for (const port of ports)
      for (const family of [4, 6] as const) this.#descriptors.push(listenEverywhere(this.network.node, family, port))
    fs.writeFileSync(this.#path('denied'), DENIED_BODY)
    const configuration = RULES.configuration({
      sockets: { http: socketsAt(0), tls: socketsAt(2) },
      runtimeSocket: this.#path('run.sock'),
      logSocket: logs ? this.#path('log.sock') : undefined,
      maps: this.folder,
      files: HAPROXY_FILES,
      told,
      maxConnections,
      threads: 2,
      deniedBody: this.#path('denied'),
      answers: ANSWERS_IN_HEADERS,
    })
    // The other ports of the server come in by sockets of the same frontend.
    const others = this.#descriptors.slice(4).map((_, index) => `  bind fd@${FIRST_DESCRIPTOR + 4 + index}`)
    const whole = configuration.replace(/(frontend http\n)/, `$1${others.join('\n')}\n`)
    fs.writeFileSync(this.#path('haproxy.cfg'), whole)
    const child = withNamespace(this.network.node, () =>
      spawn('haproxy', ['-db', '-f', this.#path('haproxy.cfg')], {
        stdio: ['ignore', 'inherit', process.env['HAPROXY_LOUD'] ? 'inherit' : 'ignore', ...this.#descriptors],
      }),
    )
    this.haproxyPid = child.pid ?? 0
    this.#children.push(child)
  }

  async #runs(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const answer = await this.command('show version').catch(() => undefined)
      if (answer !== undefined) return
      assert.ok(attempt < 200, 'HAProxy does not answer')
      await new Promise(resolve => setTimeout(resolve, 25))
    }
  }

  /** By the runtime API. */
  async command(text: string): Promise<string> {
    const socket = net.connect(this.#path('run.sock'))
    socket.end(`${text}\n`)
    const chunks: string[] = []
    for await (const chunk of socket) chunks.push(String(chunk))
    return chunks.join('')
  }

  /** Adds a set while HAProxy runs. */
  async add(set: L7RuleSet): Promise<void> {
    for (const { map, key, value } of RULES.entries(set)) {
      const answer = await this.command(`add map ${this.#path(`${map}.map`)} <<\n${key} ${value}\n`)
      assert.equal(answer.trim(), '', `add ${key} to ${map}`)
    }
  }

  /** Writes the bytes on one connection. @returns what came */
  async ask(writes: string | readonly string[], asked: Partial<Asked> = {}): Promise<ClientResult> {
    const { family = 4, port = PORT.http1, answers = 1, silenceMs } = asked
    const id = this.#nextId++
    const command: ClientCommand = {
      id,
      host: SERVER[family],
      port,
      writes: typeof writes === 'string' ? [writes] : writes,
      answers,
      ...(silenceMs !== undefined && { silenceMs }),
    }
    this.#client?.stdin.write(`${JSON.stringify(command)}\n`)
    return new Promise(resolve => this.#waiting.set(id, resolve))
  }

  /** What has reached the server since this was last asked. */
  async seen(): Promise<Seen> {
    this.#server?.stdin.write('\n')
    const { value } = (await this.#serverLines?.next()) ?? {}
    return JSON.parse(value ?? '{}') as Seen
  }

  /** Events so far, with `count` at least; they are told once. */
  async events(count: number): Promise<L7Event[]> {
    for (let attempt = 0; this.#lines.length < count && attempt < 100; attempt++)
      await new Promise(resolve => setTimeout(resolve, 20))
    const observer = new RequestObserver()
    const lines = this.#lines.splice(0)
    for (const line of lines) observer.takeLines(Buffer.from(`${line}\n`))
    assert.equal(observer.lost, 0, lines.join('\n'))
    return [...observer.newestFirst()].reverse()
  }

  #readLog(socket: net.Socket): void {
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', chunk => {
      text += chunk
      const lines = text.split('\n')
      text = lines.pop() ?? ''
      this.#lines.push(...lines)
    })
    socket.on('error', () => socket.destroy())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    this.#log.close()
    this.#descriptors.forEach(closeDescriptor)
    this.network[Symbol.dispose]()
    fs.rmSync(this.folder, { recursive: true })
  }
}

/** Secrets of the tests, by name. */
export const SECRETS: Readonly<Record<string, string>> = { token: 's3cret value/with:signs' }

const RULES = haproxyRules(({ name }) => SECRETS[name])

export const rule = (fields: Partial<HttpRule>): HttpRule => ({ rule: 'test', field: 'rules', headers: [], ...fields })

/** What its rules would deny passes, and is recorded. */
export const triedOut = (set: L7RuleSet): L7RuleSet => ({ ...set, rules: { ...set.rules, audit: true } })

export const httpSet = (number: number, ...rules: Partial<HttpRule>[]): L7RuleSet => ({
  number,
  rules: { parser: 'http', rules: rules.map(rule), serverNames: [] },
})
