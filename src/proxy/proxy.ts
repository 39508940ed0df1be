// The proxy of a node, put together by hand; read it top to bottom. It keeps rule sets and
// events, owns the listening sockets, and starts the servers that judge. None of that
// needs the agent while the datapath stays as it is (docs/design/l7.md).

import fs from 'node:fs'
import path from 'node:path'
import { type ProxyStatus, requireUnserved, serveApi } from '../api/index.ts'
import type { ProxyConfiguration } from './configuration.ts'
import { enterControlGroup, SERVER_MARK } from './control-group.ts'
import { type Attached, attach, datapathOf, socketState, whenExchanged } from './datapath.ts'
import { EventLog } from './event-log.ts'
import { takeHaproxyEvents } from './haproxy-events.ts'
import { openContext, type ServerSetting, serverLaunchers } from './launchers.ts'
import type { Log } from './log.ts'
import { systemUser } from './rights.ts'
import { failuresOf, proxyRoutes } from './routes.ts'
import { RuleSetStore } from './rule-set-store.ts'
import { SecretStore } from './secret-store.ts'
import { ServerProcess } from './server-process.ts'
import { TlsContexts } from './tls-contexts.ts'
import { tlsMaterials } from './tls-materials.ts'

export type ProxyRun = {
  readonly configuration: ProxyConfiguration
  readonly version: string
  readonly log: Log
  /** Aborted: end, with all servers. */
  readonly signal: AbortSignal
}

/** Runs until the signal is aborted. @throws when a part cannot work: then connections that are to be judged are refused */
export async function runProxy({ configuration, version, log, signal: outer }: ProxyRun): Promise<void> {
  const startedAt = new Date().toISOString()
  const stop = new AbortController()
  const signal = AbortSignal.any([outer, stop.signal])
  await requireUnserved(configuration.socket)
  fs.mkdirSync(configuration.state, { recursive: true })
  enterControlGroup(configuration.cgroup)
  process.env[SERVER_MARK.name] = SERVER_MARK.value

  const store = new RuleSetStore(path.join(configuration.state, 'rule-sets'), (file, error) =>
    log.error({ file, error: String(error) }, 'a rule set could not be read; it is denied until it comes again'),
  )
  const secrets = new SecretStore(path.join(configuration.state, 'secrets.json'), (file, error) =>
    log.error(
      { file, error: String(error) },
      'secrets could not be read; rules that name them match nothing until they come again',
    ),
  )
  const events = new EventLog()
  const haproxyUser = systemUser('haproxy') ?? systemUser('nobody')
  using stack = new DisposableStack()
  stack.use(takeHaproxyEvents(path.join(configuration.state, 'haproxy'), events, haproxyUser, log))
  removeContexts(configuration.state)

  let own: readonly ServerProcess[] = []
  let contexts: TlsContexts | undefined
  const servers = () => [...own, ...(contexts?.servers ?? [])]
  let attached: Attached | undefined
  let waitsFor: string | undefined = 'the datapath'
  const status = (): ProxyStatus => {
    const states = [...own.map(server => server.status), ...(contexts?.status ?? [])]
    const late = states
      .filter(({ drains }) => !drains)
      .filter(({ state, upToDate }) => (state !== 'serving' && state !== 'idle') || !upToDate)
      .map(({ name }) => name)
    const reason = waitsFor ?? (late.length > 0 ? `servers that do not serve: ${late.join(', ')}` : undefined)
    return {
      version,
      pid: process.pid,
      startedAt,
      generation: store.generation,
      ready: reason === undefined,
      ...(reason !== undefined && { waitsFor: reason }),
      ruleSets: { ...store.counts, failed: failuresOf(servers(), contexts?.failures ?? [], store) },
      servers: states,
      sockets: [...(attached?.sockets ?? []), ...(contexts?.sockets ?? [])].map(socketState),
      events: { http: configuration.httpEvents, ...events.counts },
      memoryBytes: process.memoryUsage.rss(),
    }
  }
  const server = await serveApi(
    configuration.socket,
    proxyRoutes({ store, secrets, servers, contexts: () => contexts, events, status }),
    ({ method, url, error }) => log.error({ method, url, error: String(error) }, 'a request failed'),
  )
  log.info({ ruleSets: store.counts.sets }, 'took over the rule sets that were there')

  /** As long as the datapath is the one that it began with. */
  async function serveDatapath(): Promise<void> {
    using datapath = await datapathOf(
      configuration.bpf,
      what => {
        waitsFor = what
        log.info({ waitsFor: what }, 'waiting')
      },
      signal,
    )
    using place = attach(datapath, configuration.cgroup)
    const exchanged = new AbortController()
    const serving = AbortSignal.any([signal, exchanged.signal])
    const setting: ServerSetting = { configuration, place, events, secrets, haproxyUser, log }
    const ruleSets = () => store.all()
    own = serverLaunchers(setting).map(launcher => new ServerProcess({ launcher, ruleSets, log }))
    contexts = new TlsContexts({
      ruleSets,
      materialsOf: ends => tlsMaterials(ends, secrets.keysOf),
      open: (slot, materials, has) => openContext(setting, slot, materials, has),
      map: datapath.maps.tls_contexts,
      slots: datapath.tlsContext.number.SLOTS,
      log,
      signal: serving,
    })
    contexts.follow()
    attached = place
    waitsFor = undefined
    log.info({ sockets: place.sockets.length }, 'the datapath sends connections here')
    const running = Promise.all([...own.map(one => one.run(serving)), contexts.run()])
    await whenExchanged(datapath, configuration.bpf, serving)
    if (!serving.aborted) log.info({}, 'another datapath has taken the place of this one')
    waitsFor = 'the datapath'
    exchanged.abort()
    await running
    own = []
    contexts = undefined
    attached = undefined
  }

  try {
    while (!signal.aborted) await serveDatapath()
  } catch (error) {
    if (!outer.aborted) throw error
  } finally {
    stop.abort()
    await server.close()
  }
}

/** Keys of TLS that a process before had to leave behind. */
function removeContexts(state: string): void {
  for (const name of fs.readdirSync(state))
    if (/^https-\d+$/.test(name)) fs.rmSync(path.join(state, name), { recursive: true })
}
