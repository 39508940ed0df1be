// Launches a server of our own (DNS, Kafka): the supervisor's half of the contract in
// child.ts. A child that breaks the contract, or ends, ends what waits for it.

import type { ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import type { L7Parser, L7RuleSet } from '../policy/index.ts'
import type { ChildStart, FromChild, RuleSetChange, RuleSetFailure, ToChild } from './child.ts'
import type { EventLog } from './event-log.ts'
import { linesOf } from './lines.ts'
import type { Use } from './need.ts'
import { type Rights, spawnWithRights } from './rights.ts'
import type { Launched, Launcher } from './server-process.ts'

export type ChildLauncherOptions = {
  readonly name: string
  readonly parsers: readonly L7Parser[]
  /** The program, with Node's options before it. */
  readonly program: readonly string[]
  /** Listening sockets, in the order of `CHILD_DESCRIPTORS`. */
  readonly sockets: readonly number[]
  readonly start: ChildStart
  readonly rights: Rights
  readonly events: EventLog
  /** What the child writes to its standard output and error. */
  readonly onOutput: (text: string) => void
}

export function childLauncher(options: ChildLauncherOptions): Launcher {
  return {
    name: options.name,
    parsers: options.parsers,
    sockets: options.sockets,
    async launch(ruleSets) {
      fs.mkdirSync(options.start.state, { recursive: true, mode: 0o700 })
      const stdio = ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', ...options.sockets] as const
      const child = spawnWithRights([process.execPath, ...options.program], options.rights, { stdio: [...stdio] })
      return new RunningChild(child, options).launched(ruleSets)
    },
  }
}

/** Where the program of a server of ours is: compiled, if this is. */
export const childProgram = (name: string): string =>
  path.join(import.meta.dirname, name, `main${path.extname(import.meta.filename)}`)

class RunningChild {
  readonly #child: ChildProcess
  readonly #options: ChildLauncherOptions
  readonly #control: net.Socket
  readonly #ready = Promise.withResolvers<void>()
  #applied: { readonly revision: number; readonly done: PromiseWithResolvers<readonly RuleSetFailure[]> } | undefined
  #revision = 0
  #counts: Readonly<Record<string, number>> = {}
  #use: Use | undefined

  constructor(child: ChildProcess, options: ChildLauncherOptions) {
    this.#child = child
    this.#options = options
    const [, stdout, stderr, control, events] = child.stdio
    if (!(control instanceof net.Socket) || !(events instanceof net.Socket))
      throw new Error(`the server ${options.name} was started without its pipes`)
    this.#control = control
    for (const stream of [stdout, stderr])
      if (stream && 'read' in stream) stream.on('data', (text: Buffer) => options.onOutput(text.toString()))
    // The end of a pipe is the end of the process, which is told elsewhere.
    for (const pipe of [control, events]) pipe.on('error', () => undefined)
    this.#ready.promise.catch(() => undefined)
    options.events.take(events).catch(() => undefined)
    this.#listen().catch((error: unknown) => {
      this.#give(error)
      child.kill('SIGKILL')
    })
  }

  launched(ruleSets: readonly L7RuleSet[]): Launched {
    return {
      process: this.#child,
      serving: this.#start(ruleSets),
      apply: change => this.#apply(change),
      counts: () => this.#counts,
      use: async () => this.#use,
    }
  }

  async #start(ruleSets: readonly L7RuleSet[]): Promise<readonly RuleSetFailure[]> {
    this.#send({ type: 'start', start: this.#options.start })
    await this.#ready.promise
    return this.#apply({ whole: true, add: ruleSets, remove: [] })
  }

  #apply(change: RuleSetChange): Promise<readonly RuleSetFailure[]> {
    const revision = ++this.#revision
    const done = Promise.withResolvers<readonly RuleSetFailure[]>()
    done.promise.catch(() => undefined)
    this.#applied = { revision, done }
    this.#send({ type: 'rule-sets', revision, change })
    return done.promise
  }

  #send(message: ToChild): void {
    this.#control.write(`${JSON.stringify(message)}\n`)
  }

  async #listen(): Promise<void> {
    for await (const line of linesOf(this.#control)) {
      const message = JSON.parse(line) as FromChild
      if (message.type === 'ready') this.#ready.resolve()
      else if (message.type === 'counts') {
        this.#counts = message.counts
        this.#use = message.use
      } else if (message.revision === this.#applied?.revision) this.#applied.done.resolve(message.failures)
    }
    this.#give(new Error(`${this.#options.name} has closed its pipe`))
  }

  #give(error: unknown): void {
    this.#ready.reject(error)
    this.#applied?.done.reject(error)
  }
}
