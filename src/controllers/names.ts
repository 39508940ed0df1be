// Learns which addresses names of DNS were answered with, and gives these addresses the
// labels of the selectors that mean their names. What an answer taught holds for its
// time to live and a moment longer, and for as long as connections use the address; it
// survives a restart. Whoever teaches is told when all of it is in force in the kernel.

import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { type Cidr, cidr } from '../ip/index.ts'
import { canonicalName } from '../policy/index.ts'
import { type Clock, systemClock } from '../state/index.ts'
import { type LearntName, learntNameKey, type Tables } from '../tables/index.ts'
import { hostPrefix } from './identities.ts'
import type { Memory } from './memory.ts'
import { NameStore } from './name-store.ts'
import { whyNotOutsideText } from './outside-addresses.ts'
import type { PolicyController } from './policies.ts'

export type NameControllerOptions = {
  readonly tables: Tables
  readonly memory: Memory
  readonly policies: Pick<PolicyController, 'relabel'>
  readonly podCidrs: readonly string[]
  readonly nodeAddresses: readonly string[]
  /** The shortest time that an answer holds. */
  readonly minimumTtlSeconds: number
  readonly addressesPerName: number
  /** What was taught while no agent was there. */
  readonly taughtBefore?: readonly TaughtAnswer[]
  /** Those of the addresses that a connection uses now. Absent: nobody can tell, and none counts as used. */
  readonly usedAddresses?: (addresses: ReadonlySet<string>, signal: AbortSignal) => Promise<ReadonlySet<string>>
  readonly onFailure?: (error: Error) => void
  readonly clock?: Clock
}

/** What answers of one name say; the name and addresses canonical. */
export type TaughtAnswer = {
  readonly name: string
  readonly addresses: readonly { readonly address: string; readonly ttlSeconds: number }[]
  readonly client: string
  readonly server: string
  /** When the server answered: microseconds since the Unix epoch. */
  readonly timeMicros: number
}

/** Names and addresses in all. Each may take an element of the ipcache. */
const MOST_ADDRESSES = 50_000
/** An answer is used a moment after it was given. */
export const NAME_GRACE_MS = 5_000
/** What has expired is looked for this often, and not more often than it takes times twenty. */
const EXPIRY_ROUND_MS = 5_000
const ROUND_PATIENCE = 20
/** All of MOST_ADDRESSES at once would hold up everything else for longer than an answer waits. */
const EXPIRED_AT_ONCE = 100
const IN_FORCE_PATIENCE_MS = 10_000
/** A time to live that grows by less is not worth a record. */
const LEAST_GAIN_MS = 1_000
const JOURNAL_KIND = 'name'

export class NameController {
  readonly #options: NameControllerOptions
  readonly #clock: Clock
  readonly #store: NameStore
  readonly #own: readonly Cidr[]

  /** Writes down what an earlier run knew, before anybody looks at it. */
  constructor(options: NameControllerOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#store = new NameStore({ addressesPerName: options.addressesPerName, addresses: MOST_ADDRESSES })
    this.#own = [...options.podCidrs, ...options.nodeAddresses.map(hostPrefix)].map(cidr)
    const restored = [...options.memory.entries(JOURNAL_KIND).values()].filter(isRecord)
    for (const record of restored.toSorted((a, b) => a.seenMs - b.seenMs)) this.#store.learn(record)
    options.tables.database.write(tx => tx.replace(options.tables.names, this.#store.rows()))
    const before = (options.taughtBefore ?? []).flatMap(answer => this.#read(answer, 0))
    this.#write(new Set(before.flatMap(answered => this.#store.learn(answered))))
    options.tables.names.registerInitializer('journal')()
  }

  /**
   * Resolves when everything that the answers teach is in force in the kernel, where it stays for at least their time to
   * live.
   * @throws WaitError when that takes too long; it goes on nevertheless
   */
  async learn(answers: readonly TaughtAnswer[], signal: AbortSignal): Promise<void> {
    const answered = answers.flatMap(answer => this.#read(answer, this.#clock.nowMs() - NAME_GRACE_MS))
    if (answered.length === 0) return
    const keys = new Set(answered.flatMap(each => this.#store.learn(each)))
    const addresses = [...answered, ...[...keys].flatMap(key => this.#options.tables.names.get(key) ?? [])]
    this.#write(keys)
    const patience = AbortSignal.any([signal, AbortSignal.timeout(IN_FORCE_PATIENCE_MS)])
    await this.#options.policies.relabel([...new Set(addresses.map(({ address }) => address))], patience)
  }

  /** Takes out what has expired, until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    for (let waitMs = EXPIRY_ROUND_MS; await this.#sleep(waitMs, signal); ) {
      const beganMs = this.#clock.nowMs()
      try {
        await this.expire(signal)
      } catch (error) {
        // What has expired is there still, and is looked at again.
        if (!signal.aborted) this.#options.onFailure?.(error as Error)
      }
      waitMs = Math.max(EXPIRY_ROUND_MS, (this.#clock.nowMs() - beganMs) * ROUND_PATIENCE)
    }
  }

  /** One round: what has expired goes, or is kept where connections use it. */
  async expire(signal: AbortSignal): Promise<void> {
    const { policies, usedAddresses } = this.#options
    const expired = this.#store.expired(this.#clock.nowMs())
    if (expired.length === 0) return
    const candidates = new Set(expired.map(({ address }) => address))
    const used = (await usedAddresses?.(candidates, signal)) ?? new Set()
    for (let first = 0; first < expired.length; first += EXPIRED_AT_ONCE) {
      // Who waits for an answer has his turn.
      if (first > 0) await eventLoopTurn()
      signal.throwIfAborted()
      const some = expired.slice(first, first + EXPIRED_AT_ONCE)
      for (const row of some) if (used.has(row.address)) this.#store.keepInUse(row)
      const gone = some.filter(row => !used.has(row.address) && this.#store.forget(row))
      this.#write(some.map(learntNameKey))
      if (gone.length > 0) await policies.relabel([...new Set(gone.map(({ address }) => address))], signal)
    }
  }

  /**
   * Addresses that no name can have are passed over: nothing is opened for them.
   * @param earliestMs when it can have been answered: the server's clock may be set while ours goes on
   */
  #read({ name, addresses, client, server, timeMicros }: TaughtAnswer, earliestMs: number) {
    const nowMs = this.#clock.nowMs()
    const seenMs = Math.max(earliestMs, Math.min(timeMicros / 1000, nowMs))
    return addresses.flatMap(({ address, ttlSeconds }) => {
      if (whyNotOutsideText(address, this.#own) !== undefined) return []
      const untilMs = seenMs + Math.max(ttlSeconds, this.#options.minimumTtlSeconds) * 1000 + NAME_GRACE_MS
      return [{ name: canonicalName(name), address, client, server, seenMs, untilMs }]
    })
  }

  /** Brings rows of the store into the table and the journal, or takes them out of there. */
  #write(keys: Iterable<string>): void {
    const { tables, memory } = this.#options
    const isWorth = (row: LearntName, known: LearntName | undefined): boolean =>
      known?.state !== row.state || row.untilMs - known.untilMs >= LEAST_GAIN_MS
    const changed = [...keys].flatMap(key => {
      const row = this.#store.get(key)
      return row && !isWorth(row, tables.names.get(key)) ? [] : [[key, row] as const]
    })
    for (const [key, row] of changed)
      if (row) memory.set(JOURNAL_KIND, key, recordOf(row))
      else memory.delete(JOURNAL_KIND, key)
    tables.database.write(tx => {
      for (const [key, row] of changed)
        if (row) tx.put(tables.names, row)
        else tx.delete(tables.names, key)
    })
  }

  /** @returns whether it is over; false when the signal is aborted first */
  async #sleep(delayMs: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const cancel = this.#clock.setTimer(delayMs, () => resolve(true))
    const stop = (): void => resolve(false)
    signal.addEventListener('abort', stop, { once: true })
    try {
      return await promise
    } finally {
      cancel()
      signal.removeEventListener('abort', stop)
    }
  }
}

type NameRecord = Omit<LearntName, 'state'>

const recordOf = ({ name, address, seenMs, untilMs, client, server }: LearntName): NameRecord => ({
  name,
  address,
  seenMs,
  untilMs,
  client,
  server,
})

function isRecord(value: unknown): value is NameRecord {
  if (typeof value !== 'object' || value === null) return false
  const { name, address, client, server, seenMs, untilMs } = value as Partial<Record<keyof NameRecord, unknown>>
  const areTexts = [name, address, client, server].every(text => typeof text === 'string')
  return areTexts && Number.isFinite(seenMs) && Number.isFinite(untilMs)
}
