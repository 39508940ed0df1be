// What tests of HAProxy under its real configuration share: a client and a server as programs
// in a network with HAProxy between them, its map files, listening sockets, log lines and
// runtime API. Who extends it says with which configuration, and what client and server do.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { withNamespace } from '../../src/net/index.ts'
import { RequestObserver } from '../../src/observe/index.ts'
import type { L7RuleSet } from '../../src/policy/index.ts'
import type { haproxyRules } from '../../src/proxy/haproxy/rules.ts'
import { RuntimeApi } from '../../src/proxy/runtime-api.ts'
import type { L7Event } from '../../src/tables/index.ts'
import { closeDescriptor, HttpNetwork, listenEverywhere, startInside } from './http-network.ts'

export const HAPROXY_FILES = fileURLToPath(new URL('../../src/proxy/haproxy/', import.meta.url))
/** Number of the descriptor in the child: after standard input, output and error. */
export const FIRST_DESCRIPTOR = 3
/** The sockets of a port: `place` counts descriptors, two a port. */
export const socketsAt = (place: number) => ({ ipv4: FIRST_DESCRIPTOR + place, ipv6: FIRST_DESCRIPTOR + place + 1 })

/** What a program is started as: its file beside this one, and its arguments. */
type ProgramStart = readonly [file: string, ...args: string[]]

/**
 * The client gets a command a line, with an `id`, and answers each with a `Result`; the server says a line when it
 * serves, and answers each line with one.
 */
export class HaproxyFixture<Result extends { readonly id: number }> implements AsyncDisposable {
  readonly network = new HttpNetwork()
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-haproxy-'))
  protected descriptors: number[] = []
  protected readonly runtime = new RuntimeApi(this.path('run.sock'))
  readonly #rules: ReturnType<typeof haproxyRules>
  readonly #waiting = new Map<number, (result: Result) => void>()
  readonly #lines: string[] = []
  readonly #log = net.createServer(socket => {
    createInterface(socket).on('line', line => this.#lines.push(line))
    socket.on('error', () => socket.destroy())
  })
  #nextId = 0
  #haproxy: ChildProcess | undefined
  #client: ReturnType<typeof startInside> | undefined
  #server: ReturnType<typeof startInside> | undefined
  #serverLines: AsyncIterator<string> | undefined

  protected constructor(rules: ReturnType<typeof haproxyRules>) {
    this.#rules = rules
  }

  path(name: string): string {
    return path.join(this.folder, name)
  }

  /** Client, server and log; returns when all are ready. @param ports how many the server serves, each with a line */
  protected async startPrograms(
    { client, server }: Record<'client' | 'server', ProgramStart>,
    ports = 1,
  ): Promise<void> {
    const [serverFile, ...serverArgs] = server
    const [clientFile, ...clientArgs] = client
    this.#server = startInside(this.network.server, serverFile, serverArgs)
    this.#client = startInside(this.network.client, clientFile, clientArgs)
    this.#serverLines = createInterface(this.#server.stdout)[Symbol.asyncIterator]()
    for (let i = 0; i < ports; i++) await this.#serverLines.next()
    createInterface(this.#client.stdout).on('line', line => {
      const result = JSON.parse(line) as Result
      this.#waiting.get(result.id)?.(result)
      this.#waiting.delete(result.id)
    })
    this.#log.listen(this.path('log.sock'))
    await once(this.#log, 'listening')
  }

  /** A map file for each map that HAProxy has, with the entries of these sets. */
  protected writeMaps(sets: readonly L7RuleSet[]): void {
    const entries = sets.flatMap(set => this.#rules.entries(set))
    for (const map of this.#rules.maps) {
      const lines = entries.filter(entry => entry.map === map).map(({ key, value }) => `${key} ${value}\n`)
      fs.writeFileSync(this.path(`${map}.map`), lines.join(''))
    }
  }

  /** Sockets that listen on the node at these ports, for `socketsAt`. */
  protected listen(ports: readonly number[]): void {
    for (const port of ports)
      for (const family of [4, 6] as const) this.descriptors.push(listenEverywhere(this.network.node, family, port))
  }

  /** Returns when HAProxy answers. @param launcher a program, with arguments, that runs HAProxy @returns its process */
  protected async startHaproxy(configuration: string, launcher: readonly string[] = []): Promise<number> {
    fs.writeFileSync(this.path('haproxy.cfg'), configuration)
    const [program, ...args] = [...launcher, 'haproxy', '-db', '-f', this.path('haproxy.cfg')] as const
    const child = withNamespace(this.network.node, () =>
      spawn(program, args, {
        stdio: ['ignore', 'inherit', process.env['HAPROXY_LOUD'] ? 'inherit' : 'ignore', ...this.descriptors],
      }),
    )
    this.#haproxy = child
    for (let attempt = 0; ; attempt++) {
      if ((await this.runtime.ask('show version').catch(() => undefined)) !== undefined) return child.pid ?? 0
      assert.ok(attempt < 200 && child.exitCode === null, 'HAProxy does not answer')
      await new Promise(resolve => setTimeout(resolve, 25))
    }
  }

  /** Adds a set while HAProxy runs. */
  async add(set: L7RuleSet): Promise<void> {
    for (const [map, lines] of Map.groupBy(this.#rules.entries(set), entry => entry.map))
      await this.runtime.addToMap(this.path(`${map}.map`), lines)
  }

  /** Has the client do something. */
  protected toClient(command: object): Promise<Result> {
    const id = this.#nextId++
    this.#client?.stdin.write(`${JSON.stringify({ ...command, id })}\n`)
    return new Promise(resolve => this.#waiting.set(id, resolve))
  }

  /** What the server answers when it is asked what it has seen. */
  protected async fromServer(): Promise<string | undefined> {
    this.#server?.stdin.write('\n')
    const { value } = (await this.#serverLines?.next()) ?? {}
    return value
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

  /** Its sockets and what it told go with it, so that another may be started. */
  protected async endHaproxy(): Promise<void> {
    await end(this.#haproxy)
    this.#haproxy = undefined
    this.descriptors.forEach(closeDescriptor)
    this.descriptors = []
    this.#lines.splice(0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endHaproxy()
    for (const child of [this.#client, this.#server]) await end(child)
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

/** The proxy, started; what had been started of it is ended where that fails. */
export async function started<Proxy extends AsyncDisposable>(proxy: Proxy, start: () => Promise<void>): Promise<Proxy> {
  try {
    await start()
    return proxy
  } catch (error) {
    await proxy[Symbol.asyncDispose]()
    throw error
  }
}
