// A stream of packets between two pods that tells when their fate changes: runs bench/pulse.c as a child.

import { type ChildProcess, spawn } from 'node:child_process'
import path from 'node:path'
import readline from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { BUILD_FOLDER } from './load.ts'
import type { TestPod } from './testbed.ts'

const PATIENCE_MS = 5_000

/** A packet whose fate is another than that of the one before it. Times are those of `process.hrtime`. */
export type Change = { readonly arrives: boolean; readonly sentNs: bigint; readonly beforeNs: bigint }

export type PulseOptions = {
  readonly from: TestPod
  readonly to: TestPod
  /** Of UDP. */
  readonly port: number
  readonly intervalMicros: number
  readonly signal: AbortSignal
}

export class Pulse implements Disposable {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #signal: AbortSignal

  private constructor(child: ChildProcess, output: Readable, signal: AbortSignal) {
    this.#child = child
    this.#lines = readline.createInterface({ input: output })[Symbol.asyncIterator]()
    this.#signal = signal
  }

  /** @returns when packets arrive. @throws Error when they do not */
  static async start({ from, to, port, intervalMicros, signal }: PulseOptions): Promise<Pulse> {
    const namespaces = [from, to].map(({ namespace }) => `/proc/${process.pid}/fd/${namespace.fd}`)
    const args = [...namespaces, to.addresses[4], String(port), String(intervalMicros)]
    const child = spawn(path.join(BUILD_FOLDER, 'pulse'), args, { stdio: ['pipe', 'pipe', 'inherit'] })
    const pulse = new Pulse(child, child.stdout, signal)
    try {
      const { arrives } = await pulse.nextChange()
      if (!arrives) throw new Error('no packet arrives, though the policy in force allows it')
      return pulse
    } catch (error) {
      pulse[Symbol.dispose]()
      throw error
    }
  }

  /** Changes are handed out in order, those that came before they were asked for too. @throws Error when none comes */
  async nextChange(): Promise<Change> {
    const enough = new AbortController()
    const signal = AbortSignal.any([this.#signal, enough.signal])
    try {
      const late = sleep(PATIENCE_MS, undefined, { signal }).then(() => {
        throw new Error(`the fate of packets did not change in ${PATIENCE_MS / 1000} s`)
      })
      const { value, done } = await Promise.race([this.#lines.next(), late])
      if (done) throw new Error('pulse ended')
      const change = JSON.parse(value) as { arrives: boolean; sent_ns: string; before_ns: string }
      return { arrives: change.arrives, sentNs: BigInt(change.sent_ns), beforeNs: BigInt(change.before_ns) }
    } finally {
      enough.abort()
    }
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
  }
}
