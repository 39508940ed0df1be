// A node without a kernel: the agent's real tables, controllers and reconcilers over
// maps in memory, with a clock that the test moves and devices that are only counted.
// What a restart keeps, the maps and the memory, is kept here too. Where a packet would
// go, the predictor tells from the maps.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { createEngine, type Engine, type EngineOptions, type WrittenMaps } from '../../src/agent/engine.ts'
import type { ServiceSettings } from '../../src/agent/services.ts'
import type { EndpointAnswer } from '../../src/api/index.ts'
import { parseObject } from '../../src/bpf/index.ts'
import { type Memory, volatileMemory } from '../../src/controllers/index.ts'
import { mac } from '../../src/ip/index.ts'
import { type MapName, MemoryDatapath } from '../../src/maps/index.ts'
import type { L7RuleSet } from '../../src/policy/index.ts'
import type { RuleSetProxy } from '../../src/reconcilers/index.ts'
import { MemorySource } from '../../src/sources/memory.ts'
import { eachRow, ManualClock, type ReconcileFailure } from '../../src/state/index.ts'
import type { Endpoint, Tables } from '../../src/tables/index.ts'
import { type World, worldOf } from '../../src/trace/index.ts'
import { type Hooks, type Write, watchedMap } from './watched-map.ts'

const OBJECT = parseObject(fs.readFileSync(new URL('../../build/pod.o', import.meta.url)))
export const HOST_MAC = '02:61:78:6f:6e:65'
export const NODE = { name: 'node1', addresses: ['172.30.0.2', 'fd00:172:30::2'] } as const
export const POD_CIDRS = ['10.244.0.0/16', 'fd00:10:244::/64'] as const

export type SimulatedNodeOptions = {
  readonly sizes?: Partial<Readonly<Record<MapName, number>>>
  /** Entries that a policy map has room for. */
  readonly policyEntries?: number
  /** Rules of a set that the proxy has room for. */
  readonly proxyRules?: number
  /** Nobody judges what is said on connections. */
  readonly withoutProxy?: true
  readonly podCidrs?: readonly string[]
  readonly services?: Partial<ServiceSettings>
  readonly names?: Partial<EngineOptions['names']>
  /** May throw, so that the write fails. */
  readonly fault?: (write: Write) => void
  /** Called after each element that was written. */
  readonly onWrite?: (write: Write) => void
  /** Awaited before each policy map that is exchanged, and before each round of the other maps. */
  readonly pause?: () => Promise<void>
}

type Run = { readonly engine: Engine; readonly source: MemorySource; deliver(): void; stop(): Promise<void> }

export class SimulatedNode {
  readonly clock = new ManualClock()
  readonly memory: Memory = volatileMemory()
  readonly datapath: MemoryDatapath
  readonly world: World
  readonly failures: ReconcileFailure[] = []
  /** Those outside that connections use. */
  readonly usedAddresses = new Set<string>()
  /** What the proxy has, which outlives agents. */
  readonly #ruleSets = new Map<number, L7RuleSet>()
  /** Elements written since `takeWrites`. */
  #writes: Write[] = []
  readonly #options: SimulatedNodeOptions
  readonly #files: Record<string, string> = {}
  readonly #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'axoneme-scenario-'))
  #macs = 0
  #cookies = 0
  #run: Run | undefined

  private constructor(options: SimulatedNodeOptions) {
    this.#options = options
    this.datapath = new MemoryDatapath(OBJECT, options.sizes)
    this.world = worldOf(this.datapath, mac(HOST_MAC))
  }

  /** Running, with nothing declared. */
  static async start(options: SimulatedNodeOptions = {}): Promise<SimulatedNode> {
    const node = new SimulatedNode(options)
    await node.restart()
    return node
  }

  get isRunning(): boolean {
    return this.#run !== undefined
  }

  get engine(): Engine {
    if (!this.#run) throw new Error('the agent does not run')
    return this.#run.engine
  }

  get tables(): Tables {
    return this.engine.tables
  }

  /** Sets the text of files with manifests; undefined removes one. */
  declare(texts: Readonly<Record<string, string | undefined>>): void {
    for (const [name, text] of Object.entries(texts)) {
      if (text === undefined) delete this.#files[name]
      else this.#files[name] = text
    }
    this.#run?.source.set(texts)
  }

  /** Gives a pod its interface. @throws ApiError */
  async add(pod: { readonly namespace: string; readonly name: string }, containerId: string): Promise<EndpointAnswer> {
    const netns = this.#namespaceOf(containerId)
    if (!fs.existsSync(netns)) fs.symlinkSync('/proc/self/ns/net', netns)
    const request = { containerId, netns, interface: 'eth0', pod }
    return this.engine.endpoints.add(request, new AbortController().signal)
  }

  async delete(containerId: string): Promise<void> {
    await this.engine.endpoints.delete(containerId)
  }

  /** The pod's namespace ends without a word. */
  endNamespace(containerId: string): void {
    fs.rmSync(this.#namespaceOf(containerId), { force: true })
  }

  async advance(milliseconds: number): Promise<void> {
    await this.clock.advance(milliseconds)
    await this.settle()
  }

  /** Ends the agent. Maps and memory stay. */
  async stop(): Promise<void> {
    await this.#run?.stop()
    this.#run = undefined
  }

  /** Ends the agent where it runs and starts the next one. @param isSilent the source tells nothing before `deliver` */
  async restart(isSilent = false): Promise<void> {
    await this.stop()
    this.#run = this.#startAgent()
    if (!isSilent) this.deliver()
    await this.settle()
  }

  /** Lets the source of an agent that was started with a silent one tell what it has. */
  deliver(): void {
    this.#run?.deliver()
  }

  /** Until nothing happens any more without a change or the clock. */
  async settle(): Promise<void> {
    const progress = () => `${this.tables.database.revision} ${this.#writes.length}`
    for (let quiet = 0, before = progress(); quiet < 10; quiet++) {
      await eventLoopTurn()
      if (progress() !== before) quiet = 0
      before = progress()
    }
  }

  /** Elements written since the last call. */
  takeWrites(): readonly Write[] {
    const writes = this.#writes
    this.#writes = []
    return writes
  }

  async close(): Promise<void> {
    await this.stop()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #namespaceOf(containerId: string): string {
    return path.join(this.#folder, containerId)
  }

  #startAgent(): Run {
    const { datapath } = this
    const { policyEntries, podCidrs = POD_CIDRS } = this.#options
    const size = policyEntries === undefined ? {} : { maxEntries: policyEntries }
    const engine = createEngine({
      names: {
        minimumTtlSeconds: 0,
        addressesPerName: 1000,
        usedAddresses: async addresses => this.usedAddresses.intersection(addresses),
        ...this.#options.names,
      },
      node: NODE,
      podCidrs,
      services: {
        algorithm: 'random',
        forwarding: 'snat',
        maglevTableSize: 251,
        nodePortAddresses: NODE.addresses,
        externalIpRanges: [],
        clusterIpsFromOutside: false,
        ...this.#options.services,
      },
      memory: this.memory,
      clock: this.clock,
      devices: this.#devices(),
      proxy: this.#options.withoutProxy ? undefined : this.#proxy(),
      translatesInSockets: true,
      podTranslation: 'socket',
      namespaceCookie: () => BigInt(++this.#cookies),
      newMac: () => `0a:00:00:00:00:${(++this.#macs).toString(16).padStart(2, '0')}`,
      onFailure: failure => this.failures.push(failure),
      datapath: {
        schema: datapath.schema,
        maps: this.#maps(),
        createPolicyMap: elements => ({ id: datapath.createPolicyMap(elements, size).id, close: () => undefined }),
        readPolicyMap: key => datapath.policyMap(key)?.lookupBatch(),
        createSlotPage: () => ({ id: datapath.createSlotPage().id }),
        openSlotPage: key => {
          const page = datapath.openSlotPage(key)
          return page && watchedMap(page, this.#hooks(`slots of page ${key}`))
        },
      },
    })
    engine.endpoints.restore()
    const source = new MemorySource()
    source.set(this.#files)
    const stop = new AbortController()
    const done = [engine.run(stop.signal)]
    return {
      engine,
      source,
      deliver: () => void done.push(source.run(engine.intent, stop.signal)),
      async stop() {
        stop.abort()
        await Promise.all(done)
      },
    }
  }

  #maps(): WrittenMaps['maps'] {
    const { maps } = this.datapath
    const hooks = this.#hooks()
    return {
      policy_maps: watchedMap(maps.policy_maps, hooks),
      ipcache: watchedMap(maps.ipcache, hooks),
      endpoints: watchedMap(maps.endpoints, hooks),
      pod_namespaces: maps.pod_namespaces,
      frontends: watchedMap(maps.frontends, hooks),
      backends: watchedMap(maps.backends, hooks),
      affinity_backends: watchedMap(maps.affinity_backends, hooks),
      source_ranges: watchedMap(maps.source_ranges, hooks),
      slot_pages: watchedMap(maps.slot_pages, hooks),
      runtime: maps.runtime,
    }
  }

  /** @param map its name in what is told of writes, instead of its own */
  #hooks(map?: string): Hooks {
    const { fault, onWrite, pause } = this.#options
    const named = (write: Write): Write => (map === undefined ? write : { ...write, map })
    return {
      before: write => fault?.(named(write)),
      after: write => {
        this.#writes.push(named(write))
        onWrite?.(named(write))
      },
      pause: async () => pause?.(),
    }
  }

  #proxy(): RuleSetProxy {
    const { proxyRules = Number.POSITIVE_INFINITY } = this.#options
    const failures = () => {
      const large = [...this.#ruleSets.values()].filter(({ rules }) => rules.rules.length > proxyRules)
      return large.map(({ number }) => ({ number, server: 'haproxy', error: 'it has too many rules' }))
    }
    return {
      ruleSets: async () => ({ ruleSets: [...this.#ruleSets.values()], failures: failures() }),
      changeRuleSets: async ({ add, remove }) => {
        for (const number of remove) this.#ruleSets.delete(number)
        for (const set of add) this.#ruleSets.set(set.number, set)
        return { failures: failures() }
      },
    }
  }

  #devices() {
    return {
      update: eachRow<Endpoint>(() => undefined),
      delete: eachRow<Endpoint>(() => undefined),
      prune: async () => undefined,
    }
  }
}
