// The agent's connection to the node's proxy: follows what it has judged, and tells when
// it is there again after it was away, so that what it may have lost is looked after.
// Without the agent the proxy keeps events for a while, and counts what it cannot keep.

import { setTimeout as sleep } from 'node:timers/promises'
import type { ProxyClient, ProxyStatus } from '../api/index.ts'

const RETRY_MS = 250
const STATUS_PATIENCE_MS = 1_000

export type ProxyLinkOptions = {
  readonly client: ProxyClient
  /** The proxy is there, for the first time or after it was away. */
  readonly onThere: () => void
  /** Whole lines of what it has judged. */
  readonly onLines: (lines: Buffer) => void
}

/** How a proxy stands, as far as the agent can tell. */
export type ProxyView = ProxyStatus | { readonly ready: false; readonly waitsFor: string }

export class ProxyLink {
  readonly #options: ProxyLinkOptions

  constructor(options: ProxyLinkOptions) {
    this.#options = options
  }

  /** Until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { client, onThere, onLines } = this.#options
    while (!signal.aborted) {
      try {
        await client.status(signal)
        onThere()
        for await (const lines of client.events(signal)) onLines(lines)
      } catch {
        // Away: `view` says so to whoever asks, and rule sets that cannot be brought to it have an error of their own.
      }
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  async view(): Promise<ProxyView> {
    try {
      return await this.#options.client.status(AbortSignal.timeout(STATUS_PATIENCE_MS))
    } catch (error) {
      return { ready: false, waitsFor: error instanceof Error ? error.message : String(error) }
    }
  }
}
