// What the API server and a cloud's load balancer do when a Service is created or changed: choose cluster IPs, node ports,
// the port of health checks and load-balancer addresses, keep what it has, and refuse what somebody else has. Pure: holds
// what is allocated, does no input or output. Semantics: kubernetes pkg/registry/core/service/storage/alloc.go.

import { cidr, type Family } from '../../ip/index.ts'
import {
  type ManifestObject,
  namespaceOf,
  objectName,
  type Path,
  type Problem,
  problemOf,
} from '../../manifests/index.ts'
import { type DeclaredPort, type DeclaredService, type IpFamily, readDeclaredService } from './declared.ts'
import { Pool } from './pool.ts'
import { type Ranges, SERVICE_RANGES } from './ranges.ts'

/** What a service has of the ranges. */
type Allocation = {
  readonly clusterIps: readonly string[]
  /** By `PROTOCOL:PORT`. */
  readonly nodePorts: ReadonlyMap<string, number>
  readonly healthCheckNodePort?: number
  readonly loadBalancerAddresses: readonly string[]
}

export type Admitted = {
  /** The whole object, with what was allocated. */
  readonly content: Readonly<Record<string, unknown>>
}

type Prefixes = ReadonlyMap<IpFamily, { readonly text: string; readonly pool: Pool }>

const NOTHING: Allocation = { clusterIps: [], nodePorts: new Map(), loadBalancerAddresses: [] }

class RefusedError extends Error {
  readonly path: Path
  constructor(path: Path, message: string) {
    super(message)
    this.path = path
  }
}

export class ServiceAdmission {
  readonly #clusterIps: Prefixes
  readonly #loadBalancers: Prefixes
  readonly #nodePorts: Pool
  readonly #nodePortRange: readonly [number, number]
  readonly #allocations = new Map<string, Allocation>()

  constructor(ranges: Ranges = SERVICE_RANGES) {
    this.#clusterIps = prefixesOf(ranges.clusterIps)
    this.#loadBalancers = prefixesOf(ranges.loadBalancers)
    this.#nodePorts = Pool.ofNumbers(...ranges.nodePorts)
    this.#nodePortRange = ranges.nodePorts
  }

  /** Takes a new or changed Service. Where it is refused, what its last version has stays allocated. */
  admit(object: ManifestObject): { readonly admitted?: Admitted; readonly problems: readonly Problem[] } {
    const { service, problems } = readDeclaredService(object)
    if (!service) return { problems }
    const owner = objectName(object)
    const before = this.#allocations.get(owner) ?? NOTHING
    try {
      const families = this.#familiesOf(service)
      const clusterIps = this.#allocateClusterIps(service, families, owner, before)
      const nodePorts = this.#allocateNodePorts(service, owner, before)
      const healthCheckNodePort = this.#allocateHealthCheck(service, owner, before)
      const loadBalancerAddresses = this.#allocateLoadBalancer(service, families, owner, before)
      const allocation: Allocation = {
        clusterIps,
        nodePorts,
        ...(healthCheckNodePort !== undefined && { healthCheckNodePort }),
        loadBalancerAddresses,
      }
      this.#keep(owner, allocation)
      return { admitted: { content: contentWith(object, service, families, allocation) }, problems: [] }
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error
      this.#keep(owner, before)
      return { problems: [problemOf(object, 'error', error.path, error.message)] }
    }
  }

  /** The Service is gone: what it had is free. */
  release(object: Pick<ManifestObject, 'apiVersion' | 'kind' | 'metadata'>): void {
    this.#keep(objectName(object), NOTHING)
    this.#allocations.delete(objectName(object))
  }

  #keep(owner: string, allocation: Allocation): void {
    const ports = [...allocation.nodePorts.values(), allocation.healthCheckNodePort ?? 0].map(String)
    for (const { pool } of this.#clusterIps.values()) pool.retain(owner, allocation.clusterIps)
    for (const { pool } of this.#loadBalancers.values()) pool.retain(owner, allocation.loadBalancerAddresses)
    this.#nodePorts.retain(owner, ports)
    this.#allocations.set(owner, allocation)
  }

  /** In their order; none of a service of type ExternalName. */
  #familiesOf({ spec }: DeclaredService): IpFamily[] {
    if (spec.type === 'ExternalName') return []
    const cluster = [...this.#clusterIps.keys()]
    const isHeadless = requestedIps(spec)[0] === NONE
    const requested = requestedIps(spec)
      .filter(address => address !== NONE)
      .map(familyOf)
    const named = spec.ipFamilies.length > 0 ? spec.ipFamilies : requested
    const policy = spec.ipFamilyPolicy ?? (isHeadless && !spec.selector ? 'PreferDualStack' : 'SingleStack')
    if (new Set(named).size > 1 && policy === 'SingleStack')
      throw new RefusedError(
        ['spec', 'ipFamilyPolicy'],
        'must be PreferDualStack or RequireDualStack when two families are asked for',
      )
    const strange = named.find(family => !cluster.includes(family))
    if (strange) throw new RefusedError(['spec', 'ipFamilies'], `${strange} is not configured on this cluster`)
    if (policy === 'RequireDualStack' && cluster.length < 2)
      throw new RefusedError(['spec', 'ipFamilyPolicy'], 'this cluster is not configured for dual-stack services')
    const [first = cluster[0] ?? 'IPv4'] = named
    return policy === 'SingleStack' ? [first] : [first, ...cluster.filter(family => family !== first)]
  }

  #allocateClusterIps(
    { spec }: DeclaredService,
    families: readonly IpFamily[],
    owner: string,
    before: Allocation,
  ): string[] {
    const requested = requestedIps(spec)
    if (spec.type === 'ExternalName') return []
    if (requested[0] === NONE) {
      if (spec.type !== 'ClusterIP')
        throw new RefusedError(['spec', 'clusterIPs', 0], `may not be None for a service of type ${spec.type}`)
      return []
    }
    return families.map((family, i) => {
      const wanted = requested.find(address => familyOf(address) === family)
      const kept = before.clusterIps.find(address => familyOf(address) === family)
      const path = [
        'spec',
        spec.clusterIPs.length > 0 ? 'clusterIPs' : 'clusterIP',
        ...(spec.clusterIPs.length > 0 ? [i] : []),
      ]
      if (wanted && kept && i === 0 && wanted !== kept)
        throw new RefusedError(path, `may not change once set (it is ${kept}); delete the service first`)
      return claimAddress(this.#clusterIps, family, { owner, path, wanted: wanted ?? kept, what: 'cluster IP' })
    })
  }

  #allocateNodePorts({ spec }: DeclaredService, owner: string, before: Allocation): Map<string, number> {
    const result = new Map<string, number>()
    if (!hasNodePorts(spec)) return result
    spec.ports.forEach((port, i) => {
      const wanted = port.nodePort ?? before.nodePorts.get(portKey(port))
      const path = ['spec', 'ports', i, 'nodePort']
      result.set(portKey(port), this.#claimPort({ owner, path, wanted, seed: `${owner} ${portKey(port)}` }))
    })
    return result
  }

  #allocateHealthCheck({ spec }: DeclaredService, owner: string, before: Allocation): number | undefined {
    const isNeeded = spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local'
    const path = ['spec', 'healthCheckNodePort']
    if (!isNeeded && spec.healthCheckNodePort)
      throw new RefusedError(path, 'is only for type LoadBalancer with externalTrafficPolicy Local')
    if (!isNeeded) return undefined
    const wanted = spec.healthCheckNodePort ?? before.healthCheckNodePort
    return this.#claimPort({ owner, path, wanted, seed: `${owner} healthz` })
  }

  #claimPort({
    owner,
    path,
    wanted,
    seed,
  }: {
    owner: string
    path: Path
    wanted: number | undefined
    seed: string
  }): number {
    const [first, last] = this.#nodePortRange
    if (wanted === undefined) {
      const taken = this.#nodePorts.take(owner, seed)
      if (taken === undefined) throw new RefusedError(path, `no node port is free: all of ${first}-${last} are in use`)
      return Number(taken)
    }
    if (!this.#nodePorts.contains(String(wanted)))
      throw new RefusedError(path, `${wanted} is not in the range of node ports, ${first}-${last}`)
    const holder = this.#nodePorts.claim(String(wanted), owner)
    if (holder) throw new RefusedError(path, `${wanted} is a port of ${holder} already`)
    return wanted
  }

  #allocateLoadBalancer(
    { spec, status }: DeclaredService,
    families: readonly IpFamily[],
    owner: string,
    before: Allocation,
  ): string[] {
    const isOthers = spec.loadBalancerClass !== undefined || status.loadBalancer.ingress.length > 0
    if (spec.type !== 'LoadBalancer' || isOthers) return []
    return families.map(family => {
      const requested =
        spec.loadBalancerIP && familyOf(spec.loadBalancerIP) === family ? spec.loadBalancerIP : undefined
      const wanted = requested ?? before.loadBalancerAddresses.find(address => familyOf(address) === family)
      const path = ['spec', 'loadBalancerIP']
      return claimAddress(this.#loadBalancers, family, { owner, path, wanted, what: 'load-balancer address' })
    })
  }
}

const NONE = 'None'

const portKey = ({ protocol, port }: DeclaredPort): string => `${protocol}:${port}`

const familyOf = (address: string): IpFamily => (address.includes(':') ? 'IPv6' : 'IPv4')

const requestedIps = ({ clusterIP, clusterIPs }: DeclaredService['spec']): readonly string[] =>
  clusterIPs.length > 0 ? clusterIPs : clusterIP ? [clusterIP] : []

const hasNodePorts = ({ type, allocateLoadBalancerNodePorts }: DeclaredService['spec']): boolean =>
  type === 'NodePort' || (type === 'LoadBalancer' && allocateLoadBalancerNodePorts)

function prefixesOf(texts: readonly string[]): Prefixes {
  const names: Readonly<Record<Family, IpFamily>> = { 4: 'IPv4', 6: 'IPv6' }
  return new Map(
    texts.map(text => {
      const prefix = cidr(text)
      return [names[prefix.family], { text, pool: Pool.ofPrefix(prefix) }]
    }),
  )
}

type AddressClaim = {
  readonly owner: string
  readonly path: Path
  readonly wanted: string | undefined
  /** For messages. */
  readonly what: string
}

function claimAddress(prefixes: Prefixes, family: IpFamily, { owner, path, wanted, what }: AddressClaim): string {
  const prefix = prefixes.get(family)
  if (!prefix) throw new RefusedError(path, `this cluster has no ${what} of ${family}`)
  const { text, pool } = prefix
  if (wanted === undefined) {
    const taken = pool.take(owner, owner)
    if (taken === undefined) throw new RefusedError(path, `no ${what} is free: all of ${text} are in use`)
    return taken
  }
  if (!pool.contains(wanted)) throw new RefusedError(path, `${wanted} is not in the range of ${text}`)
  const holder = pool.claim(wanted, owner)
  if (holder)
    throw new RefusedError(path, `${wanted} is the ${what} of ${holder} already; leave it out to get a free one`)
  return wanted
}

/** The author's object, completed as the API server completes it. */
function contentWith(
  { content, metadata, ...object }: ManifestObject,
  { spec, status }: DeclaredService,
  families: readonly IpFamily[],
  { clusterIps, nodePorts, healthCheckNodePort, loadBalancerAddresses }: Allocation,
): Record<string, unknown> {
  const isHeadless = requestedIps(spec)[0] === NONE
  const ips = isHeadless ? [NONE] : clusterIps
  const isDual = families.length > 1
  const written = content['spec'] as Record<string, unknown>
  const ports = spec.ports.map(port => {
    const nodePort = nodePorts.get(portKey(port))
    return { ...port, ...(port.name === '' && { name: undefined }), ...(nodePort !== undefined && { nodePort }) }
  })
  const ingress = loadBalancerAddresses.map(ip => ({ ip, ipMode: 'VIP' }))
  return {
    ...content,
    metadata: {
      ...(content['metadata'] as Record<string, unknown>),
      namespace: namespaceOf({ ...object, metadata }),
    },
    spec: {
      ...written,
      type: spec.type,
      ...(spec.ports.length > 0 && { ports }),
      ...(ips.length > 0 && { clusterIP: ips[0], clusterIPs: ips }),
      ...(families.length > 0 && {
        ipFamilies: families,
        ipFamilyPolicy: spec.ipFamilyPolicy ?? (isDual ? 'RequireDualStack' : 'SingleStack'),
      }),
      ...(healthCheckNodePort !== undefined && { healthCheckNodePort }),
    },
    ...(ingress.length > 0
      ? { status: { ...status, loadBalancer: { ...status.loadBalancer, ingress } } }
      : { ...(content['status'] !== undefined && { status: content['status'] }) }),
  }
}
