// Which servers a proxy has, each with its sockets, its place and its rights.

import fs from 'node:fs'
import path from 'node:path'
import { type ChildLauncherOptions, childLauncher, childProgram } from './child-launcher.ts'
import type { ProxyConfiguration } from './configuration.ts'
import type { Attached } from './datapath.ts'
import type { EventLog } from './event-log.ts'
import type { SystemUser } from './rights.ts'
import type { Launcher } from './server-process.ts'

export type ServerSetting = {
  readonly configuration: ProxyConfiguration
  readonly place: Attached
  readonly events: EventLog
  readonly haproxyFolder: string
  readonly haproxyUser: SystemUser | undefined
  readonly log: { error(fields: Readonly<Record<string, unknown>>, message: string): void }
}

/** To speak as a client (net_admin) and to ask the datapath (bpf); to answer questions from their servers' address (net_raw). */
const CAPABILITIES = { dns: ['net_admin', 'bpf', 'net_raw', 'net_bind_service'], kafka: ['net_admin', 'bpf'] } as const

export function serverLaunchers(setting: ServerSetting): Launcher[] {
  const { place } = setting
  return [
    ownServer(setting, 'dns', [
      place.descriptor('DNS', 4),
      place.descriptor('DNS', 6),
      place.descriptor('DNS', 4, 'UDP'),
      place.descriptor('DNS', 6, 'UDP'),
    ]),
    ownServer(setting, 'kafka', [place.descriptor('KAFKA', 4), place.descriptor('KAFKA', 6)]),
  ].filter(({ name }) => fs.existsSync(childProgram(name)))
}

function ownServer(
  { configuration, events, log }: ServerSetting,
  name: 'dns' | 'kafka',
  sockets: ChildLauncherOptions['sockets'],
): Launcher {
  return childLauncher({
    name,
    parsers: [name],
    program: [...process.execArgv, childProgram(name)],
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
