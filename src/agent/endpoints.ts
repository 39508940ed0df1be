// Gives pods their interfaces, as a CNI ADD and DEL ask for. Chooses addresses, writes
// the endpoint down, and waits until the reconcilers have made it real and its policy
// is enforced: only then is the caller told, and only then does the pod's program start.

import { randomBytes } from 'node:crypto'
import { ApiError, type EndpointAnswer, type EndpointRequest } from '../api/index.ts'
import { type AddressPool, type Memory, PoolExhaustedError } from '../controllers/index.ts'
import { Namespace } from '../net/index.ts'
import { hostInterfaceOf } from '../reconcilers/index.ts'
import type { Reconciler } from '../state/index.ts'
import { type Endpoint, type EndpointEntry, objectKey, type Pod, type Tables } from '../tables/index.ts'

const JOURNAL_KIND = 'endpoint'
const POD_TIMEOUT_MS = 5_000
const READY_TIMEOUT_MS = 15_000
const LAST_ID = 0xffff

export type EndpointsOptions = {
  readonly tables: Tables
  readonly memory: Memory
  readonly pools: readonly AddressPool[]
  readonly devices: Reconciler<Endpoint>
  readonly entries: Reconciler<EndpointEntry>
}

export class Endpoints {
  readonly #options: EndpointsOptions
  readonly #markInitialized: () => void
  #lastId = 0

  constructor(options: EndpointsOptions) {
    this.#options = options
    this.#markInitialized = options.tables.endpoints.registerInitializer('endpoints')
  }

  /** Takes over the endpoints of an earlier run whose pods are still there. @returns the number of those that are not */
  restore(): number {
    const { tables, memory, pools } = this.#options
    const gone: string[] = []
    tables.database.write(tx => {
      for (const [containerId, value] of memory.entries(JOURNAL_KIND)) {
        const endpoint = value as Endpoint
        this.#lastId = Math.max(this.#lastId, endpoint.id)
        if (inodeOf(endpoint.networkNamespace) !== endpoint.networkNamespaceInode) {
          gone.push(containerId)
          continue
        }
        tx.put(tables.endpoints, endpoint)
        for (const address of endpoint.addresses) pools.find(pool => pool.contains(address))?.claim(address)
      }
      this.#markInitialized()
    })
    for (const containerId of gone) memory.delete(JOURNAL_KIND, containerId)
    return gone.length
  }

  /** Idempotent for the same container. @throws ApiError, with nothing left behind */
  async add(request: EndpointRequest, signal: AbortSignal): Promise<EndpointAnswer> {
    const inode = inodeOf(request.netns)
    if (inode === undefined)
      throw new ApiError(400, 'NO_NAMESPACE', `${request.netns} is not a network namespace that can be opened`)
    const pod = await this.#whenPod(request, signal)
    // Only now: the same request may have come again while this one waited.
    const existing = this.#options.tables.endpoints.get(request.containerId)
    if (existing && existing.networkNamespaceInode !== inode)
      throw new ApiError(
        409,
        'CONTAINER_EXISTS',
        `container ${request.containerId} has an endpoint in another namespace`,
      )
    const endpoint = existing ?? this.#create(request, pod, inode)
    try {
      await this.#whenReady(endpoint, AbortSignal.any([signal, AbortSignal.timeout(READY_TIMEOUT_MS)]))
    } catch (cause) {
      if (!existing) await this.delete(endpoint.containerId)
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new ApiError(503, 'NOT_READY', `pod ${objectKey(request.pod)} got no network: ${reason}`, cause)
    }
    const { id, addresses, mac, hostInterface } = endpoint
    return { id, addresses, mac, hostInterface }
  }

  /** Idempotent. Addresses are free again when no packet can be taken for the pod's any more. */
  async delete(containerId: string): Promise<void> {
    const { tables, memory, pools, devices, entries } = this.#options
    const endpoint = tables.endpoints.get(containerId)
    if (!endpoint) return
    const revision = tables.database.write(tx => {
      tx.delete(tables.endpoints, containerId)
      for (const address of endpoint.addresses) tx.delete(tables.endpointEntries, address)
      return tables.database.revision + 1
    })
    memory.delete(JOURNAL_KIND, containerId)
    const whenGone = async (signal?: AbortSignal): Promise<void> => {
      await Promise.all([
        devices.waitFor(containerId, revision, signal),
        ...endpoint.addresses.map(address => entries.waitFor(address, revision, signal)),
      ])
      for (const address of endpoint.addresses) pools.find(pool => pool.contains(address))?.release(address)
    }
    try {
      await whenGone(AbortSignal.timeout(READY_TIMEOUT_MS))
    } catch (error) {
      // The caller is told; the reconcilers go on trying, and the addresses are free when they have succeeded.
      whenGone().catch(() => undefined)
      throw error
    }
  }

  /** The pod may be asked for before the source has told of it. */
  async #whenPod({ pod }: EndpointRequest, signal: AbortSignal): Promise<Pod> {
    const { pods } = this.#options.tables
    const key = objectKey(pod)
    const patience = AbortSignal.any([signal, AbortSignal.timeout(POD_TIMEOUT_MS)])
    using watcher = pods.watch()
    for (;;) {
      const row = pods.get(key)
      if (row) return row
      watcher.take()
      if (!(await watcher.wait(patience)))
        throw new ApiError(404, 'NO_POD', `no source has told of pod ${key} within ${POD_TIMEOUT_MS / 1000} s`)
    }
  }

  #create(request: EndpointRequest, pod: Pod, inode: number): Endpoint {
    const { tables, memory } = this.#options
    const addresses = this.#takeAddresses(pod)
    const id = this.#takeId()
    const host = hostInterfaceOf(id)
    const endpoint: Endpoint = {
      id,
      containerId: request.containerId,
      podNamespace: pod.namespace,
      podName: pod.name,
      networkNamespace: request.netns,
      networkNamespaceInode: inode,
      interface: request.interface,
      hostInterface: host.name,
      ifindex: host.ifindex,
      mac: randomMac(),
      addresses,
    }
    memory.set(JOURNAL_KIND, endpoint.containerId, endpoint)
    tables.database.write(tx => tx.put(tables.endpoints, endpoint))
    return endpoint
  }

  /** One address of each pool: what the pod's status names where it lies in the pool, else the next free one. */
  #takeAddresses(pod: Pod): string[] {
    const { pools, tables } = this.#options
    const taken: [AddressPool, string][] = []
    try {
      for (const pool of pools) {
        const wanted = pod.addresses.find(address => pool.contains(address))
        if (wanted !== undefined && !pool.claim(wanted))
          throw new ApiError(
            409,
            'ADDRESS_IN_USE',
            `address ${wanted} of pod ${objectKey(pod)} is another pod's, or the node's`,
          )
        taken.push([pool, wanted ?? takeUndeclared(pool, tables)])
      }
      return taken.map(([, address]) => address)
    } catch (error) {
      for (const [pool, address] of taken) pool.release(address)
      if (error instanceof PoolExhaustedError) throw new ApiError(507, error.code, error.message, error)
      throw error
    }
  }

  #takeId(): number {
    const { endpoints } = this.#options.tables
    for (let tries = 0; tries <= LAST_ID; tries++) {
      this.#lastId = this.#lastId >= LAST_ID ? 1 : this.#lastId + 1
      if (endpoints.by('id', String(this.#lastId)).length === 0) return this.#lastId
    }
    throw new ApiError(507, 'TOO_MANY_ENDPOINTS', `this node has ${LAST_ID} endpoints already`)
  }

  async #whenReady(endpoint: Endpoint, signal: AbortSignal): Promise<void> {
    const { tables, devices, entries } = this.#options
    const revision = tables.endpoints.revisionOf(endpoint.containerId) ?? 0
    const ready = endpoint.addresses.map(async address => {
      await this.#whenDesired(endpoint, address, signal)
      await entries.waitFor(address, tables.endpointEntries.revisionOf(address) ?? 0, signal)
    })
    await Promise.all([devices.waitFor(endpoint.containerId, revision, signal), ...ready])
  }

  /** Until the policy controller has resolved the endpoint's policy. */
  async #whenDesired(endpoint: Endpoint, address: string, signal: AbortSignal): Promise<void> {
    const { endpointEntries } = this.#options.tables
    using watcher = endpointEntries.watch()
    while (endpointEntries.get(address)?.containerId !== endpoint.containerId) {
      watcher.take()
      if (!(await watcher.wait(signal))) throw new Error('its policy was not resolved in time')
    }
  }
}

/** The next free address that no pod's status declares for itself. */
function takeUndeclared(pool: AddressPool, tables: Tables): string {
  const skipped: string[] = []
  try {
    for (;;) {
      const address = pool.take()
      if (tables.pods.by('address', address).length === 0) return address
      skipped.push(address)
    }
  } finally {
    for (const address of skipped) pool.release(address)
  }
}

function inodeOf(path: string): number | undefined {
  try {
    using namespace = Namespace.open(path)
    return namespace.inode
  } catch {
    return undefined
  }
}

/** Locally administered, unicast. */
function randomMac(): string {
  const bytes = randomBytes(6)
  bytes[0] = 0x0a
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(':')
}
