// Which servers a proxy has, each with its sockets, its place and its rights.

import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ChildLauncherOptions, childLauncher, childProgram } from './child-launcher.ts'
import type { ProxyConfiguration } from './configuration.ts'
import type { Attached } from './datapath.ts'
import type { EventLog } from './event-log.ts'
import { HAPROXY_FILES } from './haproxy/configuration.ts'
import { haproxyRules } from './haproxy/rules.ts'
import { maxConnectionsFor } from './haproxy/shares.ts'
import { haproxyLauncher } from './haproxy-launcher.ts'
import type { Log } from './log.ts'
import { raiseDescriptorLimit, type SystemUser } from './rights.ts'
import type { SecretStore } from './secret-store.ts'
import type { Launcher } from './server-process.ts'

export type ServerSetting = {
  readonly configuration: ProxyConfiguration
  readonly place: Attached
  readonly events: EventLog
  readonly secrets: SecretStore
  readonly haproxyFolder: string
  readonly haproxyUser: SystemUser | undefined
  readonly log: Pick<Log, 'error'>
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

function haproxy({ configuration, place, secrets, haproxyFolder, haproxyUser, log }: ServerSetting): Launcher {
  return haproxyLauncher({
    rules: haproxyRules(secrets.valueOf),
    folder: haproxyFolder,
    files: HAPROXY_FILES.map(name => fileURLToPath(new URL(`haproxy/${name}`, import.meta.url))),
    descriptors: [
      place.descriptor('HTTP', 4),
      place.descriptor('HTTP', 6),
      place.descriptor('TLS', 4),
      place.descriptor('TLS', 6),
    ],
    user: haproxyUser,
    maxConnections: Math.min(maxConnectionsFor(raiseDescriptorLimit()), MOST_CONNECTIONS),
    deniedBody: configuration.deniedBody,
    httpEvents: configuration.httpEvents,
    onOutput: text => log.error({ server: 'haproxy', text: text.trimEnd() }, 'a server says'),
  })
}

/** HAProxy sets aside memory for each that there may be. */
const MOST_CONNECTIONS = 50_000

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
