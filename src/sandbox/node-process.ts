// Keeps a process of a node running, its agent or its proxy: starts it inside the node's namespace and a control group,
// starts it again with growing pauses when it ends, and knows whether it answers. Pods and their packets do not depend on
// it between restarts.

import { spawn } from 'node:child_process'
import { Backoff, pause } from './backoff.ts'
import { BoundedLog } from './bounded-log.ts'
import { messageOf } from './errors.ts'
import { PROGRAMS } from './paths.ts'

const READY_POLL_MS = 50
const BACKOFF = { firstMs: 100, maxMs: 10_000, resetAfterMs: 30_000 } as const

export type NodeProcessState =
  | { readonly state: 'starting'; readonly pid: number; readonly detail: string }
  | { readonly state: 'ready'; readonly pid: number }
  | { readonly state: 'waiting'; readonly reason: string; readonly restartInMs: number }
  | { readonly state: 'stopped' }

export type NodeProcessOptions = {
  /** Such as `agent`, for the log. */
  readonly name: string
  readonly command: readonly string[]
  readonly cgroup: string
  /** File of the node's network namespace. */
  readonly networkNamespace: string
  readonly log: string
  readonly client: { status(): Promise<{ readonly ready: boolean }> }
  readonly signal: AbortSignal
  readonly onChange?: (state: NodeProcessState) => void
}

export class NodeProcess {
  readonly #options: NodeProcessOptions
  #state: NodeProcessState = { state: 'stopped' }
  #restarts = 0

  constructor(options: NodeProcessOptions) {
    this.#options = options
  }

  get state(): NodeProcessState {
    return this.#state
  }

  /** How often it was started again. */
  get restarts(): number {
    return this.#restarts
  }

  /** Until the signal is aborted. */
  async run(): Promise<void> {
    const { signal } = this.#options
    const backoff = new Backoff(BACKOFF)
    using log = new BoundedLog(this.#options.log)
    for (;;) {
      backoff.start()
      const reason = await this.#runOnce(log)
      if (signal.aborted) break
      const restartInMs = backoff.fail()
      this.#change({ state: 'waiting', reason, restartInMs })
      log.write(`axoneme: the ${this.#options.name} ended: ${reason}; starting it again in ${restartInMs} ms\n`)
      if (!(await pause(restartInMs, signal))) break
      this.#restarts++
    }
    this.#change({ state: 'stopped' })
  }

  /** @returns how it ended */
  async #runOnce(log: BoundedLog): Promise<string> {
    const { command, cgroup, networkNamespace, signal } = this.#options
    const enter = ['enter', '--die-with-parent', '--cgroup', cgroup, '--netns', networkNamespace, '--', ...command]
    const child = spawn(PROGRAMS.podInit, enter, { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGTERM' })
    const ended = Promise.withResolvers<string>()
    child.on('error', error => ended.resolve(messageOf(error)))
    child.on('exit', (code, by) => ended.resolve(by ? `killed by ${by}` : `exit code ${code}`))
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => log.write(text))
    const gone = new AbortController()
    const watching = this.#watch(child.pid ?? 0, AbortSignal.any([signal, gone.signal]))
    const reason = await ended.promise
    gone.abort()
    await watching
    return reason
  }

  /** Asks the new process until it says that it is ready. */
  async #watch(pid: number, signal: AbortSignal): Promise<void> {
    this.#change({ state: 'starting', pid, detail: 'does not answer yet' })
    do {
      try {
        const status = await this.#options.client.status()
        if (signal.aborted) return
        if (status.ready) {
          this.#change({ state: 'ready', pid })
          return
        }
        this.#change({ state: 'starting', pid, detail: 'answers, and is not ready yet' })
      } catch (error) {
        this.#change({ state: 'starting', pid, detail: messageOf(error) })
      }
    } while (await pause(READY_POLL_MS, signal))
  }

  #change(state: NodeProcessState): void {
    this.#state = state
    this.#options.onChange?.(state)
  }
}
