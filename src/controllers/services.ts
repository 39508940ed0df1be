// From Services, EndpointSlices and host ports to what the kernel is to have of them on
// this node. Each service is resolved alone, when something of it has changed; then what
// several claim is given to one of them. Nothing is written before every source has
// delivered: half the slices would send clients to half the backends.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { protocolName } from '../labels/index.ts'
import {
  claimProblem,
  endpointText,
  type ResolvedService,
  resolveHostPorts,
  resolveService,
  type ServiceContext,
  type ServicePortEntry,
  type ServiceProblem,
} from '../services/index.ts'
import { type Clock, systemClock, type Transaction, Waiters, waitForAny } from '../state/index.ts'
import {
  type NumberedPort,
  type Origin,
  type Problem,
  type ServiceEntry,
  type ServiceHealth,
  type Tables,
} from '../tables/index.ts'
import type { Memory } from './memory.ts'
import { ServiceClaims } from './service-claims.ts'
import { hostPortPod, type OwnNode, podOfHostPorts, ServiceInputs } from './service-inputs.ts'
import { endpointKey, type InheritedServices, ServiceNumbers } from './service-numbers.ts'

export type ServiceControllerOptions = {
  readonly tables: Tables
  readonly node: OwnNode
  /** What the kernel's maps hold; asked for once. */
  readonly inherited: () => InheritedServices
  readonly memory: Memory
  readonly clock?: Clock
}

/** Longest work of the first pass without a turn for others; and so many services are done at least. */
const SLICE_MS = 10
const MIN_PART = 50

/** First word of the ids of problems that are found here. */
const PROBLEM_KIND = 'service'

/** A service, or the host ports of a pod, as it stands in its object. */
type Declared = { readonly resolved: ResolvedService; readonly object: string; readonly origin: Origin }

export class ServiceController {
  readonly #options: ServiceControllerOptions
  readonly #inputs: ServiceInputs
  readonly #claims = new ServiceClaims()
  #numbers: ServiceNumbers | undefined
  /** Ids of the problems of each service that has any. */
  readonly #problems = new Map<string, readonly string[]>()
  readonly #waiters = new Waiters()
  /** Revision of the inputs that has been acted on. */
  #doneRevision = -1

  constructor(options: ServiceControllerOptions) {
    this.#options = options
    this.#inputs = new ServiceInputs(options.tables, options.node.nodeName)
  }

  /** Until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { serviceEntries, serviceHealth } = this.#options.tables
    using inputs = this.#inputs
    try {
      if (!(await inputs.whenInitialized(signal))) return
      const marks = [serviceEntries, serviceHealth].map(table => table.registerInitializer('service controller'))
      do {
        const { revision } = inputs
        await this.#stepWithTurns(inputs.take(), signal)
        if (signal.aborted) return
        if (this.#doneRevision < 0) for (const mark of marks) mark()
        this.#doneRevision = revision
        this.#waiters.release()
      } while (await waitForAny(inputs.watchers, signal))
    } finally {
      this.#waiters.stop()
    }
  }

  /**
   * Resolves when everything that the tables said at the call has been acted on here.
   * @throws WaitError when the signal is aborted first, or the controller stops
   */
  caughtUp(signal?: AbortSignal): Promise<void> {
    const { revision } = this.#inputs
    const holds = () => this.#doneRevision >= revision
    return this.#waiters.wait({ what: 'the service controller', holds, obstacle: () => undefined }, signal)
  }

  /** One pass over what may have changed. */
  step(keys: ReadonlySet<string>): void {
    for (const _ of this.#steps(keys));
  }

  /** The same; others get their turn in the first pass, which is over all services. */
  async #stepWithTurns(keys: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    let sliceMs = performance.now()
    for (const _ of this.#steps(keys)) {
      if (performance.now() - sliceMs < SLICE_MS) continue
      await nextTurn()
      if (signal.aborted) return
      sliceMs = performance.now()
    }
  }

  /**
   * What is known of the services that a change concerns is written at once, for an address may go from one to another.
   * The first pass is written in parts: until it is marked as initialised, nobody takes what is missing for gone.
   */
  *#steps(keys: ReadonlySet<string>): Generator<undefined, void> {
    if (keys.size === 0) return
    const { tables, memory, inherited, clock = systemClock } = this.#options
    const isFirst = this.#numbers === undefined
    const numbers = (this.#numbers ??= new ServiceNumbers(inherited(), memory, () => clock.nowMs()))
    const context = this.#context()
    const declared = new Map<string, Declared | undefined>()
    const contested = new Set<string>()
    for (const [i, key] of [...keys].entries()) {
      const found = this.#declared(key, context)
      declared.set(key, found)
      const createdAt = tables.services.get(key)?.createdAt
      for (const other of this.#claims.set(key, found?.resolved, createdAt)) contested.add(other)
      if (isFirst && i % MIN_PART === MIN_PART - 1) yield
    }
    for (const key of contested) if (!declared.has(key)) declared.set(key, this.#declared(key, context))
    const rows = [...declared]
    const part = isFirst ? MIN_PART : rows.length
    for (let i = 0; i < rows.length; i += part) {
      tables.database.write(tx => {
        for (const [key, found] of rows.slice(i, i + part)) this.#write(tx, key, found, numbers)
      })
      yield
    }
    if (isFirst) numbers.forgetInherited()
  }

  #context(): ServiceContext {
    const { tables, node } = this.#options
    const zone = tables.nodes.get(node.nodeName)?.zone
    return { ...node, ...(zone !== undefined && { zone }) }
  }

  #declared(key: string, context: ServiceContext): Declared | undefined {
    const { tables } = this.#options
    const podKey = podOfHostPorts(key)
    if (podKey !== undefined) {
      const pod = hostPortPod(tables, podKey)
      return pod && { resolved: resolveHostPorts(pod, context), object: `Pod ${podKey}`, origin: pod.origin }
    }
    const service = tables.services.get(key)
    if (!service) return undefined
    const resolved = resolveService(service, tables.endpointSlices.by('service', key), context)
    return { resolved, object: `Service ${key}`, origin: service.origin }
  }

  #write(tx: Transaction, key: string, declared: Declared | undefined, numbers: ServiceNumbers): void {
    const { serviceEntries, serviceHealth } = this.#options.tables
    const before = serviceEntries.get(key)
    const lost: ServiceProblem[] = []
    const row = declared && entryOf(declared.resolved, port => numbers.assign(this.#withoutLost(key, port, lost)))
    const ids = new Set(row?.ports.map(port => port.id))
    for (const port of before?.ports ?? []) numbers.release(port, !ids.has(port.id))
    if (row && row.ports.length > 0) tx.put(serviceEntries, row)
    else tx.delete(serviceEntries, key)
    const health = declared && healthOf(declared.resolved)
    if (health) tx.put(serviceHealth, health)
    else tx.delete(serviceHealth, key)
    this.#tell(tx, key, declared, [...(declared?.resolved.problems ?? []), ...lost])
  }

  /** The port without the addresses that are another one's. */
  #withoutLost(key: string, port: ServicePortEntry, lost: ServiceProblem[]): ServicePortEntry {
    const own = port.frontends.filter(frontend => {
      const { address, port: number } = frontend
      const loss = this.#claims.lostTo(key, endpointKey({ ...frontend, protocol: port.protocol }))
      if (loss) lost.push(claimProblem(loss.loser, loss.owner, whereText(address, number, port.protocol)))
      return loss === undefined
    })
    return own.length === port.frontends.length ? port : { ...port, frontends: own }
  }

  #tell(tx: Transaction, key: string, declared: Declared | undefined, problems: readonly ServiceProblem[]): void {
    const table = this.#options.tables.problems
    const rows = declared ? problems.map((problem, i) => problemRow(key, declared, problem, i)) : []
    for (const id of this.#problems.get(key)?.slice(rows.length) ?? []) tx.delete(table, id)
    for (const row of rows) tx.put(table, row)
    if (rows.length > 0)
      this.#problems.set(
        key,
        rows.map(({ id }) => id),
      )
    else this.#problems.delete(key)
  }
}

const entryOf = (
  { namespace, name, ports }: ResolvedService,
  number: (port: ServicePortEntry) => NumberedPort,
): ServiceEntry => ({ namespace, name, ports: ports.map(number) })

const healthOf = ({ namespace, name, healthCheck }: ResolvedService): ServiceHealth | undefined =>
  healthCheck && { namespace, name, ...healthCheck }

const whereText = (address: string, port: number, protocol: number): string =>
  `${endpointText(address, port)}/${protocolName(protocol)}`

function problemRow(key: string, { object, origin }: Declared, problem: ServiceProblem, index: number): Problem {
  const { severity, path, message } = problem
  return {
    id: `${PROBLEM_KIND} ${key} ${index}`,
    severity,
    object,
    message: path ? `${path}: ${message}` : message,
    file: origin.file,
    line: origin.line,
    column: 1,
  }
}
