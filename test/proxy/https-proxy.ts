// HAProxy under the configuration of a TLS context, between a client and servers, for
// tests: only which rule sets a connection is judged by is told by a map, in place of the
// kernel. Each test has a HAProxy of its own; client, servers and certificates are shared.

import fs from 'node:fs'
import { PROXY_ANSWER } from '../../src/http/index.ts'
import type { L7RuleSet } from '../../src/policy/index.ts'
import type { TlsContextFiles } from '../../src/proxy/haproxy/options.ts'
import { haproxyRules } from '../../src/proxy/haproxy/rules.ts'
import { makeAuthority, makeSigned } from './certificates.ts'
import { FIRST_DESCRIPTOR, HAPROXY_FILES, HaproxyFixture, socketsAt, started } from './haproxy-fixture.ts'
import { SERVER } from './http-network.ts'
import type { HttpsCommand, HttpsResult } from './https-client-program.ts'
import type { Had, HttpsServer } from './https-server-program.ts'

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

export class HttpsProxy extends HaproxyFixture<HttpsResult> {
  static start(): Promise<HttpsProxy> {
    const proxy = new HttpsProxy(RULES)
    return started(proxy, () => proxy.#start())
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
    await this.startPrograms(
      { server: ['https-server-program.ts', JSON.stringify(servers)], client: ['https-client-program.ts'] },
      servers.length,
    )
  }

  /** Another HAProxy, for this context. Everything is judged by the first set, of the opener. */
  async serve(context: TlsContextFiles, sets: readonly L7RuleSet[]): Promise<void> {
    await this.endHaproxy()
    this.writeMaps(sets)
    fs.writeFileSync(
      this.path('answers.map'),
      `egress ${PROXY_ANSWER + (sets[0]?.number ?? 0)}\ningress ${PROXY_ANSWER}\n`,
    )
    this.listen(Object.values(PORTS))
    const answer = (of: string): string => `str(${of}),map_str_int(${this.path('answers.map')})`
    const text = RULES.configuration({
      sockets: { http: socketsAt(0) },
      tlsContext: context,
      runtimeSocket: this.path('run.sock'),
      logSocket: this.path('log.sock'),
      maps: this.folder,
      files: HAPROXY_FILES,
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
    const more = this.descriptors.slice(2).map((_, at) => bind.replace(/fd@\d+/, `fd@${FIRST_DESCRIPTOR + 2 + at}`))
    const whole = text.replace(/^frontend http\n/m, `frontend http\n${more.join('\n')}\n`)
    await this.startHaproxy(whole, ['setpriv', '--bounding-set=-net_admin'])
  }

  async judgeBy(egress: number, ingress: number): Promise<void> {
    for (const [of, set] of Object.entries({ egress, ingress }))
      await this.runtime.ask(`set map ${this.path('answers.map')} ${of} ${PROXY_ANSWER + set}`)
  }

  ask(asked: Asked, family: 4 | 6 = 4): Promise<HttpsResult> {
    return this.toClient({ ...asked, address: SERVER[family] })
  }

  /** What the servers have had since this was last asked. */
  async had(): Promise<Had> {
    return JSON.parse(String(await this.fromServer())) as Had
  }
}
