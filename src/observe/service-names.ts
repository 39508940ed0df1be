// Whose service a number in an event is. A number outlives its service: flows that were
// opened to it go on for a while, so the names of those that went away are kept.

import type { Table, Watcher } from '../state/index.ts'
import type { ServiceEntry } from '../tables/index.ts'
import type { FlowService } from './flow.ts'

/** So long do flows name a service that is gone. */
const KEPT_MS = 5 * 60_000
/** Of those that went away, the newest. */
const KEPT_NAMES = 8192

type GoneName = { readonly service: FlowService; readonly goneAtMs: number }

export class ServiceNames implements Disposable {
  readonly #entries: Table<ServiceEntry, 'number'>
  readonly #watcher: Watcher<ServiceEntry>
  readonly #nowMs: () => number
  /** The oldest first. */
  readonly #gone = new Map<number, GoneName>()

  /** @param nowMs a clock that never goes back */
  constructor(entries: Table<ServiceEntry, 'number'>, nowMs: () => number = () => performance.now()) {
    this.#entries = entries
    this.#nowMs = nowMs
    this.#watcher = entries.watch()
    this.#watcher.take()
  }

  /** Notes what goes, until the signal is aborted: also while nobody asks for names. */
  async run(signal: AbortSignal): Promise<void> {
    while (await this.#watcher.wait(signal)) this.#noteChanges()
  }

  /** The service port of a number; undefined for 0, and for one that has been gone for long. */
  nameOf(number: number): FlowService | undefined {
    if (number === 0) return undefined
    const present = nameIn(this.#entries.by('number', String(number))[0], number)
    if (present) return present
    if (this.#watcher.ready) this.#noteChanges()
    const gone = this.#gone.get(number)
    return gone && this.#nowMs() - gone.goneAtMs <= KEPT_MS ? gone.service : undefined
  }

  [Symbol.dispose](): void {
    this.#watcher.close()
  }

  #noteChanges(): void {
    const nowMs = this.#nowMs()
    for (const change of this.#watcher.take()) {
      const kept = change.kind === 'put' ? new Set(change.row.ports.map(({ number }) => number)) : undefined
      for (const { number } of change.previous?.ports ?? []) {
        const service = nameIn(change.previous, number)
        if (kept?.has(number) || !service) continue
        this.#gone.delete(number)
        this.#gone.set(number, { service, goneAtMs: nowMs })
      }
    }
    for (const [number, { goneAtMs }] of this.#gone) {
      if (this.#gone.size <= KEPT_NAMES && nowMs - goneAtMs <= KEPT_MS) break
      this.#gone.delete(number)
    }
  }
}

function nameIn(entry: ServiceEntry | undefined, number: number): FlowService | undefined {
  const port = entry?.ports.find(each => each.number === number)
  return entry && port && { namespace: entry.namespace, name: entry.name, port: port.port, portName: port.portName }
}
