// Numbers that stand for services and backends in maps and events. What the kernel's maps
// hold already keeps its number, so that a restart changes nothing there. No number is
// given again: packets, connections and events carry it longer than anybody knows.

import type { ServicePortEntry } from '../services/index.ts'
import type { NumberedPort } from '../tables/index.ts'
import type { Memory } from './memory.ts'

/** What the kernel's maps hold at the start. Addresses are canonical. */
export type InheritedServices = {
  readonly frontends: Iterable<Endpoint & { readonly service: number }>
  readonly backends: Iterable<Endpoint & { readonly id: number; readonly service: number }>
}
type Endpoint = { readonly address: string; readonly port: number; readonly protocol: number }

/** The same text exactly for the same address, port and protocol. */
export const endpointKey = ({ address, port, protocol }: Endpoint): string => `${address} ${port}/${protocol}`

export class ServiceNumbers {
  readonly #ports: Counter
  readonly #backends: Counter
  /** Service numbers by the id of the port, and which are in use. */
  readonly #byPort = new Map<string, number>()
  readonly #used = new Set<number>()
  /** By the port's number and the backend: a backend of two services has two ids, for it may leave one of them. */
  readonly #byBackend = new Map<string, { readonly id: number; holders: number }>()
  /** Backends that were let go of a moment ago, oldest first. */
  readonly #released = new Map<string, { readonly id: number; readonly atMs: number }>()
  readonly #now: () => number
  /** From before the start; forgotten once all services have theirs. */
  #numberOfFrontend = new Map<string, number>()
  #idOfBackend = new Map<string, number>()

  /**
   * @param memory keeps how far numbers have been given out
   * @param now milliseconds on a clock that never goes back
   */
  constructor(inherited: InheritedServices, memory: Memory, now: () => number) {
    this.#now = now
    for (const frontend of inherited.frontends) this.#numberOfFrontend.set(endpointKey(frontend), frontend.service)
    for (const backend of inherited.backends) {
      const text = backendKey(backend.service, backend)
      // One that came back has two for a moment; the newer one is in use.
      this.#idOfBackend.set(text, Math.max(backend.id, this.#idOfBackend.get(text) ?? 0))
    }
    this.#ports = new Counter('service', memory, highest(this.#numberOfFrontend.values()))
    this.#backends = new Counter('backend', memory, highest(this.#idOfBackend.values()))
  }

  /** Puts numbers to a port that a service has now. Backends are held until as often released. */
  assign(port: ServicePortEntry): NumberedPort {
    const number = this.#numberOf(port)
    const { protocol } = port
    const backends = port.backends.map(backend => ({ ...backend, id: this.#hold(number, { ...backend, protocol }) }))
    return { ...port, backends, number }
  }

  /** Lets go of the backends of a port as it was; and, where the service does not have it any more, of its number. */
  release({ id, number, protocol, backends }: NumberedPort, isGone: boolean): void {
    for (const backend of backends) this.#letGo(backendKey(number, { ...backend, protocol }))
    if (!isGone || this.#byPort.get(id) !== number) return
    this.#byPort.delete(id)
    this.#used.delete(number)
  }

  /** All services that there are have been numbered. */
  forgetInherited(): void {
    this.#numberOfFrontend = new Map()
    this.#idOfBackend = new Map()
  }

  #numberOf(port: ServicePortEntry): number {
    const known = this.#byPort.get(port.id)
    if (known !== undefined) return known
    const inherited = port.frontends
      .map(({ address, port: number }) =>
        this.#numberOfFrontend.get(endpointKey({ address, port: number, protocol: port.protocol })),
      )
      .find(number => number !== undefined && !this.#used.has(number))
    const number = inherited ?? this.#ports.next()
    this.#byPort.set(port.id, number)
    this.#used.add(number)
    return number
  }

  #hold(service: number, backend: Endpoint): number {
    const text = backendKey(service, backend)
    const known = this.#byBackend.get(text)
    if (known) {
      known.holders++
      return known.id
    }
    const id = this.#idOfBackend.get(text) ?? this.#recentId(text) ?? this.#backends.next()
    this.#idOfBackend.delete(text)
    this.#released.delete(text)
    this.#byBackend.set(text, { id, holders: 1 })
    return id
  }

  #letGo(text: string): void {
    const known = this.#byBackend.get(text)
    if (!known || --known.holders > 0) return
    this.#byBackend.delete(text)
    this.#released.set(text, { id: known.id, atMs: this.#now() })
  }

  /** A service and its slices may change one after the other: what is away for a moment alone is the same backend. */
  #recentId(text: string): number | undefined {
    const sinceMs = this.#now() - FLICKER_MS
    for (const [released, { atMs }] of this.#released) {
      if (atMs > sinceMs) break
      this.#released.delete(released)
    }
    return this.#released.get(text)?.id
  }
}

const backendKey = (service: number, backend: Endpoint): string => `${service} ${endpointKey(backend)}`

const FLICKER_MS = 1000

function highest(numbers: Iterable<number>): number {
  let found = 0
  for (const number of numbers) found = Math.max(found, number)
  return found
}

const KIND = 'highest-service-number'
/** So many numbers are noted as given out at once: what a restart skips costs nothing. */
const BLOCK = 4096
const LAST_NUMBER = 2 ** 32 - 1

/** Numbers from 1, each once, over restarts too. */
class Counter {
  readonly #name: string
  readonly #memory: Memory
  #next: number
  /** Up to here they are noted. */
  #noted: number

  constructor(name: string, memory: Memory, highestInUse: number) {
    this.#name = name
    this.#memory = memory
    const noted = memory.entries(KIND).get(name)
    this.#noted = typeof noted === 'number' ? noted : 0
    this.#next = Math.max(highestInUse, this.#noted) + 1
  }

  /** @throws Error when all numbers have been given */
  next(): number {
    if (this.#next > LAST_NUMBER) throw new Error(`no ${this.#name} number is left`)
    if (this.#next > this.#noted) {
      this.#noted = Math.min(this.#next + BLOCK - 1, LAST_NUMBER)
      this.#memory.set(KIND, this.#name, this.#noted)
    }
    return this.#next++
  }
}
