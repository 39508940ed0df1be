// Starts a server with the rights that it needs and no others, by setpriv of util-linux:
// it dies with the supervisor, gains nothing by what it executes, and HAProxy is not root.

import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'

export type Rights = {
  /** As setpriv names them: net_admin, bpf, … */
  readonly capabilities: readonly string[]
  /** Whose process it is to be; root unless given. */
  readonly user?: SystemUser | undefined
}

export type SystemUser = { readonly uid: number; readonly gid: number }

export type Place = {
  /** As of `spawn`: descriptors above 2 are handed on under their place in the list. */
  readonly stdio: NonNullable<SpawnOptions['stdio']>
  /**
   * Where it is started. Folders above may be closed to its user: it sees this one at /mnt, in a mount namespace of its own,
   * and no other process sees that.
   */
  readonly folder?: string
}

export function spawnWithRights(
  command: readonly [string, ...string[]],
  { capabilities, user }: Rights,
  { stdio, folder }: Place,
): ChildProcess {
  const only = ['-all', ...capabilities.map(name => `+${name}`)].join(',')
  const options = [
    '--pdeathsig=KILL',
    '--no-new-privs',
    `--bounding-set=${only}`,
    `--inh-caps=${only}`,
    ...(user ? [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups', `--ambient-caps=${only}`] : []),
  ]
  const confined = ['setpriv', ...options, '--', ...command] as const
  const [program, ...args] = folder === undefined ? confined : [...inMountOfItsOwn(folder), ...confined]
  return spawn(program ?? '', args, { stdio })
}

/** Each of these programs gives its process on to the next. */
const inMountOfItsOwn = (folder: string): string[] => {
  const script = 'mount --bind "$0" /mnt && cd /mnt && exec "$@"'
  return ['unshare', '--mount', '--propagation', 'slave', '--', 'sh', '-c', script, folder]
}

/** Of open descriptors: two connections for each of a client, and two pipes that bodies go through. */
const WANTED_DESCRIPTORS = 200_200

/** Raises the limit of descriptors for servers to come, as far as this process may. @returns the limit */
export function raiseDescriptorLimit(): number {
  const before = descriptorLimit()
  if (before >= WANTED_DESCRIPTORS) return before
  // Without the capability (sys_resource) it stays, and fewer connections are taken at a time.
  spawnSync('prlimit', ['--pid', String(process.pid), `--nofile=${WANTED_DESCRIPTORS}:${WANTED_DESCRIPTORS}`])
  return descriptorLimit()
}

function descriptorLimit(): number {
  const [, soft] = /^Max open files\s+(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8')) ?? []
  return Number(soft ?? 1024)
}

/** @returns undefined when there is none of that name */
export function systemUser(name: string, file = '/etc/passwd'): SystemUser | undefined {
  const line = fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .find(text => text.startsWith(`${name}:`))
  const [, , uid, gid] = line?.split(':') ?? []
  return uid && gid ? { uid: Number(uid), gid: Number(gid) } : undefined
}
