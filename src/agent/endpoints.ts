// Gives pods their interfaces, as a CNI ADD and DEL ask for. Chooses addresses, writes
// the endpoint down, and waits until the reconcilers have made it real and its policy
// is enforced: only then is the caller told, and only then does the pod's program start.

import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { ApiError, type EndpointAnswer, type EndpointRequest } from '../api/index.ts'
import { type AddressPool, type Memory, PoolExhaustedError } from '../controllers/index.ts'
import { Namespace, namespaceCookie } from '../net/index.ts'
import { hostInterfaceOf } from '../reconcilers/index.ts'
import type { Reconciler, Row } from '../state/index.ts'
import { type Endpoint, objectKey, type Pod, type Tables } from '../tables/index.ts'
import { whenRow } from './when-row.ts'

const JOURNAL_KIND = 'endpoint'
const POD_TIMEOUT_MS = 5_000
const READY_TIMEOUT_MS = 15_000
const LAST_ID = 0xffff

type FoundNamespace = { readonly inode: number; readonly cookie: string }

type Waits = Pick<Reconciler<Row>, 'waitFor'>

export type EndpointsOptions = {
  readonly tables: Tables
  readonly memory: Memory
  readonly pools: readonly AddressPool[]
  readonly policyMaps: Waits
  readonly devices: Waits
  readonly entries: Waits
  /** Resolves when it is in force where the pod's services are translated. */
  readonly whenTranslated: (endpoint: Endpoint, signal: AbortSignal) => Promise<void>
  /** Default: the kernel's. */
  readonly namespaceCookie?: (namespace: Namespace) => bigint
  /** The MAC address of a new pod. Default: a random one. */
  readonly newMac?: () => string
  /** How long an addition waits for its pod to be declared. Default 5,000. */
  readonly podTimeoutMs?: number
  /** How long an addition or a deletion waits for the kernel. Default 15,000. */
  readonly readyTimeoutMs?: number
}

export class Endpoints {
  readonly #options: EndpointsOptions
  readonly #markInitialized: () => void
  /** Endpoints whose deletion is not real yet, by container id. Their addresses and ids are still in use. */
  readonly #leaving = new Map<string, { readonly id: number; readonly gone: Promise<void> }>()
  #lastId = 0

  constructor(options: EndpointsOptions) {
    this.#options = options
    this.#markInitialized = options.tables.endpoints.registerInitializer('endpoints')
  }

  /** Takes over the endpoints of an earlier run whose pods are still there. @returns the number of those that are not */
  restore(): number {
    const { tables, memory } = this.#options
    const gone: string[] = []
    tables.database.write(tx => {
      for (const [containerId, value] of memory.entries(JOURNAL_KIND)) {
        const record = endpointRecord.safeParse(value).data
        this.#lastId = Math.max(this.#lastId, record?.id ?? 0)
        const found = record && this.#namespaceAt(record.networkNamespace)
        if (!record || record.networkNamespaceInode !== found?.inode) {
          gone.push(containerId)
          continue
        }
        const endpoint: Endpoint = { ...record, networkNamespaceCookie: found.cookie }
        tx.put(tables.endpoints, endpoint)
        for (const address of endpoint.addresses) this.#poolOf(address)?.claim(address)
      }
      this.#markInitialized()
    })
    for (const containerId of gone) memory.delete(JOURNAL_KIND, containerId)
    return gone.length
  }

  /** Idempotent for the same container. @throws ApiError, with nothing left behind */
  async add(request: EndpointRequest, signal: AbortSignal): Promise<EndpointAnswer> {
    const { containerId } = request
    const { tables, readyTimeoutMs = READY_TIMEOUT_MS } = this.#options
    const namespace = this.#namespaceAt(request.netns)
    if (!namespace)
      throw new ApiError(400, 'NO_NAMESPACE', `${request.netns} is not a network namespace that can be opened`)
    const pod = await this.#whenPod(request, signal)
    await this.#whenLeft(containerId, signal)
    // From here to the row no other request comes between.
    const existing = tables.endpoints.get(containerId)
    if (existing && existing.networkNamespaceInode !== namespace.inode)
      throw new ApiError(409, 'CONTAINER_EXISTS', `container ${containerId} has an endpoint in another namespace`)
    const endpoint = existing ?? this.#create(request, pod, namespace)
    try {
      await this.#whenReady(endpoint, AbortSignal.any([signal, AbortSignal.timeout(readyTimeoutMs)]))
      if (tables.endpoints.get(containerId)?.id !== endpoint.id) throw new Error('it was deleted meanwhile')
    } catch (cause) {
      // Where taking it back takes long, the reconcilers go on with it.
      const isOurs = !existing && tables.endpoints.get(containerId)?.id === endpoint.id
      if (isOurs) await this.delete(containerId).catch(() => undefined)
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new ApiError(503, 'NOT_READY', `pod ${objectKey(request.pod)} got no network: ${reason}`, cause)
    }
    const { id, addresses, mac, hostInterface } = endpoint
    return { id, addresses, mac, hostInterface }
  }

  /**
   * Idempotent. Returns when no packet can be taken for the pod's any more; only then are its addresses free again.
   * @throws ApiError when that takes too long; it goes on nevertheless
   */
  async delete(containerId: string, signal?: AbortSignal): Promise<void> {
    const { tables, memory } = this.#options
    const endpoint = tables.endpoints.get(containerId)
    if (endpoint) {
      tables.database.write(tx => tx.delete(tables.endpoints, containerId))
      memory.delete(JOURNAL_KIND, containerId)
      const gone = this.#leave(endpoint)
      this.#leaving.set(containerId, { id: endpoint.id, gone })
    }
    await this.#whenLeft(containerId, signal)
  }

  async #leave({ containerId, addresses }: Endpoint): Promise<void> {
    const { tables, devices, entries } = this.#options
    const isGone = async (address: string): Promise<void> => {
      await whenRow(tables.endpointEntries, address, row => row?.containerId !== containerId)
      await entries.waitFor(address, tables.database.revision)
    }
    try {
      await Promise.all([devices.waitFor(containerId, tables.database.revision), ...addresses.map(isGone)])
    } catch {
      return // the agent ends: the next one finds neither row nor record, and removes what is left
    }
    for (const address of addresses) this.#poolOf(address)?.release(address)
    this.#leaving.delete(containerId)
  }

  /** Until an endpoint of this container that is being deleted is gone. */
  async #whenLeft(containerId: string, signal?: AbortSignal): Promise<void> {
    const leaving = this.#leaving.get(containerId)
    if (!leaving) return
    const timeout = AbortSignal.timeout(this.#options.readyTimeoutMs ?? READY_TIMEOUT_MS)
    const patience = signal ? AbortSignal.any([signal, timeout]) : timeout
    const { promise, reject } = Promise.withResolvers<never>()
    const giveUp = (): void =>
      reject(new ApiError(503, 'NOT_DELETED', `the endpoint of container ${containerId} is still being deleted`))
    patience.addEventListener('abort', giveUp, { once: true })
    if (patience.aborted) giveUp()
    try {
      await Promise.race([leaving.gone, promise])
    } finally {
      patience.removeEventListener('abort', giveUp)
    }
  }

  /** The pod may be asked for before the source has told of it. */
  async #whenPod({ pod }: EndpointRequest, signal: AbortSignal): Promise<Pod> {
    const { tables, podTimeoutMs = POD_TIMEOUT_MS } = this.#options
    const key = objectKey(pod)
    const patience = AbortSignal.any([signal, AbortSignal.timeout(podTimeoutMs)])
    const row = await whenRow(tables.pods, key, found => found !== undefined, patience)
    if (row) return row
    throw new ApiError(404, 'NO_POD', `no source has told of pod ${key} within ${podTimeoutMs / 1000} s`)
  }

  #create(request: EndpointRequest, pod: Pod, namespace: FoundNamespace): Endpoint {
    const { tables, memory, newMac = randomMac } = this.#options
    const addresses = this.#takeAddresses(pod)
    const id = this.#takeId()
    const host = hostInterfaceOf(id)
    const endpoint: Endpoint = {
      id,
      containerId: request.containerId,
      podNamespace: pod.namespace,
      podName: pod.name,
      networkNamespace: request.netns,
      networkNamespaceInode: namespace.inode,
      networkNamespaceCookie: namespace.cookie,
      interface: request.interface,
      hostInterface: host.name,
      ifindex: host.ifindex,
      mac: newMac(),
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
    const leaving = new Set(Array.from(this.#leaving.values(), ({ id }) => id))
    for (let tries = 0; tries <= LAST_ID; tries++) {
      this.#lastId = this.#lastId >= LAST_ID ? 1 : this.#lastId + 1
      if (endpoints.by('id', String(this.#lastId)).length === 0 && !leaving.has(this.#lastId)) return this.#lastId
    }
    throw new ApiError(507, 'TOO_MANY_ENDPOINTS', `this node has ${LAST_ID} endpoints already`)
  }

  async #whenReady(endpoint: Endpoint, signal: AbortSignal): Promise<void> {
    const { tables, policyMaps, devices, entries, whenTranslated } = this.#options
    const revision = tables.endpoints.revisionOf(endpoint.containerId) ?? 0
    const ready = endpoint.addresses.map(async address => {
      const isOurs = (row: { readonly containerId: string } | undefined) => row?.containerId === endpoint.containerId
      const entry = await whenRow(tables.endpointEntries, address, isOurs, signal)
      if (!entry) throw new Error(`no policy was resolved for its address ${address}`)
      const policy = String(entry.policy)
      await policyMaps.waitFor(policy, tables.policyMaps.revisionOf(policy) ?? 0, signal)
      await entries.waitFor(address, tables.endpointEntries.revisionOf(address) ?? 0, signal)
    })
    const device = devices.waitFor(endpoint.containerId, revision, signal)
    await Promise.all([device, whenTranslated(endpoint, signal), ...ready])
  }

  #namespaceAt(path: string): FoundNamespace | undefined {
    const { namespaceCookie: cookieOf = namespaceCookie } = this.#options
    try {
      using namespace = Namespace.open(path)
      return { inode: namespace.inode, cookie: String(cookieOf(namespace)) }
    } catch {
      return undefined
    }
  }

  #poolOf(address: string): AddressPool | undefined {
    return this.#options.pools.find(pool => pool.contains(address))
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

/** Locally administered, unicast. */
function randomMac(): string {
  const bytes = randomBytes(6)
  bytes[0] = 0x0a
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(':')
}

const endpointRecord = z.object({
  id: z.int().min(1).max(LAST_ID),
  containerId: z.string(),
  podNamespace: z.string(),
  podName: z.string(),
  networkNamespace: z.string(),
  networkNamespaceInode: z.number(),
  interface: z.string(),
  hostInterface: z.string(),
  ifindex: z.int(),
  mac: z.string(),
  addresses: z.array(z.string()),
}) satisfies z.ZodType<Omit<Endpoint, 'networkNamespaceCookie'>>
