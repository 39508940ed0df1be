// One container: a process inside a pod's namespaces, probed as its probes say, started again as the pod's restart policy
// says, with growing pauses for one that keeps failing. Its output goes to a bounded log file, kept by build/pod-init.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Backoff, pause } from '../backoff.ts'
import { LOG_LIMIT_BYTES } from '../bounded-log.ts'
import { messageOf } from '../errors.ts'
import { PROGRAMS } from '../paths.ts'
import type { ProbePlan } from './actions.ts'
import type { Health } from './health.ts'
import type { ContainerPlan, PodPlan } from './plan.ts'
import type { PodSandbox } from './pod-sandbox.ts'
import { runProbe } from './probe-loop.ts'

const BACKOFF = { firstMs: 500, maxMs: 60_000, resetAfterMs: 60_000 } as const
/** Exit codes of pod-init itself, and of a process ended by a signal. */
const EXIT_OWN_FAILURE = 125
const EXIT_CANNOT_EXECUTE = 126
const EXIT_NOT_FOUND = 127
const EXIT_KILLED = 137
/** What a process has to end in, where its hook has used up the grace period. As the kubelet has it. */
const MIN_END_MS = 2_000
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
  /** It runs, and its probes say that it can be asked. */
  readonly ready: boolean
  /** Of the run before this one. */
  readonly lastExitCode?: number
} & ContainerState

/** What a container runs in. */
export type ContainerSetting = {
  readonly sandbox: PodSandbox
  readonly addresses: readonly string[]
  readonly gracePeriodMs: number
  readonly health: Pick<Health, 'perform'>
}

export class Container {
  readonly #plan: ContainerPlan
  readonly #log: string
  readonly #onChange: () => void
  #state: ContainerState = { state: 'waiting', reason: 'PodInitializing' }
  #isStarted = false
  #isReady = false
  #restarts = 0
  #lastExitCode: number | undefined

  /** @param onChange called when the status differs */
  constructor(plan: ContainerPlan, log: string, onChange: () => void) {
    this.#plan = plan
    this.#log = log
    this.#onChange = onChange
  }

  get status(): ContainerStatus {
    const { name, image } = this.#plan
    const last = this.#lastExitCode === undefined ? {} : { lastExitCode: this.#lastExitCode }
    const ready = this.#state.state === 'running' && this.#isStarted && this.#isReady
    return { name, image, restarts: this.#restarts, ready, ...last, ...this.#state }
  }

  /**
   * Runs until the policy says that it is done, or the signal is aborted: then its hook is called, the process is asked to
   * end, and killed after the grace period.
   * @returns the last exit code
   */
  async run(setting: ContainerSetting, policy: PodPlan['restartPolicy'], signal: AbortSignal): Promise<number> {
    const backoff = new Backoff(BACKOFF)
    for (;;) {
      backoff.start()
      const exitCode = await this.#runOnce(setting, signal)
      const again = policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0)
      if (!again || signal.aborted) return exitCode
      const waitMs = backoff.fail()
      this.#lastExitCode = exitCode
      this.#change({
        state: 'waiting',
        reason: 'CrashLoopBackOff',
        message: `${reasonOf(exitCode)} (exit code ${exitCode}); starts again in ${waitMs} ms`,
      })
      if (!(await pause(waitMs, signal))) return exitCode
      this.#restarts++
    }
  }

  async #runOnce(setting: ContainerSetting, signal: AbortSignal): Promise<number> {
    const { sandbox } = setting
    const { argv, directory, uid, gid, environment, startup, readiness } = this.#plan
    const place = ['--target', String(sandbox.pid), '--cgroup', sandbox.cgroup, '--directory', directory]
    const log = ['--log', this.#log, '--log-limit', String(LOG_LIMIT_BYTES)]
    const flags = ['--die-with-parent', ...place, '--user', `${uid}:${gid}`, ...log]
    const child = spawn(PROGRAMS.podInit, ['run', ...flags, '--', ...argv], {
      env: environment,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    this.#isStarted = startup === undefined
    this.#isReady = readiness === undefined
    this.#change({ state: 'running', startedAt: new Date().toISOString() })
    const ended = new AbortController()
    const unhealthy = new AbortController()
    void this.#probe(setting, unhealthy, ended.signal)
    const exitCode = await exitCodeOf(child, AbortSignal.any([signal, unhealthy.signal]), {
      gracePeriodMs: setting.gracePeriodMs,
      beforeStop: timeoutMs => this.#callHook(setting, timeoutMs, ended.signal),
    })
    ended.abort()
    const finishedAt = new Date().toISOString()
    this.#change({ state: 'terminated', exitCode, reason: reasonOf(exitCode), finishedAt })
    return exitCode
  }

  /** Keeps what the probes say, until the process has ended. */
  async #probe(setting: ContainerSetting, unhealthy: AbortController, ended: AbortSignal): Promise<void> {
    const { startup, readiness, liveness } = this.#plan
    const run = async (plan: ProbePlan | undefined, onVerdict: (isWell: boolean) => boolean): Promise<void> => {
      if (!plan) return
      const subject = { sandbox: setting.sandbox, container: this.#plan, addresses: setting.addresses }
      const ask = (signal: AbortSignal) => setting.health.perform(plan.action, subject, plan.timeoutMs, signal)
      await runProbe(plan, ask, onVerdict, ended)
    }
    const mustLive = (isWell: boolean): boolean => {
      if (!isWell) unhealthy.abort()
      return isWell
    }
    await run(startup, isWell => {
      this.#isStarted = mustLive(isWell)
      this.#onChange()
      return false
    })
    if (!this.#isStarted) return
    const becomeReady = (isWell: boolean): boolean => {
      this.#isReady = isWell
      this.#onChange()
      return true
    }
    await Promise.all([run(readiness, becomeReady), run(liveness, mustLive)])
  }

  async #callHook(setting: ContainerSetting, timeoutMs: number, ended: AbortSignal): Promise<void> {
    const { preStop } = this.#plan
    if (!preStop) return
    const subject = { sandbox: setting.sandbox, container: this.#plan, addresses: setting.addresses }
    const failure = await setting.health.perform(preStop, subject, timeoutMs, ended)
    if (failure && !ended.aborted) process.stderr.write(`container ${this.#plan.name}: preStop: ${failure}\n`)
  }

  #change(state: ContainerState): void {
    this.#state = state
    this.#onChange()
  }
}

type Stopping = {
  readonly gracePeriodMs: number
  /** Resolves when the process may be asked to end; the grace period has begun. */
  readonly beforeStop: (timeoutMs: number) => Promise<void>
}

/** Asks the process to end when the signal is aborted, and kills it after the grace period. */
async function exitCodeOf(child: ChildProcess, signal: AbortSignal, stopping: Stopping): Promise<number> {
  let killTimer: NodeJS.Timeout | undefined
  const stop = async (): Promise<void> => {
    const gracePeriodMs = Math.min(stopping.gracePeriodMs, MAX_TIMER_MS)
    const startedMs = performance.now()
    await stopping.beforeStop(gracePeriodMs)
    if (child.exitCode !== null || child.signalCode !== null) return
    const leftMs = startedMs + gracePeriodMs - performance.now()
    child.kill('SIGTERM')
    killTimer = setTimeout(() => child.kill('SIGKILL'), Math.max(leftMs, Math.min(gracePeriodMs, MIN_END_MS)))
  }
  const onAbort = (): void => void stop()
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  try {
    const [code, by] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
    // pod-init itself is only ever killed with its pod.
    return code ?? (by === 'SIGKILL' ? EXIT_KILLED : EXIT_OWN_FAILURE)
  } catch (error) {
    process.stderr.write(`cannot start ${PROGRAMS.podInit}: ${messageOf(error)}\n`)
    return EXIT_OWN_FAILURE
  } finally {
    signal.removeEventListener('abort', onAbort)
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
