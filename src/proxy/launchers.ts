// Which servers a proxy has, each with its sockets, its place and its rights.

import fs from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { L7RuleSet } from '../policy/index.ts'
import { type ChildLauncherOptions, childLauncher, childProgram } from './child-launcher.ts'
import type { ProxyConfiguration } from './configuration.ts'
import type { Attached } from './datapath.ts'
import type { EventLog } from './event-log.ts'
import { HAPROXY_FILES } from './haproxy/configuration.ts'
import { haproxyRules } from './haproxy/rules.ts'
import { maxConnectionsFor } from './haproxy/shares.ts'
import { takeHaproxyEvents } from './haproxy-events.ts'
import { type HaproxyLauncherOptions, haproxyLauncher } from './haproxy-launcher.ts'
import type { Log } from './log.ts'
import { raiseDescriptorLimit, type SystemUser } from './rights.ts'
import type { SecretStore } from './secret-store.ts'
import type { Launcher } from './server-process.ts'
import type { ContextPlace } from './tls-contexts.ts'
import type { UsableMaterials } from './tls-materials.ts'

export type ServerSetting = {
  readonly configuration: ProxyConfiguration
  readonly place: Attached
  readonly events: EventLog
  readonly secrets: SecretStore
  readonly haproxyUser: SystemUser | undefined
  readonly log: Log
}

/** To speak as a client (net_admin) and to ask the datapath, and to stand in for the agent (bpf); to answer questions from their servers' address (net_raw). */
const CAPABILITIES = { dns: ['net_admin', 'bpf', 'net_raw', 'net_bind_service'], kafka: ['net_admin', 'bpf'] } as const

export function serverLaunchers(setting: ServerSetting): Launcher[] {
  const { place } = setting
  return [
    haproxy(setting),
    ownServer(setting, 'dns', [
      place.descriptor('DNS', 4),
      place.descriptor('DNS', 6),
      place.descriptor('DNS', 4, 'UDP'),
      place.descriptor('DNS', 6, 'UDP'),
    ]),
    ownServer(setting, 'kafka', [place.descriptor('KAFKA', 4), place.descriptor('KAFKA', 6)]),
  ]
}

function haproxy(setting: ServerSetting): Launcher {
  const { place } = setting
  return haproxyLauncher({
    ...haproxyOptions(setting, 'haproxy', MOST_CONNECTIONS.all),
    threads: haproxyThreads(MOST_THREADS.all),
    descriptors: [
      place.descriptor('HTTP', 4),
      place.descriptor('HTTP', 6),
      place.descriptor('TLS', 4),
      place.descriptor('TLS', 6),
    ],
  })
}

/** Of a server for a TLS context, found in its slot. */
export function openContext(
  setting: ServerSetting,
  slot: number,
  { texts, files }: UsableMaterials,
  has: (set: L7RuleSet) => boolean,
): ContextPlace {
  const name = `https-${slot + 1}`
  const options = haproxyOptions(setting, name, MOST_CONNECTIONS.context)
  using stack = new DisposableStack()
  stack.defer(() => fs.rmSync(options.folder, { recursive: true, force: true }))
  const { sockets } = stack.use(setting.place.openContext(slot))
  stack.use(takeHaproxyEvents(options.folder, setting.events, setting.haproxyUser, setting.log))
  const owned = stack.move()
  return {
    sockets,
    launcher: haproxyLauncher({
      ...options,
      threads: haproxyThreads(MOST_THREADS.context),
      descriptors: [sockets[0].fd, sockets[1].fd],
      context: { name, has, texts, files },
    }),
    [Symbol.dispose]: () => owned.dispose(),
  }
}

function haproxyOptions(
  { configuration, secrets, haproxyUser, log }: ServerSetting,
  name: string,
  most: number,
): Omit<HaproxyLauncherOptions, 'descriptors'> {
  return {
    rules: haproxyRules(secrets.valueOf),
    folder: path.join(configuration.state, name),
    files: HAPROXY_FILES.map(file => fileURLToPath(new URL(`haproxy/${file}`, import.meta.url))),
    user: haproxyUser,
    maxConnections: Math.min(maxConnectionsFor(raiseDescriptorLimit()), most),
    deniedBody: configuration.deniedBody,
    httpEvents: configuration.httpEvents,
    httpHeaders: configuration.httpHeaders,
    onOutput: text => log.error({ server: name, text: text.trimEnd() }, 'a server says'),
  }
}

/** HAProxy sets aside memory for each that there may be. */
const MOST_CONNECTIONS = { all: 50_000, context: 10_000 } as const
/** One group of HAProxy's has no more; of TLS contexts there may be many. */
const MOST_THREADS = { all: 64, context: 4 } as const

/** Half of the processors, but two where there are two: more threads burn their time waiting for each other's locks, that of the lines most of all. */
function haproxyThreads(most: number): number {
  const processors = availableParallelism()
  return Math.min(processors, Math.max(2, Math.floor(processors / 2)), most)
}

function ownServer(
  { configuration, events, log }: ServerSetting,
  name: 'dns' | 'kafka',
  sockets: ChildLauncherOptions['sockets'],
): Launcher {
  return childLauncher({
    name,
    parsers: [name],
    // Without the options of the supervisor, which are those of a process that mostly waits.
    program: [childProgram(name)],
    sockets,
    start: {
      bpf: configuration.bpf,
      state: path.join(configuration.state, name),
      ...(configuration.agent !== undefined && { agentSocket: configuration.agent }),
      dns: configuration.dns,
    },
    rights: { capabilities: CAPABILITIES[name] },
    events,
    onOutput: text => log.error({ server: name, text: text.trimEnd() }, 'a server says'),
  })
}
