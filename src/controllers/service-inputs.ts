// What services follow from, and which of them a change concerns. A service's key is
// `NAMESPACE/NAME`; the host ports of a pod have one that no service can have.

import type { ServiceContext } from '../services/index.ts'
import type { Change, Row, Table, Watcher } from '../state/index.ts'
import { type Endpoint, type EndpointSlice, objectKey, type Pod, type Tables } from '../tables/index.ts'

/** What a node has besides what its Node object says. */
export type OwnNode = Omit<ServiceContext, 'zone'>

const HOST_PORTS = ':host-ports'

export const hostPortsKey = (pod: string): string => `${pod}${HOST_PORTS}`

/** Key of the pod whose host ports these are; undefined: it is a service's. */
export const podOfHostPorts = (key: string): string | undefined =>
  key.endsWith(HOST_PORTS) ? key.slice(0, -HOST_PORTS.length) : undefined

export class ServiceInputs implements Disposable {
  readonly #tables: Tables
  readonly #nodeName: string
  readonly #watched: readonly {
    readonly watcher: Watcher<Row>
    readonly keysOf: (change: Change<Row>) => Iterable<string>
  }[]

  constructor(tables: Tables, nodeName: string) {
    this.#tables = tables
    this.#nodeName = nodeName
    const { services, endpointSlices, pods, endpoints, nodes } = tables
    this.#watched = [
      watched(services, service => [objectKey(service)]),
      watched(endpointSlices, slice => ownersOf(slice)),
      watched(pods, pod => (pod.hostPorts ? [hostPortsKey(objectKey(pod))] : [])),
      watched(endpoints, endpoint => [hostPortsKey(podOf(endpoint))]),
      watched(nodes, node => (node.name === this.#nodeName ? this.#everything() : [])),
    ]
  }

  get watchers(): readonly Watcher<Row>[] {
    return this.#watched.map(({ watcher }) => watcher)
  }

  /** Whether every source has delivered. */
  async whenInitialized(signal: AbortSignal): Promise<boolean> {
    for (const table of this.#inputs()) if (!(await table.whenInitialized(signal))) return false
    return true
  }

  get revision(): number {
    return Math.max(...this.#inputs().map(table => table.revision))
  }

  /** Keys of all that may have changed since the last call. */
  take(): Set<string> {
    const keys = new Set<string>()
    for (const { watcher, keysOf } of this.#watched)
      for (const change of watcher.take()) for (const key of keysOf(change)) keys.add(key)
    return keys
  }

  [Symbol.dispose](): void {
    for (const { watcher } of this.#watched) watcher.close()
  }

  #inputs() {
    const { services, endpointSlices, pods, endpoints, nodes } = this.#tables
    return [services, endpointSlices, pods, endpoints, nodes] as const
  }

  #everything(): string[] {
    return [
      ...this.#tables.services.all().map(objectKey),
      ...this.#tables.endpoints.all().map(endpoint => hostPortsKey(podOf(endpoint))),
    ]
  }
}

function watched<R extends Row>(table: Table<R>, keysOf: (row: R) => Iterable<string>) {
  const keysOfChange = (change: Change<R>): string[] => [
    ...(change.previous ? keysOf(change.previous) : []),
    ...(change.kind === 'put' ? keysOf(change.row) : []),
  ]
  return {
    watcher: table.watch() as unknown as Watcher<Row>,
    keysOf: keysOfChange as (change: Change<Row>) => string[],
  }
}

const ownersOf = ({ namespace, service }: EndpointSlice): string[] =>
  service === undefined ? [] : [objectKey({ namespace, name: service })]

const podOf = ({ podNamespace, podName }: Endpoint): string => objectKey({ namespace: podNamespace, name: podName })

/** The pod with host ports, at the addresses that its interface on this node has. */
export function hostPortPod(
  { pods, endpoints }: Tables,
  key: string,
): (Pod & { readonly hostPorts: NonNullable<Pod['hostPorts']> }) | undefined {
  const pod = pods.get(key)
  if (!pod?.hostPorts) return undefined
  const [endpoint] = endpoints.by('pod', key)
  return endpoint && { ...pod, hostPorts: pod.hostPorts, addresses: endpoint.addresses }
}
