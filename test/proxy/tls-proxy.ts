// A HAProxy under its real configuration between a client and a server of TLS, for tests:
// only which rule sets a connection is judged by is told by a map, in place of the kernel.

import fs from 'node:fs'
import { PROXY_ANSWER } from '../../src/http/index.ts'
import type { L7RuleSet } from '../../src/policy/index.ts'
import { haproxyRules } from '../../src/proxy/haproxy/rules.ts'
import { makeAuthority } from './certificates.ts'
import { HAPROXY_FILES, HaproxyFixture, socketsAt, started } from './haproxy-fixture.ts'
import { PORT, SERVER } from './http-network.ts'
import type { TlsClientCommand, TlsClientResult } from './tls-client-program.ts'

const RULES = haproxyRules()

type WithoutPlace<T> = T extends unknown ? Omit<T, 'id' | 'host' | 'port'> : never
export type Asked = WithoutPlace<TlsClientCommand>

/** What the server answers to `whole`. */
export const WHOLE_BYTES = 20_000_000

export class TlsProxy extends HaproxyFixture<TlsClientResult> {
  static start(sets: readonly L7RuleSet[]): Promise<TlsProxy> {
    const proxy = new TlsProxy(RULES)
    return started(proxy, () => proxy.#start(sets))
  }

  async #start(sets: readonly L7RuleSet[]): Promise<void> {
    makeAuthority(this.path('server'))
    const serverFiles = [this.path('server.crt'), this.path('server.key'), String(PORT.tls), String(WHOLE_BYTES)]
    await this.startPrograms({
      server: ['tls-server-program.ts', ...serverFiles],
      client: ['tls-client-program.ts'],
    })
    this.writeMaps(sets)
    fs.writeFileSync(this.path('answers.map'), 'egress 0\ningress 0\n')
    this.listen([PORT.http1, PORT.tls])
    const answer = (of: string): string => `str(${of}),map_str_int(${this.path('answers.map')})`
    const configuration = RULES.configuration({
      sockets: { http: socketsAt(0), tls: socketsAt(2) },
      runtimeSocket: this.path('run.sock'),
      logSocket: this.path('log.sock'),
      maps: this.folder,
      files: HAPROXY_FILES,
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
    await this.startHaproxy(configuration, ['setpriv', '--bounding-set=-net_admin'])
  }

  /** Numbers of the sets by which connections are judged from now on; undefined: the kernel does not know. */
  async judgeBy(egress: number | undefined, ingress: number | undefined): Promise<void> {
    for (const [of, set] of Object.entries({ egress, ingress }))
      await this.runtime.ask(`set map ${this.path('answers.map')} ${of} ${set === undefined ? 0 : PROXY_ANSWER + set}`)
  }

  ask(asked: Asked, family: 4 | 6 = 4): Promise<TlsClientResult> {
    return this.toClient({ ...asked, host: SERVER[family], port: PORT.tls })
  }

  /** Connections that have reached the server since this was last asked. */
  async seen(): Promise<number> {
    return Number(await this.fromServer())
  }
}
