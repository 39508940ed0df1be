// Manifests to a cluster: pods, namespaces, nodes, policies and services are read,
// everything else is passed over. What has errors is left out and told; the caller decides
// whether to go on without it.

import { addressAt, type Cidr, cidr, formatIp, type IpAddress, ip } from '../../ip/index.ts'
import { PROTOCOLS } from '../../labels/index.ts'
import {
  apiGroup,
  type EndpointSliceManifest,
  type ManifestObject,
  objectKey,
  objectName,
  type PodManifest,
  type Problem,
  problemOf,
  readEndpointSlice,
  readNamespace,
  readNode,
  readPod,
  readService,
  type ServiceManifest,
} from '../../manifests/index.ts'
import { unknownReferenceText } from '../engine/expansion.ts'
import { readAuditAnnotation } from '../kinds/audit-annotation.ts'
import { CILIUM_CIDR_GROUP_KIND, readCiliumCidrGroup } from '../kinds/cilium/cidr-group.ts'
import { policyService } from '../kinds/policy-service.ts'
import { readPolicy } from '../kinds/read-policy.ts'
import { readVisibility } from '../kinds/visibility-annotation.ts'
import type { CidrGroup } from '../model/cidr-group.ts'
import type { Visibility } from '../model/l7.ts'
import { type Peer, type Policy, policyKey } from '../model/rule.ts'
import type { PolicyService } from '../model/service.ts'
import { Cluster, type ClusterContent, type ClusterNode, type ClusterPod } from './cluster.ts'

/** Where pods without an address are assumed to be: the pools of a sandbox. */
export const ASSUMED_POOLS: readonly Cidr[] = [cidr('10.244.0.0/16'), cidr('fd00:10:244::/64')]

/** A cluster, and what was wrong with the manifests that it was made of. */
export type ReadCluster = {
  readonly cluster: Cluster
  /** In the order of the objects, then what is wrong between them. With an error among them, the cluster lacks what the error is about. */
  readonly problems: readonly Problem[]
}

/** What manifests do not say of a cluster. */
export type ReadClusterOptions = Pick<ClusterContent, 'enforcement'> & {
  /** Another state of the same cluster: a pod without an address is assumed where it is there. */
  readonly like?: Cluster
}

/** Makes a cluster of everything that the objects declare. */
export function readCluster(objects: Iterable<ManifestObject>, options: ReadClusterOptions = {}): ReadCluster {
  const reading = new Reading()
  for (const object of objects) reading.read(object)
  return reading.finish(options)
}

type ReadPod = {
  readonly pod: PodManifest
  readonly object: ManifestObject
  readonly visibility: readonly Visibility[]
}

class Reading {
  readonly #problems: Problem[] = []
  readonly #objects = new Map<string, ManifestObject>()
  readonly #pods: ReadPod[] = []
  readonly #nodes: ClusterNode[] = []
  readonly #namespaceLabels = new Map<string, Readonly<Record<string, string>>>()
  readonly #auditedNamespaces = new Set<string>()
  readonly #cidrGroups: CidrGroup[] = []
  readonly #services: ServiceManifest[] = []
  readonly #slices: EndpointSliceManifest[] = []
  readonly #policies: Policy[] = []
  readonly #policyObjects = new Map<string, ManifestObject>()

  read(object: ManifestObject): void {
    const key = objectKey(object)
    const first = this.#objects.get(key)
    if (first) {
      const place = `${first.origin.file}:${first.origin.line}`
      this.#problems.push(problemOf(object, 'error', [], `is declared twice; the first is at ${place}`))
      return
    }
    this.#objects.set(key, object)
    if (object.apiVersion === 'v1' && object.kind === 'Pod') this.#readPod(object)
    else if (object.apiVersion === 'v1' && object.kind === 'Namespace') this.#readNamespace(object)
    else if (object.apiVersion === 'v1' && object.kind === 'Node') this.#readNode(object)
    else if (object.apiVersion === 'v1' && object.kind === 'Service') this.#readService(object)
    else if (object.apiVersion === 'discovery.k8s.io/v1' && object.kind === 'EndpointSlice') this.#readSlice(object)
    else if (object.kind === CILIUM_CIDR_GROUP_KIND && apiGroup(object.apiVersion) === 'cilium.io')
      this.#readCidrGroup(object)
    else this.#readPolicy(object)
  }

  finish({ like, ...options }: ReadClusterOptions): ReadCluster {
    const cluster = new Cluster({
      ...options,
      pods: this.#placePods(like),
      nodes: this.#nodes,
      namespaceLabels: this.#namespaceLabels,
      auditedNamespaces: this.#auditedNamespaces,
      cidrGroups: this.#cidrGroups,
      services: this.#policyServices(),
      policies: this.#policies,
    })
    this.#warnOfUnknown(cluster)
    return { cluster, problems: this.#problems }
  }

  #readPod(object: ManifestObject): void {
    const { value, problems } = readPod(object)
    this.#problems.push(...problems)
    // What has ended has no address any more.
    if (!value || value.phase === 'Succeeded' || value.phase === 'Failed') return
    const { visibility, problems: unclear } = readVisibility(object)
    this.#problems.push(...unclear)
    this.#pods.push({ pod: value, object, visibility })
  }

  #readNamespace(object: ManifestObject): void {
    const { value, problems } = readNamespace(object)
    this.#problems.push(...problems)
    if (!value) return
    this.#namespaceLabels.set(value.name, value.labels)
    const audit = readAuditAnnotation(object)
    this.#problems.push(...audit.problems)
    if (audit.value) this.#auditedNamespaces.add(value.name)
  }

  #readNode(object: ManifestObject): void {
    const { value, problems } = readNode(object)
    this.#problems.push(...problems)
    if (value) this.#nodes.push({ name: value.name, addresses: value.addresses.map(({ address }) => ip(address)) })
  }

  #readCidrGroup(object: ManifestObject): void {
    const { value, problems } = readCiliumCidrGroup(object)
    this.#problems.push(...problems)
    if (value) this.#cidrGroups.push(value)
  }

  #readService(object: ManifestObject): void {
    const { value, problems } = readService(object)
    this.#problems.push(...problems)
    if (value) this.#services.push(value)
  }

  #readSlice(object: ManifestObject): void {
    const { value, problems } = readEndpointSlice(object)
    this.#problems.push(...problems)
    if (value) this.#slices.push(value)
  }

  #policyServices(): PolicyService[] {
    const slices = Map.groupBy(this.#slices, ({ namespace, service }) => `${namespace}/${service}`)
    return this.#services.map(service => {
      return policyService(service, () => slices.get(`${service.namespace}/${service.name}`) ?? [])
    })
  }

  #readPolicy(object: ManifestObject): void {
    const read = readPolicy(object)
    this.#problems.push(...(read?.problems ?? []))
    if (!read?.value) return
    this.#policies.push(read.value)
    this.#policyObjects.set(policyKey(read.value.ref), object)
  }

  #warnOfUnknown({ repository }: Cluster): void {
    for (const unknown of repository.unknownReferences()) {
      const { policy, path, origin } = unknown
      const object = this.#policyObjects.get(policyKey(policy))
      const message = unknownReferenceText(unknown)
      if (object) this.#problems.push({ ...problemOf(object, 'warning', [], message), line: origin.line, path })
    }
  }

  #placePods(like: Cluster | undefined): ClusterPod[] {
    const taken = new Map<string, string>()
    for (const { name, addresses } of this.#nodes)
      for (const { bytes } of addresses) taken.set(formatIp(bytes), `Node ${name}`)
    const unique = this.#pods.filter(({ pod, object }) => pod.hostNetwork || this.#take(pod, object, taken))
    const pools = new Map(ASSUMED_POOLS.map(pool => [pool, 1]))
    const assumed = unique.filter(({ pod }) => pod.ips.length === 0 && !pod.hostNetwork)
    const addresses = new Map<ReadPod, readonly IpAddress[]>()
    const sorted = assumed.toSorted((a, b) => (objectName(a.object) < objectName(b.object) ? -1 : 1))
    for (const read of sorted) {
      const known = addressesIn(like, read.pod).filter(address => !taken.has(formatIp(address.bytes)))
      if (known.length === 0) continue
      addresses.set(read, known)
      for (const { bytes } of known) taken.set(formatIp(bytes), objectName(read.object))
    }
    for (const read of sorted)
      if (!addresses.has(read))
        addresses.set(
          read,
          [...pools.keys()].flatMap(pool => nextFree(pool, pools, taken) ?? []),
        )
    this.#warnOfAssumed(assumed)
    return unique.map(read => this.#clusterPod(read, addresses.get(read)))
  }

  /** Whether a pod's addresses are its own. The first pod in the manifests keeps one that two claim. */
  #take(pod: PodManifest, object: ManifestObject, taken: Map<string, string>): boolean {
    const owner = pod.ips.map(address => taken.get(address)).find(name => name !== undefined)
    if (owner === undefined) for (const address of pod.ips) taken.set(address, objectName(object))
    else this.#problems.push(problemOf(object, 'error', ['status'], `has an address that ${owner} has already`))
    return owner === undefined
  }

  #warnOfAssumed(assumed: readonly ReadPod[]): void {
    const [first] = assumed
    const namesBlocks = this.#policies.some(({ specs }) =>
      specs.some(({ rules }) => rules.some(({ peers }) => peers !== 'any' && peers.some(matchesPodsByAddress))),
    )
    if (!first || !namesBlocks) return
    const others =
      assumed.length === 1
        ? ''
        : ` (nor ${assumed.length === 2 ? 'has one more pod' : `have ${assumed.length - 1} more pods`})`
    const pools = ASSUMED_POOLS.map(({ text }) => text).join(' and ')
    const message = `has no address in its status${others}; one of ${pools} is assumed, and policies with ipBlock judge by it`
    this.#problems.push(problemOf(first.object, 'warning', ['status', 'podIP'], message))
  }

  #clusterPod({ pod, visibility }: ReadPod, assumed: readonly IpAddress[] | undefined): ClusterPod {
    const onlyNode = this.#nodes.length === 1 ? this.#nodes[0]?.name : undefined
    const node = pod.nodeName ?? onlyNode ?? ''
    const own = pod.ips.map(ip)
    const nodeAddresses = this.#nodes.find(({ name }) => name === node)?.addresses ?? []
    return {
      namespace: pod.namespace,
      name: pod.name,
      labels: pod.labels,
      serviceAccount: pod.serviceAccount,
      namedPorts: pod.namedPorts.map(({ name, protocol, port }) => ({ name, protocol: PROTOCOLS[protocol], port })),
      addresses: own.length > 0 ? own : pod.hostNetwork ? nodeAddresses : (assumed ?? []),
      hostNetwork: pod.hostNetwork,
      ...(visibility.length > 0 && { visibility }),
      node,
    }
  }
}

const matchesPodsByAddress = (peer: Peer): boolean => peer.kind === 'cidr' && peer.covers === 'everything'

function addressesIn(cluster: Cluster | undefined, { namespace, name }: PodManifest): readonly IpAddress[] {
  return cluster?.content.pods.find(pod => pod.namespace === namespace && pod.name === name)?.addresses ?? []
}

function nextFree(pool: Cidr, offsets: Map<Cidr, number>, taken: Map<string, string>): IpAddress | undefined {
  for (let offset = offsets.get(pool) ?? 1; ; offset++) {
    const address = addressAt(pool, offset)
    if (address && taken.has(formatIp(address.bytes))) continue
    offsets.set(pool, offset + 1)
    return address
  }
}
