// The sub-commands of `axoneme sandbox`, each a function of its parsed options that prints to the given streams and
// returns the exit code. Parsing and help are left to the command line.

import fs from 'node:fs'
import path from 'node:path'
import type { Writable } from 'node:stream'
import { SandboxClient } from './client.ts'
import { defaultConfiguration } from './configuration.ts'
import { SandboxError } from './errors.ts'
import { exec, execOutside } from './exec.ts'
import { down, up } from './life.ts'
import { printLog } from './logs.ts'
import { containerLog, DEFAULT_SANDBOX, sandboxPaths } from './paths.ts'
import { formatMatrix } from './probe/matrix.ts'
import { formatStatus } from './status-text.ts'
import { type OutputFormat, render } from './text.ts'

export type Streams = { readonly stdout: Writable; readonly stderr: Writable }

type Named = {
  /** Of the sandbox; `default` unless given. */
  readonly name?: string | undefined
}
type WithOutput = Named & { readonly output?: OutputFormat | undefined }
type WithPod = Named & {
  /** `namespace/name`, or the name of a pod of namespace `default`. */
  readonly pod: string
  readonly container?: string | undefined
}

const EXIT_OK = 0
const EXIT_FAILED = 1
const EXIT_INTERRUPTED = 130

export type UpOptions = Named & {
  /** Folders with manifests to follow, beside the object store. */
  readonly folders?: readonly string[] | undefined
  /** Program and first arguments of an agent, in place of this version's own. */
  readonly agentCommand?: readonly string[] | undefined
}

export async function sandboxUp({ name, folders = [], agentCommand }: UpOptions, streams: Streams): Promise<number> {
  return await reporting(streams, async () => {
    const standard = defaultConfiguration(name)
    const wanted = {
      ...standard,
      folders: folders.map(existingFolder),
      agentCommand: [...(agentCommand ?? standard.agentCommand)],
    }
    const onStep = (step: string): void => void streams.stderr.write(`${step}\n`)
    const { alreadyUp } = await untilInterrupted(signal => up(wanted, { signal, onStep }))
    const { objects } = sandboxPaths(wanted.name)
    streams.stdout.write(
      alreadyUp ? `sandbox ${wanted.name} is already up\n` : `sandbox ${wanted.name} is up; objects in ${objects}\n`,
    )
    return EXIT_OK
  })
}

export async function sandboxDown({ name = DEFAULT_SANDBOX }: Named, streams: Streams): Promise<number> {
  return await reporting(streams, async () => {
    const onStep = (step: string): void => void streams.stderr.write(`${step}\n`)
    const { removed } = await down(name, { onStep })
    const lines = removed.map(what => `removed ${what}\n`).join('')
    streams.stdout.write(lines || `sandbox ${name} is not up: nothing to remove\n`)
    return EXIT_OK
  })
}

export async function sandboxStatus({ name, output = 'table' }: WithOutput, streams: Streams): Promise<number> {
  return await reporting(streams, async () => {
    const status = await new SandboxClient(name).status()
    streams.stdout.write(render(status, output, () => formatStatus(status)))
    return EXIT_OK
  })
}

export type ExecCommandOptions = WithPod & { readonly command: readonly string[] }

/** Uses the standard streams of this process, with a terminal of the pod's own when input and output are one. */
export async function sandboxExec(options: ExecCommandOptions, streams: Streams): Promise<number> {
  return await reporting(streams, async () => {
    const { command, container } = options
    if (command.length === 0)
      throw new SandboxError('invalid', 'give a command to run: … exec NAMESPACE/POD -- COMMAND')
    const terminal = process.stdin.isTTY && process.stdout.isTTY
    return await exec(new SandboxClient(options.name), { ...podOf(options.pod), container, command, terminal })
  })
}

export type OutsideOptions = Named & { readonly command: readonly string[] }

/** Runs a command on a machine outside of the cluster, with the standard streams of this process. */
export async function sandboxOutside({ name, command }: OutsideOptions, streams: Streams): Promise<number> {
  return await reporting(streams, async () => await execOutside(new SandboxClient(name), command))
}

export type LogsOptions = WithPod & { readonly follow?: boolean | undefined; readonly lines?: number | undefined }

export async function sandboxLogs(options: LogsOptions, streams: Streams): Promise<number> {
  return await reporting(streams, async () => {
    const file = findLog(options)
    const print = (follow?: AbortSignal) => printLog(file, streams.stdout, { lines: options.lines, follow })
    if (options.follow) await untilInterrupted(print)
    else await print()
    return EXIT_OK
  })
}

export type ProbeCommandOptions = WithOutput & {
  /** Such as `80/TCP,81/UDP,http`. */
  readonly ports: string
  readonly family?: 4 | 6 | undefined
  /** Of one try, in milliseconds. */
  readonly timeoutMs?: number | undefined
  readonly tries?: number | undefined
}

export async function sandboxProbe(options: ProbeCommandOptions, streams: Streams): Promise<number> {
  const { name, ports, output = 'table' } = options
  const { family, timeoutMs, tries } = options
  return await reporting(streams, async () => {
    const client = new SandboxClient(name)
    const { results, skipped } = await untilInterrupted(signal =>
      client.probe({ ports, family, timeoutMs, tries }, signal),
    )
    for (const pod of skipped) streams.stderr.write(`pod ${pod} does not run: left out\n`)
    streams.stdout.write(render(results, output, () => formatMatrix(results)))
    return EXIT_OK
  })
}

/** Prints an expected failure and returns its exit code. A defect is thrown on. */
async function reporting({ stderr }: Streams, body: () => Promise<number>): Promise<number> {
  try {
    return await body()
  } catch (error) {
    if (!(error instanceof SandboxError)) throw error
    stderr.write(`axoneme: ${error.message}\n`)
    return error.code === 'interrupted' ? EXIT_INTERRUPTED : EXIT_FAILED
  }
}

/** Aborts the signal on Ctrl-C or SIGTERM, and lets the body finish what it then has to. */
async function untilInterrupted<T>(body: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interrupted = new AbortController()
  const interrupt = (): void => interrupted.abort()
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt)
  try {
    return await body(interrupted.signal)
  } catch (error) {
    if (interrupted.signal.aborted && !(error instanceof SandboxError))
      throw new SandboxError('interrupted', 'interrupted', { cause: error })
    throw error
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
  }
}

function existingFolder(folder: string): string {
  if (fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return path.resolve(folder)
  throw new SandboxError('invalid', `${folder} is not a folder`)
}

function podOf(text: string): { namespace: string; pod: string } {
  const [first = '', second, ...more] = text.split('/')
  if (!first || second === '' || more.length > 0)
    throw new SandboxError('invalid', `'${text}' is not a pod: give NAMESPACE/NAME`)
  return second === undefined ? { namespace: 'default', pod: first } : { namespace: first, pod: second }
}

/** Logs outlive their pod, so they are found by file name. */
function findLog({ name = DEFAULT_SANDBOX, pod: text, container }: LogsOptions): string {
  const paths = sandboxPaths(name)
  const { namespace, pod } = podOf(text)
  if (!fs.existsSync(paths.logs)) throw new SandboxError('not-up', `sandbox ${name} is not up: there are no logs`)
  const prefix = path.basename(containerLog(paths, { namespace, name: pod }, ''), '.log')
  const containers = fs
    .readdirSync(paths.logs)
    .filter(file => file.startsWith(prefix) && file.endsWith('.log'))
    .map(file => file.slice(prefix.length, -'.log'.length))
    .sort()
  if (container !== undefined && !containers.includes(container)) {
    const known = containers.length > 0 ? `; it has logs of ${containers.join(', ')}` : ''
    throw new SandboxError('not-found', `there is no log of container ${container} of pod ${namespace}/${pod}${known}`)
  }
  if (container === undefined && containers.length !== 1) {
    const why =
      containers.length === 0
        ? 'there is no log of it'
        : `it has several containers (${containers.join(', ')}): name one`
    throw new SandboxError('not-found', `pod ${namespace}/${pod}: ${why}`)
  }
  return containerLog(paths, { namespace, name: pod }, container ?? containers[0] ?? '')
}
