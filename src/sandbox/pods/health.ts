// Does the actions of probes and hooks: commands inside the pod, pages and connections from the node. The process that
// asks from the node starts with the first question and ends with the daemon.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import readline from 'node:readline'
import type { Writable } from 'node:stream'
import { pause } from '../backoff.ts'
import { messageOf } from '../errors.ts'
import { PROGRAMS } from '../paths.ts'
import type { Action } from './actions.ts'
import { replaceAgnhost } from './images.ts'
import type { ContainerPlan } from './plan.ts'
import type { PodSandbox } from './pod-sandbox.ts'

export type HealthRequest = {
  readonly id: number
  readonly host: string
  readonly port: number
  readonly timeoutMs: number
} & (
  | { readonly kind: 'http'; readonly path: string; readonly headers: Readonly<Record<string, string>> }
  | { readonly kind: 'tcp' }
)

/** Without an error it went well. */
export type HealthAnswer = { readonly id: number; readonly error?: string }

/** The container that is asked after. */
export type Subject = {
  readonly sandbox: PodSandbox
  readonly container: ContainerPlan
  readonly addresses: readonly string[]
}

export type HealthOptions = {
  readonly cgroup: string
  /** File of the node's network namespace. */
  readonly networkNamespace: string
}

/** Longer than the program's own patience. */
const ANSWER_GRACE_MS = 1_000

export class Health {
  readonly #options: HealthOptions
  readonly #asked = new Map<number, (answer: HealthAnswer) => void>()
  #program: ChildProcess | undefined
  #lastId = 0

  constructor(options: HealthOptions) {
    this.#options = options
  }

  /** @returns why it failed; undefined when it went well */
  async perform(action: Action, subject: Subject, timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
    if (signal.aborted) return 'no longer wanted'
    switch (action.kind) {
      case 'sleep':
        await pause(Math.min(action.milliseconds, timeoutMs), signal)
        return undefined
      case 'exec':
        return await execute(action.argv, subject, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]))
      case 'http':
      case 'tcp': {
        const host = action.host ?? subject.addresses[0] ?? ''
        return await this.#ask({ ...action, id: ++this.#lastId, host, timeoutMs }, signal)
      }
    }
  }

  async #ask(request: HealthRequest, signal: AbortSignal): Promise<string | undefined> {
    const { promise, resolve } = Promise.withResolvers<HealthAnswer>()
    const { id, timeoutMs } = request
    const giveUp = (error: string) => (): void => resolve({ id, error })
    const timer = setTimeout(giveUp('timed out'), timeoutMs + ANSWER_GRACE_MS)
    const abort = giveUp('no longer wanted')
    signal.addEventListener('abort', abort, { once: true })
    this.#asked.set(id, resolve)
    ;(this.#running().stdin as Writable).write(`${JSON.stringify(request)}\n`)
    try {
      return (await promise).error
    } finally {
      this.#asked.delete(id)
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    }
  }

  #running(): ChildProcess {
    this.#program ??= this.#start()
    return this.#program
  }

  #start(): ChildProcess {
    const { cgroup, networkNamespace } = this.#options
    const place = ['enter', '--die-with-parent', '--cgroup', cgroup, '--netns', networkNamespace, '--']
    const child = spawn(PROGRAMS.podInit, [...place, process.execPath, PROGRAMS.health], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const forget = (): void => {
      if (this.#program === child) this.#program = undefined
    }
    child.on('exit', forget).on('error', forget)
    child.stdin?.on('error', forget)
    readline.createInterface({ input: child.stdout }).on('line', line => {
      const answer = JSON.parse(line) as HealthAnswer
      this.#asked.get(answer.id)?.(answer)
    })
    return child
  }
}

async function execute(
  argv: readonly string[],
  { sandbox, container }: Subject,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { directory, uid, gid, environment } = container
  const place = ['--target', String(sandbox.pid), '--cgroup', sandbox.cgroup, '--directory', directory]
  const flags = ['--die-with-parent', ...place, '--user', `${uid}:${gid}`]
  const child = spawn(PROGRAMS.podInit, ['run', ...flags, '--', ...replaceAgnhost(argv)], {
    env: environment,
    stdio: 'ignore',
    signal,
    killSignal: 'SIGKILL',
  })
  try {
    const [code] = (await once(child, 'exit')) as [number | null]
    return code === 0 ? undefined : `exit code ${code}`
  } catch (error) {
    return signal.aborted ? 'timed out' : messageOf(error)
  }
}
