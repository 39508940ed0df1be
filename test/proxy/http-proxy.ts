// A HAProxy under its real configuration between a client and a server, for tests: only
// which rule sets a connection is judged by is told by headers of the request, in place
// of the kernel.

import fs from 'node:fs'
import { EGRESS_ANSWER, PROXY_ANSWER } from '../../src/http/index.ts'
import type { HttpRule, L7RuleSet } from '../../src/policy/index.ts'
import type { HttpEvents, KernelAnswers } from '../../src/proxy/haproxy/options.ts'
import { haproxyRules } from '../../src/proxy/haproxy/rules.ts'
import { FIRST_DESCRIPTOR, HAPROXY_FILES, HaproxyFixture, socketsAt, started } from './haproxy-fixture.ts'
import type { ClientCommand, ClientResult } from './http-client-program.ts'
import { PORT, SERVER } from './http-network.ts'

export const needsRoot = process.getuid?.() === 0 ? {} : { skip: 'needs root: run the tests with sudo' }

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

type Started = {
  readonly sets?: readonly L7RuleSet[]
  readonly logs?: boolean
  readonly told?: HttpEvents
  readonly toldHeaders?: readonly string[]
  readonly maxConnections?: number
}

export class HttpProxy extends HaproxyFixture<ClientResult> {
  haproxyPid = 0

  static start(options: Started = {}): Promise<HttpProxy> {
    const proxy = new HttpProxy(RULES)
    return started(proxy, () => proxy.#start(options))
  }

  async #start({
    sets = [],
    logs = true,
    told = 'all',
    toldHeaders = [],
    maxConnections = 2000,
  }: Started): Promise<void> {
    await this.startPrograms({ server: ['http-server-program.ts'], client: ['http-client-program.ts'] })
    this.writeMaps(sets)
    this.listen([PORT.http1, PORT.tls, PORT.http2, PORT.nobody])
    fs.writeFileSync(this.path('denied'), DENIED_BODY)
    const configuration = RULES.configuration({
      sockets: { http: socketsAt(0), tls: socketsAt(2) },
      runtimeSocket: this.path('run.sock'),
      logSocket: logs ? this.path('log.sock') : undefined,
      maps: this.folder,
      files: HAPROXY_FILES,
      told,
      toldHeaders,
      maxConnections,
      threads: 2,
      deniedBody: this.path('denied'),
      answers: ANSWERS_IN_HEADERS,
    })
    // The other ports of the server come in by sockets of the same frontend.
    const others = this.descriptors.slice(4).map((_, index) => `  bind fd@${FIRST_DESCRIPTOR + 4 + index}`)
    const whole = configuration.replace(/(frontend http\n)/, `$1${others.join('\n')}\n`)
    this.haproxyPid = await this.startHaproxy(whole)
  }

  /** By the runtime API. */
  command(text: string): Promise<string> {
    return this.runtime.ask(text)
  }

  /** Writes the bytes on one connection. @returns what came */
  ask(writes: string | readonly string[], asked: Partial<Asked> = {}): Promise<ClientResult> {
    const { family = 4, port = PORT.http1, answers = 1, silenceMs } = asked
    const command: Omit<ClientCommand, 'id'> = {
      host: SERVER[family],
      port,
      writes: typeof writes === 'string' ? [writes] : writes,
      answers,
      ...(silenceMs !== undefined && { silenceMs }),
    }
    return this.toClient(command)
  }

  /** What has reached the server since this was last asked. */
  async seen(): Promise<Seen> {
    return JSON.parse((await this.fromServer()) ?? '{}') as Seen
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
