// The control group of the proxy: made where it is missing, entered, and cleared of
// servers that a supervisor has left which was killed. The programs that mark the
// proxy's connections are attached to it, so nobody else's processes may be in it.

import fs from 'node:fs'
import path from 'node:path'
import { ProxyConfigurationError } from './configuration.ts'

const CGROUP2_MAGIC = 0x63677270

/** Says in its environment that a process is a server of a proxy, and may be ended by the next one. */
export const SERVER_MARK = { name: 'AXONEME_PROXY_SERVER', value: '1' } as const

/**
 * Puts this process into the group.
 * @throws ProxyConfigurationError for a folder that is no control group, or the root of all
 */
export function enterControlGroup(folder: string): void {
  try {
    fs.mkdirSync(folder, { recursive: true })
    if (fs.statfsSync(folder).type !== CGROUP2_MAGIC) throw new Error('it is no control group of version 2')
    if (!fs.existsSync(path.join(folder, 'cgroup.type'))) throw new Error('it is the root of all control groups')
    endLeftBehind(folder)
    fs.writeFileSync(path.join(folder, 'cgroup.procs'), String(process.pid))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new ProxyConfigurationError(`--cgroup ${folder}: ${reason}; give a control group for the proxy alone`, {
      cause: error,
    })
  }
}

function endLeftBehind(folder: string): void {
  const pids = fs.readFileSync(path.join(folder, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number)
  for (const pid of pids.filter(isLeftBehind))
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
}

function isLeftBehind(pid: number): boolean {
  try {
    const environment = fs.readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0')
    return pid !== process.pid && environment.includes(`${SERVER_MARK.name}=${SERVER_MARK.value}`)
  } catch {
    return false // ended meanwhile
  }
}
