// The EndpointSlices of a Service: which of its pods are endpoints, with which ports, in which state, and how they are
// spread over slices. Pure. Semantics: kubernetes pkg/controller/endpointslice and k8s.io/endpointslice (reconciler,
// trafficdist).

import { createHash } from 'node:crypto'
import type { DeclaredPort, DeclaredService, IpFamily } from './declared.ts'

/** Most endpoints of one slice, as the controller of Kubernetes has it unless told otherwise. */
export const MAX_ENDPOINTS = 100

const MANAGER = 'endpointslice-controller.k8s.io'

/** A pod as its status tells of it. */
export type BackendPod = {
  readonly namespace: string
  readonly name: string
  readonly uid?: string | undefined
  readonly labels: Readonly<Record<string, string>>
  readonly node: string
  readonly zone?: string | undefined
  readonly hostname?: string | undefined
  readonly subdomain?: string | undefined
  readonly addresses: readonly string[]
  /** Named ports of its containers, in the order in which a name is looked up. */
  readonly namedPorts: readonly { readonly name: string; readonly protocol: string; readonly port: number }[]
  /** The Ready condition. */
  readonly ready: boolean
  /** It has a deletionTimestamp. */
  readonly terminating: boolean
  /** It has ended, or was evicted. */
  readonly over: boolean
}

export type SlicedService = {
  readonly namespace: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly spec: DeclaredService['spec']
  readonly families: readonly IpFamily[]
}

type Endpoint = {
  readonly addresses: readonly string[]
  readonly conditions: { readonly ready: boolean; readonly serving: boolean; readonly terminating: boolean }
  readonly hostname?: string
  readonly nodeName: string
  readonly zone?: string
  readonly targetRef: { readonly kind: 'Pod'; readonly namespace: string; readonly name: string; readonly uid?: string }
  readonly hints?: {
    readonly forZones?: readonly { readonly name: string }[]
    readonly forNodes?: readonly { readonly name: string }[]
  }
}

type SlicePort = {
  readonly name: string
  readonly protocol: string
  readonly port: number
  readonly appProtocol?: string
}

export type EndpointSlice = {
  readonly apiVersion: 'discovery.k8s.io/v1'
  readonly kind: 'EndpointSlice'
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly labels: Readonly<Record<string, string>>
  }
  readonly addressType: IpFamily
  readonly ports: readonly SlicePort[]
  readonly endpoints: readonly Endpoint[]
}

/**
 * The slices that a service should have. An endpoint stays in the slice that it is in.
 * @param pods of the service's namespace, in any order
 * @param before the slices that it has now
 */
export function slicesOf(
  service: SlicedService,
  pods: readonly BackendPod[],
  before: readonly EndpointSlice[],
): EndpointSlice[] {
  const { selector, type } = service.spec
  if (!selector || Object.keys(selector).length === 0 || type === 'ExternalName') return []
  const chosen = pods
    .filter(pod => pod.namespace === service.namespace && !pod.over && isSelected(pod, selector))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  return service.families.flatMap(family => slicesOfFamily(service, chosen, before, family))
}

const isSelected = ({ labels }: BackendPod, selector: Readonly<Record<string, string>>): boolean =>
  Object.entries(selector).every(([key, value]) => labels[key] === value)

function slicesOfFamily(
  service: SlicedService,
  pods: readonly BackendPod[],
  before: readonly EndpointSlice[],
  family: IpFamily,
): EndpointSlice[] {
  /** By the ports that they have: a name may be another number in each pod. */
  const groups = new Map<string, { ports: SlicePort[]; endpoints: Endpoint[] }>()
  for (const pod of pods) {
    const addresses = pod.addresses.filter(address => address.includes(':') === (family === 'IPv6'))
    if (addresses.length === 0) continue
    const ports = service.spec.ports.flatMap(port => portOf(port, pod))
    const key = JSON.stringify(ports)
    const group = groups.get(key) ?? { ports, endpoints: [] }
    group.endpoints.push(endpointOf(service, pod, addresses.slice(0, 1)))
    groups.set(key, group)
  }
  // Whoever looks for the service's slices finds that there is nothing, rather than nothing yet.
  if (groups.size === 0) groups.set('[]', { ports: [], endpoints: [] })
  return [...groups].flatMap(([key, { ports, endpoints }]) => {
    const stem = `${service.name}-${family.toLowerCase()}-${digest(`${service.namespace}/${service.name} ${key}`)}`
    const had = before.filter(slice => slice.metadata.name.startsWith(`${stem}-`))
    return spread(endpoints, had).map(({ number, endpoints: part }) => ({
      apiVersion: 'discovery.k8s.io/v1' as const,
      kind: 'EndpointSlice' as const,
      metadata: { name: `${stem}-${number}`, namespace: service.namespace, labels: labelsOf(service) },
      addressType: family,
      ports,
      endpoints: part,
    }))
  })
}

function labelsOf({ name, labels, spec }: SlicedService): Record<string, string> {
  return {
    ...labels,
    'kubernetes.io/service-name': name,
    'endpointslice.kubernetes.io/managed-by': MANAGER,
    ...(spec.clusterIP === 'None' && { 'service.kubernetes.io/headless': '' }),
  }
}

/** A pod without a port of that name and protocol has the service's other ports nonetheless. */
function portOf(port: DeclaredPort, pod: BackendPod): SlicePort[] {
  const { name, protocol, targetPort = port.port } = port
  const number =
    typeof targetPort === 'number'
      ? targetPort
      : pod.namedPorts.find(named => named.name === targetPort && named.protocol === protocol)?.port
  if (number === undefined) return []
  const { appProtocol } = port
  return [{ name, protocol, port: number, ...(typeof appProtocol === 'string' && { appProtocol }) }]
}

function endpointOf({ name, spec }: SlicedService, pod: BackendPod, addresses: readonly string[]): Endpoint {
  const serving = pod.ready
  const ready = spec.publishNotReadyAddresses || (serving && !pod.terminating)
  const { zone, node, hostname } = pod
  const hints = ready ? hintsOf(spec.trafficDistribution, node, zone) : undefined
  return {
    addresses,
    conditions: { ready, serving, terminating: pod.terminating },
    ...(hostname !== undefined && pod.subdomain === name && { hostname }),
    nodeName: node,
    ...(zone !== undefined && { zone }),
    targetRef: {
      kind: 'Pod',
      namespace: pod.namespace,
      name: pod.name,
      ...(pod.uid !== undefined && { uid: pod.uid }),
    },
    ...(hints && { hints }),
  }
}

function hintsOf(distribution: string | undefined, node: string, zone: string | undefined): Endpoint['hints'] {
  const forZones = zone === undefined ? undefined : { forZones: [{ name: zone }] }
  switch (distribution) {
    case 'PreferClose':
    case 'PreferSameZone':
      return forZones
    case 'PreferSameNode':
      return { ...forZones, forNodes: [{ name: node }] }
    default:
      return undefined
  }
}

type Part = { readonly number: number; readonly endpoints: Endpoint[] }

/** Endpoints stay where they are; new ones fill the gaps, then new slices. An emptied slice goes, unless it is the only one. */
function spread(endpoints: readonly Endpoint[], before: readonly EndpointSlice[]): Part[] {
  const places = new Map(
    before.flatMap(slice => slice.endpoints.map(endpoint => [keyOf(endpoint), numberOf(slice)] as const)),
  )
  const parts = new Map<number, Endpoint[]>(before.map(slice => [numberOf(slice), []]))
  const added: Endpoint[] = []
  for (const endpoint of endpoints) {
    const part = parts.get(places.get(keyOf(endpoint)) ?? 0)
    if (part) part.push(endpoint)
    else added.push(endpoint)
  }
  for (const endpoint of added) {
    let part = [...parts.values()].find(({ length }) => length < MAX_ENDPOINTS)
    if (!part) parts.set(Math.max(0, ...parts.keys()) + 1, (part = []))
    part.push(endpoint)
  }
  if (parts.size === 0) parts.set(1, [])
  const all = [...parts].map(([number, part]) => ({ number, endpoints: part }))
  const full = all.filter(part => part.endpoints.length > 0)
  return (full.length > 0 ? full : all.slice(0, 1)).toSorted((a, b) => a.number - b.number)
}

const keyOf = ({ targetRef, addresses }: Endpoint): string => `${targetRef.name} ${addresses.join()}`
const numberOf = ({ metadata }: EndpointSlice): number =>
  Number(metadata.name.slice(metadata.name.lastIndexOf('-') + 1))
const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 6)
