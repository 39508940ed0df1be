// Runs a command inside a running pod, confined like the pod's own processes, or on the machine outside of the cluster,
// with the caller's terminal or streams.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import type { SandboxClient } from './client.ts'
import { SandboxError } from './errors.ts'
import { PROGRAMS, sandboxPaths } from './paths.ts'
import { replaceAgnhost } from './pods/images.ts'

const PASSED_ON = ['SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const

export type ExecOptions = {
  readonly namespace: string
  readonly pod: string
  /** The pod's first container unless given: its environment, folder and user are used. */
  readonly container?: string | undefined
  readonly command: readonly string[]
  /** With a terminal of the pod's own; the caller's streams otherwise. */
  readonly terminal: boolean
}

/** Starts the command. @throws SandboxError `not-found`, `not-running` */
export async function spawnInPod(
  client: SandboxClient,
  options: ExecOptions,
  stdio: StdioOptions,
): Promise<ChildProcess> {
  const { namespace, pod, command, terminal } = options
  const entry = await client.pod(namespace, pod)
  const container = options.container
    ? entry.containers.find(({ name }) => name === options.container)
    : entry.containers[0]
  if (!container) {
    const known = entry.containers.map(({ name }) => name).join(', ')
    throw new SandboxError(
      'not-found',
      `pod ${namespace}/${pod} has no container ${options.container}; it has ${known}`,
    )
  }
  const place = ['--target', String(entry.pid), '--cgroup', entry.cgroup, '--directory', container.directory]
  const flags = [...place, '--user', `${container.uid}:${container.gid}`, ...(terminal ? ['--terminal'] : [])]
  const term = process.env['TERM']
  return spawn(PROGRAMS.podInit, ['run', '--die-with-parent', ...flags, '--', ...replaceAgnhost(command)], {
    env: { ...container.environment, ...(terminal && term ? { TERM: term } : {}) },
    stdio,
  })
}

/** Starts a command on the machine outside; it sees this machine's files, and can do there what its user can. */
export async function spawnOutside(
  client: SandboxClient,
  [program = '', ...args]: readonly string[],
  stdio: StdioOptions,
): Promise<ChildProcess> {
  const { cgroup, networkNamespace } = await client.outside()
  const app = path.join(sandboxPaths(client.name).podFiles, 'app.mjs')
  const command = program === 'agnhost' ? [process.execPath, app, ...args] : [program, ...args]
  const place = ['--die-with-parent', '--cgroup', cgroup, '--netns', networkNamespace]
  return spawn(PROGRAMS.podInit, ['enter', ...place, '--', ...command], { stdio })
}

/** Runs a command outside. @returns its exit code */
export async function execOutside(client: SandboxClient, command: readonly string[]): Promise<number> {
  return await endOf(await spawnOutside(client, command, 'inherit'))
}

/** @returns the command's exit code: 128 + N when signal N ended it, 127 when it was not found */
export async function exec(client: SandboxClient, options: ExecOptions): Promise<number> {
  return await endOf(await spawnInPod(client, options, 'inherit'))
}

async function endOf(child: ChildProcess): Promise<number> {
  const passOn = (signal: NodeJS.Signals): void => void child.kill(signal)
  // The keyboard's SIGINT reaches the child by itself; this process only has to outlive it.
  const ignore = (): void => {}
  process.on('SIGINT', ignore)
  for (const signal of PASSED_ON) process.on(signal, passOn)
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
    return code ?? (signal === 'SIGKILL' ? 137 : 125)
  } finally {
    process.off('SIGINT', ignore)
    for (const signal of PASSED_ON) process.off(signal, passOn)
  }
}
