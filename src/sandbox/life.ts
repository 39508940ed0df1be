// Makes and removes sandboxes. Promises that both can be repeated and interrupted at any moment: whatever state the one
// before left, `up` ends with a working sandbox or nothing, and `down` ends with nothing.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import type { Readable } from 'node:stream'
import { lastLines } from './bounded-log.ts'
import * as cgroup from './cgroup.ts'
import { SandboxClient } from './client.ts'
import { type SandboxConfiguration, validName } from './configuration.ts'
import { messageOf, SandboxError } from './errors.ts'
import { withLock } from './lock.ts'
import { PROGRAMS, type SandboxPaths, sandboxPaths } from './paths.ts'
import { isAlive, type ProcessRecord } from './process-record.ts'
import { parseReport, REPORT_FD } from './start-report.ts'

const LOCK_TIMEOUT_MS = 60_000
const LOG_LINES_SHOWN = 15

export type LifeOptions = {
  readonly signal?: AbortSignal
  /** What is being done, for people. */
  readonly onStep?: (step: string) => void
}

export type UpResult = { readonly alreadyUp: boolean }
/** What was there to remove, for people; nothing when there was no sandbox. */
export type DownResult = { readonly removed: readonly string[] }

/**
 * Makes a sandbox and waits until its agents are ready.
 * @throws SandboxError `unsupported`, `busy`, `failed`, `interrupted`; after each of these nothing of it is left
 */
export async function up(configuration: SandboxConfiguration, options: LifeOptions = {}): Promise<UpResult> {
  requireMachine()
  const paths = sandboxPaths(validName(configuration.name))
  return await withLock(paths.lock, lockOptions(options), async () => {
    if (await isUp(configuration.name, paths)) return { alreadyUp: true }
    const remains = await removeAll(paths)
    if (remains.length > 0) options.onStep?.(`removed what was left of the last one: ${remains.join(', ')}`)
    try {
      await start(configuration, paths, options)
    } catch (error) {
      await removeAll(paths)
      throw error
    }
    return { alreadyUp: false }
  })
}

/** Removes a sandbox, whole or half there. @throws SandboxError `unsupported`, `busy`, `failed` */
export async function down(name: string, options: LifeOptions = {}): Promise<DownResult> {
  requireRoot()
  const paths = sandboxPaths(validName(name))
  return await withLock(paths.lock, lockOptions(options), async () => ({ removed: await removeAll(paths) }))
}

const lockOptions = ({ signal, onStep }: LifeOptions) => ({
  timeoutMs: LOCK_TIMEOUT_MS,
  signal,
  onWait: () => onStep?.('another command is at work on this sandbox; waiting for it'),
})

function requireRoot(): void {
  if (process.getuid?.() !== 0)
    throw new SandboxError(
      'unsupported',
      'the sandbox makes network namespaces and BPF programs: run this as root (sudo)',
    )
}

function requireMachine(): void {
  requireRoot()
  if (!fs.existsSync(PROGRAMS.podInit))
    throw new SandboxError('unsupported', `${PROGRAMS.podInit} is not there: run \`npm run build\` first`)
}

async function isUp(name: string, paths: SandboxPaths): Promise<boolean> {
  const record = readRecord(paths)
  if (!record || !isAlive(record)) return false
  try {
    await new SandboxClient(name).status()
    return true
  } catch {
    return false
  }
}

function readRecord(paths: SandboxPaths): ProcessRecord | undefined {
  try {
    return JSON.parse(fs.readFileSync(paths.daemonRecord, 'utf8')) as ProcessRecord
  } catch {
    // Not there, or half written by a daemon that died: either way there is no daemon to rely on.
    return undefined
  }
}

async function start(configuration: SandboxConfiguration, paths: SandboxPaths, options: LifeOptions): Promise<void> {
  const { signal, onStep } = options
  signal?.throwIfAborted()
  for (const folder of [paths.folder, paths.objects, paths.cluster, paths.logs])
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
  fs.writeFileSync(paths.configuration, JSON.stringify(configuration))
  const group = cgroup.create(path.join(cgroup.cgroupRoot(), paths.cgroupName, 'daemon'))
  const daemon = spawnDaemon(configuration.name, group, paths)
  try {
    await untilReady(daemon, paths, signal, onStep)
  } catch (error) {
    if (signal?.aborted) throw new SandboxError('interrupted', 'interrupted; nothing is left of the sandbox')
    throw error
  } finally {
    daemon.stdio[REPORT_FD]?.destroy()
  }
}

function spawnDaemon(name: string, group: string, paths: SandboxPaths): ChildProcess {
  const log = fs.openSync(paths.daemonLog, 'a', 0o640)
  try {
    const place = ['--cgroup', group, '--private-mounts', '--private-network']
    // What Node thinks of its own features is nothing that a reader of the log could act on.
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', PROGRAMS.daemon, name]
    const child = spawn(PROGRAMS.podInit, ['enter', ...place, '--', ...node], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', log, log, 'pipe'],
    })
    child.unref()
    return child
  } finally {
    fs.closeSync(log)
  }
}

async function untilReady(
  daemon: ChildProcess,
  paths: SandboxPaths,
  signal: AbortSignal | undefined,
  onStep: LifeOptions['onStep'],
): Promise<void> {
  const lines = readline.createInterface({ input: daemon.stdio[REPORT_FD] as Readable, ...(signal && { signal }) })
  const spawnError = once(daemon, 'error').then(([error]) => {
    throw new SandboxError('failed', `cannot start ${PROGRAMS.podInit}: ${messageOf(error)}`)
  })
  const reports = (async () => {
    for await (const line of lines) {
      const report = parseReport(line)
      if ('ready' in report) return
      if ('failed' in report) throw new SandboxError('failed', report.failed)
      onStep?.(report.step)
    }
    signal?.throwIfAborted()
    const log = lastLines(paths.daemonLog, LOG_LINES_SHOWN)
    throw new SandboxError('failed', `the sandbox's daemon ended before it was ready${log ? `:\n${log}` : ''}`)
  })()
  await Promise.race([reports, spawnError])
}

/** @returns what there was, in words */
async function removeAll(paths: SandboxPaths): Promise<string[]> {
  const removed: string[] = []
  const record = readRecord(paths)
  const group = path.join(cgroup.cgroupRoot(), paths.cgroupName)
  if (cgroup.exists(group)) {
    const processes = await cgroup.remove(group)
    removed.push(`control group ${group} with ${processes} processes`)
  }
  // Only if somebody moved it to another control group.
  if (record && isAlive(record)) {
    process.kill(record.pid, 'SIGKILL')
    removed.push(`daemon ${record.pid}`)
  }
  if (fs.existsSync(paths.folder)) {
    fs.rmSync(paths.folder, { recursive: true, force: true, maxRetries: 3 })
    removed.push(`state folder ${paths.folder}`)
  }
  return removed
}
