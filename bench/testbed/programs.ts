// Runs programs inside network namespaces, as children that end with the benchmark.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import readline from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Namespace, withNamespace } from '../../src/net/index.ts'

export type Command = readonly [program: string, ...args: string[]]

/** What it prints until it ends. @throws Error when it ends otherwise than with success */
export async function outputOf(
  namespace: Namespace,
  [program, ...args]: Command,
  signal: AbortSignal,
): Promise<string> {
  const child = withNamespace(namespace, () =>
    spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], signal, killSignal: 'SIGKILL' }),
  )
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit') as Promise<[number | null]>])
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${output}`)
  return output
}

/** A program that prints a line whenever there is news; killed when disposed of. */
export class Program implements Disposable {
  readonly pid: number
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(namespace: Namespace, [program, ...args]: Command) {
    const child = withNamespace(namespace, () => spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] }))
    this.#child = child
    this.pid = child.pid ?? 0
    this.#lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  /** One that says at first that it is there. */
  static async ready(namespace: Namespace, command: Command, signal: AbortSignal): Promise<Program> {
    const program = new Program(namespace, command)
    try {
      await program.next(signal)
      return program
    } catch (error) {
      program[Symbol.dispose]()
      throw error
    }
  }

  /** Lines are handed out in order, those that came before they were asked for too. @throws Error when none comes */
  async next(signal: AbortSignal, patienceMs = 30_000): Promise<string> {
    const enough = new AbortController()
    try {
      const late = sleep(patienceMs, undefined, { signal: AbortSignal.any([signal, enough.signal]) }).then(() => {
        throw new Error(`${this.#child.spawnfile} said nothing for ${patienceMs / 1000} s`)
      })
      const { value, done } = await Promise.race([this.#lines.next(), late])
      if (done) throw new Error(`${this.#child.spawnfile} ended`)
      return value
    } finally {
      enough.abort()
    }
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
  }
}
