// A HAProxy under its real configuration between a client and a server of TLS, for tests:
// only which rule sets a connection is judged by is told by a map, in place of the kernel.

import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
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
import { haproxyRules } from '../../src/proxy/haproxy/rules.ts'
import { RuntimeApi } from '../../src/proxy/runtime-api.ts'
import type { L7Event } from '../../src/tables/index.ts'
import { closeDescriptor, HttpNetwork, listenEverywhere, PORT, SERVER, startInside } from './http-network.ts'
import type { TlsClientCommand, TlsClientResult } from './tls-client-program.ts'

const FILES = fileURLToPath(new URL('../../src/proxy/haproxy/', import.meta.url))
const FIRST_DESCRIPTOR = 3
const socketsAt = (place: number) => ({ ipv4: FIRST_DESCRIPTOR + place, ipv6: FIRST_DESCRIPTOR + place + 1 })
const RULES = haproxyRules()

type WithoutPlace<T> = T extends unknown ? Omit<T, 'id' | 'host' | 'port'> : never
export type Asked = WithoutPlace<TlsClientCommand>

/** What the server answers to `whole`. */
export const WHOLE_BYTES = 20_000_000

export class TlsProxy implements AsyncDisposable {
  readonly network = new HttpNetwork()
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-tls-'))
  readonly #descriptors: number[] = []
  readonly #children: ChildProcess[] = []
  readonly #waiting = new Map<number, (result: TlsClientResult) => void>()
  readonly #lines: string[] = []
  readonly #log = net.createServer(socket => {
    createInterface(socket).on('line', line => this.#lines.push(line))
    socket.on('error', () => socket.destroy())
  })
  readonly #runtime = new RuntimeApi(this.#path('run.sock'))
  #client: ReturnType<typeof startInside> | undefined
  #server: ReturnType<typeof startInside> | undefined
  #serverLines: AsyncIterator<string> | undefined
  #nextId = 0

  static async start(sets: readonly L7RuleSet[]): Promise<TlsProxy> {
    const proxy = new TlsProxy()
    try {
      await proxy.#start(sets)
      return proxy
    } catch (error) {
      await proxy[Symbol.asyncDispose]()
      throw error
    }
  }

  async #start(sets: readonly L7RuleSet[]): Promise<void> {
    makeCertificate(this.#path('server'))
    const serverFiles = [this.#path('server.crt'), this.#path('server.key'), String(PORT.tls), String(WHOLE_BYTES)]
    this.#server = startInside(this.network.server, 'tls-server-program.ts', serverFiles)
    this.#client = startInside(this.network.client, 'tls-client-program.ts', [])
    this.#children.push(this.#server, this.#client)
    this.#serverLines = createInterface(this.#server.stdout)[Symbol.asyncIterator]()
    await this.#serverLines.next()
    createInterface(this.#client.stdout).on('line', line => {
      const result = JSON.parse(line) as TlsClientResult
      this.#waiting.get(result.id)?.(result)
      this.#waiting.delete(result.id)
    })
    this.#log.listen(this.#path('log.sock'))
    await once(this.#log, 'listening')
    const entries = sets.flatMap(set => RULES.entries(set))
    for (const map of RULES.maps) {
      const lines = entries.filter(entry => entry.map === map).map(({ key, value }) => `${key} ${value}\n`)
      fs.writeFileSync(this.#path(`${map}.map`), lines.join(''))
    }
    fs.writeFileSync(this.#path('answers.map'), 'egress 0\ningress 0\n')
    this.#startHaproxy()
    for (let attempt = 0; ; attempt++) {
      if (await this.#runtime.ask('show version').catch(() => undefined)) return
      assert.ok(attempt < 200, 'HAProxy does not answer')
      await new Promise(resolve => setTimeout(resolve, 25))
    }
  }

  #path(name: string): string {
    return path.join(this.folder, name)
  }

  #startHaproxy(): void {
    for (const port of [PORT.http1, PORT.tls])
      for (const family of [4, 6] as const) this.#descriptors.push(listenEverywhere(this.network.node, family, port))
    const answer = (of: string): string => `str(${of}),map_str_int(${this.#path('answers.map')})`
    const configuration = RULES.configuration({
      sockets: { http: socketsAt(0), tls: socketsAt(2) },
      runtimeSocket: this.#path('run.sock'),
      logSocket: this.#path('log.sock'),
      maps: this.folder,
      files: FILES,
      maxConnections: 200,
      threads: 2,
      tlsAnswers: {
        onlySet: 'int(0)',
        egressSet: answer('egress'),
        ingressSet: answer('ingress'),
        openerIdentity: 'int(1001)',
        responderIdentity: 'int(1002)',
        egressRule: 'int(7)',
        ingressRule: 'int(8)',
        service: 'int(9)',
      },
    })
    fs.writeFileSync(this.#path('haproxy.cfg'), configuration)
    const child = withNamespace(this.network.node, () =>
      spawn('setpriv', ['--bounding-set=-net_admin', 'haproxy', '-db', '-f', this.#path('haproxy.cfg')], {
        stdio: ['ignore', 'inherit', process.env['HAPROXY_LOUD'] ? 'inherit' : 'ignore', ...this.#descriptors],
      }),
    )
    this.#children.push(child)
  }

  /** Numbers of the sets by which connections are judged from now on; undefined: the kernel does not know. */
  async judgeBy(egress: number | undefined, ingress: number | undefined): Promise<void> {
    for (const [of, set] of Object.entries({ egress, ingress }))
      await this.#runtime.ask(
        `set map ${this.#path('answers.map')} ${of} ${set === undefined ? 0 : PROXY_ANSWER + set}`,
      )
  }

  /** Adds a set while HAProxy runs. */
  async add(set: L7RuleSet): Promise<void> {
    for (const [map, lines] of Map.groupBy(RULES.entries(set), entry => entry.map))
      await this.#runtime.addToMap(this.#path(`${map}.map`), lines)
  }

  async ask(asked: Asked, family: 4 | 6 = 4): Promise<TlsClientResult> {
    const id = this.#nextId++
    this.#client?.stdin.write(`${JSON.stringify({ ...asked, id, host: SERVER[family], port: PORT.tls })}\n`)
    return new Promise(resolve => this.#waiting.set(id, resolve))
  }

  /** Connections that have reached the server since this was last asked. */
  async seen(): Promise<number> {
    this.#server?.stdin.write('\n')
    return Number((await this.#serverLines?.next())?.value)
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

/** NAME.crt and NAME.key. */
export function makeCertificate(name: string): void {
  const options = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const files = ['-subj', '/CN=server', '-keyout', `${name}.key`, '-out', `${name}.crt`]
  execFileSync('openssl', ['req', ...options, ...files], { stdio: 'ignore' })
}
