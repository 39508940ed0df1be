// Somebody who connects to a service again and again and tells when another backend answers: runs svcload follow.

import type { ChildProcess } from 'node:child_process'
import readline from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Destination, type ServiceClient, spawnFollower } from './service-load.ts'

const PATIENCE_MS = 60_000
const INTERVAL_MICROS = 200

/** Who answers from now on; `askedNs`, a time of `process.hrtime`, is when the first such connection was asked for. */
type Answer = { readonly letter: string; readonly askedNs: bigint }

export class Follower implements Disposable {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #signal: AbortSignal

  constructor(client: ServiceClient, to: Destination, signal: AbortSignal) {
    this.#child = spawnFollower(client, to, INTERVAL_MICROS)
    this.#lines = readline.createInterface({ input: this.#child.stdout as Readable })[Symbol.asyncIterator]()
    this.#signal = signal
  }

  /** @throws Error when nobody else answers for long, or a connection fails */
  async next(): Promise<Answer> {
    const enough = new AbortController()
    const signal = AbortSignal.any([this.#signal, enough.signal])
    try {
      const late = sleep(PATIENCE_MS, undefined, { signal }).then(() => {
        throw new Error(`no other backend answered in ${PATIENCE_MS / 1000} s`)
      })
      const { value, done } = await Promise.race([this.#lines.next(), late])
      if (done) throw new Error('a connection to the service failed')
      const { letter, asked_ns } = JSON.parse(value) as { readonly letter: string; readonly asked_ns: string }
      return { letter, askedNs: BigInt(asked_ns) }
    } finally {
      enough.abort()
    }
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
  }
}
