// One connection through the proxy: the client's leg and the broker's, with what is asked
// and what is answered between them. Whoever is too slow slows the other down, and no
// more than MAX_OUTSTANDING requests wait for their answers.

import type { Duplex } from 'node:stream'
import { formatIp } from '../../ip/index.ts'
import type { L7Event } from '../../tables/index.ts'
import type { Connection, KnownFlow } from '../known-flows.ts'
import { Answers } from './answers.ts'
import { eventsOf, type Report } from './events.ts'
import { FrameCutter } from './frames.ts'
import type { HeldBytes } from './held-bytes.ts'
import type { KafkaRuleSets } from './judge.ts'
import { Requests } from './requests.ts'

const MAX_OUTSTANDING = 1000

/** A socket, which can be closed so that the other side sees an error. */
export type Leg = Duplex & { resetAndDestroy?(): unknown }

export type ConnectionOptions = {
  readonly ends: Connection
  readonly client: Leg
  readonly broker: Leg
  readonly sets: KafkaRuleSets
  readonly held: HeldBytes
  readonly findFlow: () => KnownFlow | undefined
  readonly emit: (event: L7Event) => void
}

/** Runs by itself from now on, until both legs are closed. */
export function carryConnection(options: ConnectionOptions): void {
  new Carrier(options).start()
}

class Carrier {
  readonly #options: ConnectionOptions
  readonly #answers: Answers
  readonly #requests: Requests
  readonly #cutter: FrameCutter
  #isClosed = false

  constructor(options: ConnectionOptions) {
    this.#options = options
    const { client, broker, sets } = options
    this.#answers = new Answers({
      toClient: bytes => void client.write(bytes),
      close: reason => {
        this.#report({ verdict: 'ERROR', flow: options.findFlow(), reason })
        this.#reset()
      },
    })
    this.#requests = new Requests(
      {
        client: formatIp(options.ends.client.address),
        findFlow: options.findFlow,
        toBroker: bytes => void broker.write(bytes),
        report: report => this.#report(report),
        close: () => this.#reset(),
      },
      sets,
      options.held,
      this.#answers,
    )
    this.#cutter = new FrameCutter(this.#requests)
  }

  start(): void {
    const { client, broker } = this.#options
    this.#follow(client, broker, chunk => this.#fromClient(chunk))
    this.#follow(broker, client, chunk => this.#answers.fromBroker(chunk))
  }

  #follow(from: Leg, to: Leg, take: (chunk: Uint8Array) => void): void {
    from.on('data', (chunk: Uint8Array) => {
      if (this.#isClosed) return
      // What comes of one chunk leaves in one system call.
      for (const leg of [from, to]) leg.cork()
      take(chunk)
      for (const leg of [from, to]) leg.uncork()
      this.#balance()
    })
    from.on('drain', () => this.#balance())
    from.on('end', () => to.end())
    // A reset is passed on as one: the other side must not take what it got for all there was.
    from.on('error', () => this.#reset())
    from.on('close', () => this.#finish(to))
  }

  #fromClient(chunk: Uint8Array): void {
    const rest = this.#requests.isRaw ? chunk : this.#cutter.push(chunk)
    this.#requests.await()
    if (!rest || this.#isClosed || !this.#requests.isRaw) return
    const flow = this.#options.findFlow()
    if (this.#options.sets.isUnrestricted(flow)) {
      this.#options.broker.write(rest)
      return
    }
    // Nothing is known of where requests begin in what is said.
    this.#report({ verdict: 'ERROR', flow, reason: 'rules came up for a connection that was not understood' })
    this.#reset()
  }

  #balance(): void {
    if (this.#isClosed) return
    const { client, broker } = this.#options
    // Who does not read our answers is not read from either.
    const isFull = broker.writableNeedDrain || client.writableNeedDrain || this.#answers.outstanding > MAX_OUTSTANDING
    pauseWhen(client, isFull)
    pauseWhen(broker, client.writableNeedDrain)
  }

  #report(report: Report): void {
    for (const event of eventsOf(this.#options.ends, report, Date.now() * 1000)) this.#options.emit(event)
  }

  #reset(): void {
    const { client, broker } = this.#options
    for (const leg of [client, broker])
      if (leg.resetAndDestroy) leg.resetAndDestroy()
      else leg.destroy()
    this.#close()
  }

  /** One leg is closed: the other gets what was written to it. */
  #finish(other: Leg): void {
    this.#close()
    if (other.writableLength > 0) other.end(() => other.destroy())
    else other.destroy()
  }

  #close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#answers.abandon()
    this.#requests.abandon()
  }
}

function pauseWhen(leg: Leg, isFull: boolean): void {
  if (isFull === leg.isPaused()) return
  if (isFull) leg.pause()
  else leg.resume()
}
