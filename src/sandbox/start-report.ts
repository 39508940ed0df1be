// How a daemon that is starting tells `up` how far it is: one JSON object a line on descriptor 3. The line is also the
// daemon's leash: when `up` is gone before all is made, nobody wants the sandbox any more.

import net from 'node:net'
import { z } from 'zod'

export const REPORT_FD = 3

const reportSchema = z.union([
  z.strictObject({ step: z.string() }),
  z.strictObject({ ready: z.literal(true) }),
  z.strictObject({ failed: z.string() }),
])

export type Report = z.infer<typeof reportSchema>

export const parseReport = (line: string): Report => reportSchema.parse(JSON.parse(line))

export class StartReport {
  readonly #socket: net.Socket
  #over = false

  /** @param onAbandoned called when `up` ends before the start does */
  constructor(onAbandoned: () => void) {
    this.#socket = new net.Socket({ fd: REPORT_FD, readable: true, writable: true })
    const abandon = (): void => {
      if (!this.#over) onAbandoned()
    }
    this.#socket.on('error', abandon).on('close', abandon).resume()
  }

  step(step: string): void {
    this.#send({ step })
  }

  /** The last report. Resolves when it has been handed over. */
  async end(report: { readonly ready: true } | { readonly failed: string }): Promise<void> {
    this.#over = true
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#socket.end(`${JSON.stringify(report)}\n`, resolve)
    await promise
  }

  #send(report: Report): void {
    this.#socket.write(`${JSON.stringify(report)}\n`)
  }
}
