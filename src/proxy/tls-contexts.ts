// Keeps a HAProxy for each TLS context that rule sets have, and for each content of its
// Secrets: started when both are there, findable by the kernel in a slot of its own, and
// ended when its last connection has. A process has the keys of one context and no others.
//
// What cannot be had fails closed: without an entry in `tls_contexts` a set's connections
// are refused. Secrets that change give a new process; the one before takes no new
// connections, and its old ones are judged by the rules of the moment until they end.

import { setTimeout as sleep } from 'node:timers/promises'
import type { ProxyServerState } from '../api/index.ts'
// Not by the face of the area, which is all of the policy engine: a supervisor is to be small.
import { tlsMeaning } from '../policy/engine/l7-rules.ts'
import type { L7RuleSet } from '../policy/index.ts'
import { TLS_ENDS } from '../policy/model/l7.ts'
import type { RuleSetFailure } from './child.ts'
import type { ProxySocket } from './datapath.ts'
import { hasTlsContext } from './haproxy-launcher.ts'
import type { Log } from './log.ts'
import { secretName } from './secret-store.ts'
import { type Launcher, ServerProcess } from './server-process.ts'
import type { TlsEnds, TlsMaterials, UsableMaterials } from './tls-materials.ts'

/** What a process is started with; disposed of when it has ended. */
export type ContextPlace = Disposable & { readonly launcher: Launcher; readonly sockets: readonly ProxySocket[] }

export type TlsContextsOptions = {
  /** All rule sets as they are now. */
  readonly ruleSets: () => readonly L7RuleSet[]
  readonly materialsOf: (ends: TlsEnds) => TlsMaterials
  /** @param has whether a set is of the context */
  readonly open: (slot: number, materials: UsableMaterials, has: (set: L7RuleSet) => boolean) => ContextPlace
  /** `tls_contexts` of the datapath. */
  readonly map: { set(number: number, slot: number): void; delete(number: number): unknown }
  readonly slots: number
  readonly log: Log
  /** Aborted: all processes are ended. */
  readonly signal: AbortSignal
  /** How long a process may keep its connections after the last one was led to it, and how often it is looked at. */
  readonly patienceMs?: number
  readonly lookMs?: number
}

const PATIENCE_MS = 600_000
const LOOK_MS = 2_000

type Context = {
  readonly slot: number
  readonly key: string
  readonly digest: string
  readonly about: string
  readonly server: ServerProcess
  readonly sockets: readonly ProxySocket[]
  /** Since when no connection is led to it, on the clock of this process. */
  drainsSinceMs: number | undefined
  isEnding: boolean
  /** Ends the process; resolves when it and its files are gone. */
  readonly end: () => Promise<void>
}

/** A context that nobody has yet, and the sets that are of it. */
type Wanted = {
  readonly key: string
  readonly ends: TlsEnds
  readonly materials: UsableMaterials
  readonly numbers: readonly number[]
}

export class TlsContexts {
  readonly #options: TlsContextsOptions
  readonly #bySlot = new Map<number, Context>()
  /** Whose the connections of each set are to be. */
  #wanted = new Map<number, Context>()
  /** What the kernel's map says: slots by numbers of sets. */
  readonly #led = new Map<number, number>()
  readonly #failures = new Map<number, string>()
  /** Processes that make room for others. */
  readonly #makingRoom = new Set<Promise<void>>()

  constructor(options: TlsContextsOptions) {
    this.#options = options
  }

  get servers(): ServerProcess[] {
    return Array.from(this.#bySlot.values(), ({ server }) => server)
  }

  get sockets(): ProxySocket[] {
    return [...this.#bySlot.values()].flatMap(({ sockets }) => sockets)
  }

  get status(): ProxyServerState[] {
    return Array.from(this.#bySlot.values(), ({ server, about, drainsSinceMs }) => ({
      ...server.status,
      tls: about,
      ...(drainsSinceMs !== undefined && { drains: true }),
    }))
  }

  /** Sets whose context cannot be had. */
  get failures(): RuleSetFailure[] {
    return Array.from(this.#failures, ([number, error]) => ({ number, error }))
  }

  /** After each change of rule sets or Secrets, when servers have been told of it: starts who is missing. */
  follow(): void {
    const { signal, ruleSets, materialsOf } = this.#options
    if (signal.aborted) return
    this.#wanted = new Map()
    this.#failures.clear()
    const missing: Wanted[] = []
    for (const [key, sets] of Map.groupBy(ruleSets().filter(hasTlsContext), keyOf)) {
      const ends = endsOf(sets[0])
      const materials = materialsOf(ends)
      const numbers = sets.map(({ number }) => number)
      if ('problem' in materials) this.#fail(numbers, materials.problem)
      else {
        const known = this.#known(key, materials.digest)
        if (known) this.#want(numbers, known)
        else missing.push({ key, ends, materials, numbers })
      }
    }
    // Until another process serves, those of the one before are led there.
    const kept = new Set([...this.#wanted.keys(), ...missing.flatMap(({ numbers }) => numbers)])
    for (const number of this.#led.keys()) if (!kept.has(number)) this.#forget(number)
    this.#release()
    for (const wanted of missing) this.#begin(wanted)
    for (const context of new Set(this.#wanted.values()))
      context.server.upToDate(signal).then(
        () => this.#lead(context),
        () => undefined,
      )
  }

  /** Resolves when connections of all sets whose context can be had are led to it. @throws the reason of the signal */
  async settled(signal: AbortSignal): Promise<void> {
    while (this.#makingRoom.size > 0) {
      signal.throwIfAborted()
      await Promise.race([...this.#makingRoom, whenAborted(signal)])
    }
    for (const context of new Set(this.#wanted.values())) {
      await context.server.upToDate(signal)
      this.#lead(context)
    }
  }

  /** Looks after those that nobody is led to, until the end; then ends all. */
  async run(): Promise<void> {
    const { signal, lookMs = LOOK_MS } = this.#options
    while (!signal.aborted) {
      await sleep(lookMs, undefined, { signal }).catch(() => undefined)
      for (const context of this.#bySlot.values()) if (!signal.aborted) await this.#look(context)
    }
    for (const number of this.#led.keys()) this.#forget(number)
    await Promise.all(Array.from(this.#bySlot.values(), context => context.end()))
  }

  #known(key: string, digest: string): Context | undefined {
    return this.#all().find(one => one.key === key && one.digest === digest && !one.isEnding)
  }

  #all(): Context[] {
    return [...this.#bySlot.values()]
  }

  #want(numbers: readonly number[], context: Context): void {
    context.drainsSinceMs = undefined
    for (const number of numbers) this.#wanted.set(number, context)
  }

  #fail(numbers: readonly number[], error: string): void {
    for (const number of numbers) this.#failures.set(number, error)
  }

  #begin(wanted: Wanted): void {
    for (let slot = 0; slot < this.#options.slots; slot++)
      if (!this.#bySlot.has(slot)) return this.#want(wanted.numbers, this.#start(slot, wanted))
    // Its own process of before may be the one that makes room.
    for (const number of wanted.numbers) if (this.#led.has(number)) this.#forget(number)
    this.#release()
    this.#fail(wanted.numbers, this.#makeRoom())
  }

  #makeRoom(): string {
    const [oldest] = this.#all()
      .filter(({ drainsSinceMs, isEnding }) => drainsSinceMs !== undefined && !isEnding)
      .sort((a, b) => (a.drainsSinceMs ?? 0) - (b.drainsSinceMs ?? 0))
    if (!oldest)
      return `there are ${this.#options.slots} other TLS contexts, and no more can be kept: let rules name the same Secrets`
    const ended = oldest.end()
    this.#makingRoom.add(ended)
    void this.#followAfter(ended)
    return 'its TLS context waits for another one to end'
  }

  async #followAfter(ended: Promise<void>): Promise<void> {
    await ended
    this.#makingRoom.delete(ended)
    this.follow()
  }

  #start(slot: number, { key, materials, ends }: Wanted): Context {
    const { open, ruleSets, log, signal } = this.#options
    const stop = new AbortController()
    const place = open(slot, materials, set => hasTlsContext(set) && keyOf(set) === key)
    const server = new ServerProcess({ launcher: place.launcher, ruleSets, log })
    const running = server.run(AbortSignal.any([signal, stop.signal])).finally(() => {
      place[Symbol.dispose]()
      this.#bySlot.delete(slot)
    })
    const context: Context = {
      slot,
      key,
      digest: materials.digest,
      about: aboutText(ends),
      server,
      sockets: place.sockets,
      drainsSinceMs: undefined,
      isEnding: false,
      end() {
        context.isEnding = true
        stop.abort()
        return running
      },
    }
    this.#bySlot.set(slot, context)
    return context
  }

  /** Its sets' connections to it, from now on. */
  #lead(context: Context): void {
    if (this.#options.signal.aborted || this.#bySlot.get(context.slot) !== context) return
    for (const [number, wanted] of this.#wanted)
      if (wanted === context && this.#led.get(number) !== context.slot) this.#leadSet(number, context.slot)
    this.#release()
  }

  #leadSet(number: number, slot: number): void {
    try {
      this.#options.map.set(number, slot)
      this.#led.set(number, slot)
    } catch (error) {
      this.#failures.set(number, `the datapath cannot be told of its TLS context: ${String(error)}`)
    }
  }

  #forget(number: number): void {
    this.#options.map.delete(number)
    this.#led.delete(number)
  }

  /** Nobody is led there any more, and nobody will be. */
  #release(): void {
    const needed = new Set([...this.#led.values(), ...Array.from(this.#wanted.values(), ({ slot }) => slot)])
    for (const context of this.#bySlot.values())
      if (!needed.has(context.slot)) context.drainsSinceMs ??= performance.now()
  }

  async #look({ server, drainsSinceMs, end }: Context): Promise<void> {
    const { patienceMs = PATIENCE_MS, lookMs = LOOK_MS, log } = this.#options
    if (drainsSinceMs === undefined) return
    const forMs = performance.now() - drainsSinceMs
    // What was led there at the last moment has come by now.
    if (forMs < lookMs) return
    const use = server.status.state === 'serving' ? await server.use() : { open: 0 }
    if (use?.open !== 0 && forMs < patienceMs) return
    log.info(
      { server: server.name, connections: use?.open },
      'a TLS context is not needed any more; its server is ended',
    )
    await end()
  }
}

const endsOf = (set: L7RuleSet | undefined): TlsEnds =>
  set?.rules.parser === 'http' ? { terminating: set.rules.terminating, originating: set.rules.originating } : {}

/** Equal where the same keys of the same Secrets are named for the same ends. */
const keyOf = ({ rules }: L7RuleSet): string => tlsMeaning(rules)

const aboutText = (ends: TlsEnds): string =>
  TLS_ENDS.flatMap(end => {
    const secret = ends[end]?.secret
    return secret ? [`${end} by ${secretName(secret)}`] : []
  }).join(', ')

async function whenAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
}
