// One container: a process inside a pod's namespaces, started again as the pod's restart policy says, with growing pauses
// for one that keeps failing. Its output goes to a bounded log file, kept by build/pod-init.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Backoff, pause } from '../backoff.ts'
import { LOG_LIMIT_BYTES } from '../bounded-log.ts'
import { messageOf } from '../errors.ts'
import { PROGRAMS } from '../paths.ts'
import type { ContainerPlan, PodPlan } from './plan.ts'
import type { PodSandbox } from './pod-sandbox.ts'

const BACKOFF = { firstMs: 500, maxMs: 60_000, resetAfterMs: 60_000 } as const
/** Exit codes of pod-init itself, and of a process ended by a signal. */
const EXIT_OWN_FAILURE = 125
const EXIT_CANNOT_EXECUTE = 126
const EXIT_NOT_FOUND = 127
const EXIT_KILLED = 137
/** Longest time that a timer of Node takes. */
const MAX_TIMER_MS = 2 ** 31 - 1

export type ContainerState =
  | { readonly state: 'waiting'; readonly reason: string; readonly message?: string }
  | { readonly state: 'running'; readonly startedAt: string }
  | { readonly state: 'terminated'; readonly exitCode: number; readonly reason: string; readonly finishedAt: string }

export type ContainerStatus = {
  readonly name: string
  readonly image: string
  readonly restarts: number
  /** Of the run before this one. */
  readonly lastExitCode?: number
} & ContainerState

export class Container {
  readonly #plan: ContainerPlan
  readonly #log: string
  #state: ContainerState = { state: 'waiting', reason: 'PodInitializing' }
  #restarts = 0
  #lastExitCode: number | undefined

  constructor(plan: ContainerPlan, log: string) {
    this.#plan = plan
    this.#log = log
  }

  get status(): ContainerStatus {
    const { name, image } = this.#plan
    const last = this.#lastExitCode === undefined ? {} : { lastExitCode: this.#lastExitCode }
    return { name, image, restarts: this.#restarts, ...last, ...this.#state }
  }

  /**
   * Runs until the policy says that it is done, or the signal is aborted: then the process is asked to end, and killed
   * after the grace period.
   * @returns the last exit code
   */
  async run(
    sandbox: PodSandbox,
    policy: PodPlan['restartPolicy'],
    gracePeriodMs: number,
    signal: AbortSignal,
  ): Promise<number> {
    const backoff = new Backoff(BACKOFF)
    for (;;) {
      backoff.start()
      const exitCode = await this.#runOnce(sandbox, gracePeriodMs, signal)
      const again = policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0)
      if (!again || signal.aborted) return exitCode
      const waitMs = backoff.fail()
      this.#lastExitCode = exitCode
      this.#state = {
        state: 'waiting',
        reason: 'CrashLoopBackOff',
        message: `${reasonOf(exitCode)} (exit code ${exitCode}); starts again in ${waitMs} ms`,
      }
      if (!(await pause(waitMs, signal))) return exitCode
      this.#restarts++
    }
  }

  async #runOnce(sandbox: PodSandbox, gracePeriodMs: number, signal: AbortSignal): Promise<number> {
    const { argv, directory, uid, gid, environment } = this.#plan
    const place = ['--target', String(sandbox.pid), '--cgroup', sandbox.cgroup, '--directory', directory]
    const log = ['--log', this.#log, '--log-limit', String(LOG_LIMIT_BYTES)]
    const flags = ['--die-with-parent', ...place, '--user', `${uid}:${gid}`, ...log]
    const child = spawn(PROGRAMS.podInit, ['run', ...flags, '--', ...argv], {
      env: environment,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    this.#state = { state: 'running', startedAt: new Date().toISOString() }
    const exitCode = await exitCodeOf(child, gracePeriodMs, signal)
    const finishedAt = new Date().toISOString()
    this.#state = { state: 'terminated', exitCode, reason: reasonOf(exitCode), finishedAt }
    return exitCode
  }
}

/** Asks the process to end when the signal is aborted, and kills it after the grace period. */
async function exitCodeOf(child: ChildProcess, gracePeriodMs: number, signal: AbortSignal): Promise<number> {
  let killTimer: NodeJS.Timeout | undefined
  const stop = (): void => {
    child.kill('SIGTERM')
    killTimer = setTimeout(() => child.kill('SIGKILL'), Math.min(gracePeriodMs, MAX_TIMER_MS))
  }
  if (signal.aborted) stop()
  else signal.addEventListener('abort', stop, { once: true })
  try {
    const [code, by] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
    // pod-init itself is only ever killed with its pod.
    return code ?? (by === 'SIGKILL' ? EXIT_KILLED : EXIT_OWN_FAILURE)
  } catch (error) {
    process.stderr.write(`cannot start ${PROGRAMS.podInit}: ${messageOf(error)}\n`)
    return EXIT_OWN_FAILURE
  } finally {
    signal.removeEventListener('abort', stop)
    clearTimeout(killTimer)
  }
}

function reasonOf(exitCode: number): string {
  switch (exitCode) {
    case 0:
      return 'Completed'
    case EXIT_OWN_FAILURE:
      return 'CreateContainerError'
    case EXIT_CANNOT_EXECUTE:
      return 'ContainerCannotRun'
    case EXIT_NOT_FOUND:
      return 'CommandNotFound'
    default:
      return 'Error'
  }
}
