// The services that are in force: with which slots, and which addresses are whose. Their
// elements follow from that and are not kept. Pure.

import type { Frontend, FrontendKey, Schema } from '../maps/index.ts'
import type { ServiceEntry } from '../tables/index.ts'
import { type PortChoices, rangesOf } from './service-choices.ts'
import { elementsOf, type ServiceElements } from './service-elements.ts'

export type ServiceInForce = { readonly row: ServiceEntry; readonly choices: readonly PortChoices[] }

export class ServicesInForce {
  readonly #schema: Schema
  readonly #services = new Map<string, ServiceInForce>()
  /** Numbers that addresses stood for at the start, and still do as they did then. */
  #inherited = new Set<number>()
  /** Service by the text of a frontend that is its own. */
  readonly #owners = new Map<string, string>()

  constructor(schema: Schema) {
    this.#schema = schema
  }

  get(key: string): ServiceInForce | undefined {
    return this.#services.get(key)
  }

  has(key: string): boolean {
    return this.#services.has(key)
  }

  /** Undefined: it is in force no more. */
  set(key: string, service: ServiceInForce | undefined): void {
    for (const { number } of service?.row.ports ?? []) this.#inherited.delete(number)
    if (service) this.#services.set(key, service)
    else this.#services.delete(key)
  }

  /** Tells what the kernel has of before the start, and what of it stays. */
  inherit(numbers: Iterable<number>): void {
    this.#inherited = new Set(numbers)
  }

  /** What the kernel has of this number is a service's no more, or another one's. */
  disinherit(number: number): void {
    this.#inherited.delete(number)
  }

  isInherited(number: number): boolean {
    return this.#inherited.has(number)
  }

  elements(key: string): ServiceElements | undefined {
    const service = this.#services.get(key)
    return service && elementsOf(this.#schema, service.row, rangesOf(service.choices))
  }

  /** Of all that have affinity or source ranges. */
  *elementsBesideFrontends(): Generator<ServiceElements> {
    for (const { row, choices } of this.#services.values())
      if (row.ports.some(port => port.affinitySeconds > 0 || port.sourceRanges.length > 0))
        yield elementsOf(this.#schema, row, rangesOf(choices))
  }

  /** Gives addresses to a service, whosever they were. */
  own(key: string, frontends: Iterable<string>): void {
    for (const text of frontends) this.#owners.set(text, key)
  }

  /** Takes those addresses from a service that it has still. */
  disown(key: string, frontends: Iterable<string>): void {
    for (const text of frontends) if (this.#owners.get(text) === key) this.#owners.delete(text)
  }

  isOwned(frontend: string): boolean {
    return this.#owners.has(frontend)
  }

  /** As its owner has it. */
  frontend(text: string): readonly [FrontendKey, Frontend] | undefined {
    const owner = this.#owners.get(text)
    return owner === undefined ? undefined : this.elements(owner)?.frontends.get(text)
  }
}
