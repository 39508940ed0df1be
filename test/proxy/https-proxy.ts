// HAProxy under the configuration of a TLS context, between a client and servers, for
// tests: only which rule sets a connection is judged by is told by a map, in place of the
// kernel. Each test has a HAProxy of its own; client, servers and certificates are shared.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { PROXY_ANSWER } from '../../src/http/index.ts'
import { withNamespace } from '../../src/net/index.ts'
import { RequestObserver } from '../../src/observe/index.ts'
import type { L7RuleSet } from '../../src/policy/index.ts'
import type { TlsContextFiles } from '../../src/proxy/haproxy/options.ts'
import { haproxyRules } from '../../src/proxy/haproxy/rules.ts'
import { RuntimeApi } from '../../src/proxy/runtime-api.ts'
import type { L7Event } from '../../src/tables/index.ts'
import { makeAuthority, makeSigned } from './certificates.ts'
import { closeDescriptor, HttpNetwork, listenEverywhere, SERVER, startInside } from './http-network.ts'
import type { HttpsCommand, HttpsResult } from './https-client-program.ts'
import type { Had, HttpsServer } from './https-server-program.ts'

const FILES = fileURLToPath(new URL('../../src/proxy/haproxy/', import.meta.url))
const FIRST_DESCRIPTOR = 3
const RULES = haproxyRules()

/** What each server is like. */
export const PORTS = {
  plain: 80,
  plainHttp2: 81,
  secure: 443,
  /** Its certificate is of another name. */
  wrongName: 444,
  /** Its certificate is of an authority that nobody knows. */
  unknown: 445,
  secureHttp1: 446,
  /** Clients have to show a certificate. */
  mutual: 447,
} as const

export type Asked = Omit<HttpsCommand, 'id' | 'address'>

export class HttpsProxy implements AsyncDisposable {
  readonly network = new HttpNetwork()
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-https-'))
  readonly #waiting = new Map<number, (result: HttpsResult) => void>()
  readonly #lines: string[] = []
  readonly #log = net.createServer(socket => {
    createInterface(socket).on('line', line => this.#lines.push(line))
    socket.on('error', () => socket.destroy())
  })
  readonly #runtime = new RuntimeApi(this.path('run.sock'))
  #haproxy: ChildProcess | undefined
  #descriptors: number[] = []
  #client: ReturnType<typeof startInside> | undefined
  #servers: ReturnType<typeof startInside> | undefined
  #serverLines: AsyncIterator<string> | undefined
  #nextId = 0

  static async start(): Promise<HttpsProxy> {
    const proxy = new HttpsProxy()
    try {
      await proxy.#start()
      return proxy
    } catch (error) {
      await proxy[Symbol.asyncDispose]()
      throw error
    }
  }

  async #start(): Promise<void> {
    for (const name of ['authority', 'stranger']) makeAuthority(this.path(name))
    const signed = { proxy: 'web.test', server: 'web.test', other: 'other.test', client: 'client.test' }
    for (const [name, host] of Object.entries(signed)) makeSigned(this.path(name), this.path('authority'), host)
    makeSigned(this.path('strange'), this.path('stranger'), 'web.test')
    for (const name of ['proxy', 'client'])
      fs.writeFileSync(
        this.path(`${name}.pem`),
        fs.readFileSync(this.path(`${name}.crt`), 'utf8') + fs.readFileSync(this.path(`${name}.key`), 'utf8'),
      )
    const servers: readonly HttpsServer[] = [
      { port: PORTS.plain },
      { port: PORTS.plainHttp2, protocol: 'http2' },
      { port: PORTS.secure, certificate: this.path('server') },
      { port: PORTS.wrongName, certificate: this.path('other') },
      { port: PORTS.unknown, certificate: this.path('strange') },
      { port: PORTS.secureHttp1, certificate: this.path('server'), protocol: 'http1' },
      { port: PORTS.mutual, certificate: this.path('server'), clients: this.path('authority') },
    ]
    this.#servers = startInside(this.network.server, 'https-server-program.ts', [JSON.stringify(servers)])
    this.#client = startInside(this.network.client, 'https-client-program.ts', [])
    this.#serverLines = createInterface(this.#servers.stdout)[Symbol.asyncIterator]()
    for (const _ of servers) await this.#serverLines.next()
    createInterface(this.#client.stdout).on('line', line => {
      const result = JSON.parse(line) as HttpsResult
      this.#waiting.get(result.id)?.(result)
      this.#waiting.delete(result.id)
    })
    this.#log.listen(this.path('log.sock'))
    await once(this.#log, 'listening')
  }

  path(name: string): string {
    return path.join(this.folder, name)
  }

  /** Another HAProxy, for this context. Everything is judged by the first set, of the opener. */
  async serve(context: TlsContextFiles, sets: readonly L7RuleSet[]): Promise<void> {
    await this.#endHaproxy()
    const entries = sets.flatMap(set => RULES.entries(set))
    for (const map of RULES.maps) {
      const lines = entries.filter(entry => entry.map === map).map(({ key, value }) => `${key} ${value}\n`)
      fs.writeFileSync(this.path(`${map}.map`), lines.join(''))
    }
    fs.writeFileSync(
      this.path('answers.map'),
      `egress ${PROXY_ANSWER + (sets[0]?.number ?? 0)}\ningress ${PROXY_ANSWER}\n`,
    )
    for (const port of Object.values(PORTS))
      for (const family of [4, 6] as const) this.#descriptors.push(listenEverywhere(this.network.node, family, port))
    const answer = (of: string): string => `str(${of}),map_str_int(${this.path('answers.map')})`
    const text = RULES.configuration({
      sockets: { http: { ipv4: FIRST_DESCRIPTOR, ipv6: FIRST_DESCRIPTOR + 1 } },
      tlsContext: context,
      runtimeSocket: this.path('run.sock'),
      logSocket: this.path('log.sock'),
      maps: this.folder,
      files: FILES,
      maxConnections: 200,
      threads: 2,
      answers: {
        onlySet: 'int(0)',
        egressSet: answer('egress'),
        ingressSet: answer('ingress'),
        openerIdentity: 'int(1001)',
        responderIdentity: 'int(1002)',
        egressRule: 'int(7)',
        ingressRule: 'int(8)',
        service: 'int(0)',
      },
    })
    // Other ports come in by sockets of the same frontend.
    const [bind = ''] = text.match(/^ {2}bind .*$/m) ?? []
    const more = this.#descriptors.slice(2).map((_, at) => bind.replace(/fd@\d+/, `fd@${FIRST_DESCRIPTOR + 2 + at}`))
    fs.writeFileSync(this.path('haproxy.cfg'), text.replace(/^frontend http\n/m, `frontend http\n${more.join('\n')}\n`))
    this.#haproxy = withNamespace(this.network.node, () =>
      spawn('setpriv', ['--bounding-set=-net_admin', 'haproxy', '-db', '-f', this.path('haproxy.cfg')], {
        stdio: ['ignore', 'inherit', process.env['HAPROXY_LOUD'] ? 'inherit' : 'ignore', ...this.#descriptors],
      }),
    )
    for (let attempt = 0; ; attempt++) {
      if (await this.#runtime.ask('show version').catch(() => undefined)) return
      assert.ok(attempt < 200 && this.#haproxy.exitCode === null, 'HAProxy does not answer')
      await new Promise(resolve => setTimeout(resolve, 25))
    }
  }

  async judgeBy(egress: number, ingress: number): Promise<void> {
    for (const [of, set] of Object.entries({ egress, ingress }))
      await this.#runtime.ask(`set map ${this.path('answers.map')} ${of} ${PROXY_ANSWER + set}`)
  }

  async ask(asked: Asked, family: 4 | 6 = 4): Promise<HttpsResult> {
    const id = this.#nextId++
    this.#client?.stdin.write(`${JSON.stringify({ ...asked, id, address: SERVER[family] })}\n`)
    return new Promise(resolve => this.#waiting.set(id, resolve))
  }

  /** What the servers have had since this was last asked. */
  async had(): Promise<Had> {
    this.#servers?.stdin.write('\n')
    return JSON.parse(String((await this.#serverLines?.next())?.value)) as Had
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

  async #endHaproxy(): Promise<void> {
    await end(this.#haproxy)
    this.#haproxy = undefined
    this.#descriptors.forEach(closeDescriptor)
    this.#descriptors = []
    this.#lines.splice(0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endHaproxy()
    for (const child of [this.#client, this.#servers]) await end(child)
    this.#log.close()
    this.network[Symbol.dispose]()
    fs.rmSync(this.folder, { recursive: true })
  }
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
