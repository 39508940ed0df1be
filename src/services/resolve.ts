// From a Service and its EndpointSlices to what this node makes of them. What two
// services claim at once is settled elsewhere (claims.ts), after each is resolved alone.

import { cidrContains, ip, parseCidr } from '../ip/index.ts'
import { protocolNumber } from '../labels/index.ts'
import type { EndpointSliceManifest, ServiceManifest, ServicePort } from '../manifests/index.ts'
import { backendsOf } from './backends.ts'
import { clusterFrontends, externalFrontends, familyOf, type NodeAddresses } from './frontends.ts'
import { readOptions, type ServiceDefaults } from './options.ts'
import type { ResolvedService, ServiceBackend, ServiceFrontend, ServicePortEntry, ServiceProblem } from './resolved.ts'
import { type Candidate, choose, type TrafficPolicy, type Viewpoint } from './traffic-policy.ts'

/** The node that services are resolved for. */
export type ServiceContext = Viewpoint & NodeAddresses & ServiceDefaults

/** Ports of services of type ExternalName, without a cluster address, and of other proxies are nobody's here. */
export function resolveService(
  service: ServiceManifest,
  slices: readonly EndpointSliceManifest[],
  context: ServiceContext,
): ResolvedService {
  const { namespace, name, type, headless, proxyName, clusterIps, ports } = service
  if (type === 'ExternalName' || headless || proxyName !== undefined)
    return { namespace, name, ports: [], problems: [] }
  const { options, problems: optionProblems } = readOptions(service, context)
  const externalIps = externalIpsOf(service, context)
  const problems = [...optionProblems, ...externalIps.problems]
  if (clusterIps.length === 0) problems.push(NOT_ALLOCATED)
  problems.push(...foreignFamilies(service))
  const taken = new Set<string>()
  const entries = clusterIps.map(familyOf).flatMap(family => {
    problems.push(...unusableRanges(service, family))
    return ports.flatMap((port, index) => {
      const candidates = backendsOf(slices, port, family)
      if (candidates.length === 0 && slices.some(slice => slice.family === family && slice.endpoints.length > 0))
        problems.push(noSuchPort(port, index, family))
      return portEntries({ service: externalIps.service, port, family, candidates, context, options })
    })
  })
  const free = entries.map(entry => withoutTaken(entry, taken)).filter(({ frontends }) => frontends.length > 0)
  const healthCheck = healthCheckOf(service, slices, context)
  return { namespace, name, ports: free, ...(healthCheck && { healthCheck }), problems }
}

type PortInput = {
  readonly service: ServiceManifest
  readonly port: ServicePort
  readonly family: 4 | 6
  readonly candidates: readonly Candidate[]
  readonly context: ServiceContext
  readonly options: ServiceDefaults
}

/** Of each kind of client, by which policy it gets backends. */
type Policies = { readonly cluster: TrafficPolicy; readonly outside: TrafficPolicy }

/**
 * One entry, or two where the policies part them: the internal policy is for the cluster's own address alone, and clients
 * in the cluster who take an address that is meant for outside get all backends, whatever the external policy.
 */
function portEntries(input: PortInput): ServicePortEntry[] {
  const { service, port, family, context, options } = input
  const inside = clusterFrontends(service, port, family, options.clusterIpsFromOutside)
  const outside = externalFrontends(service, port, family, context)
  const { internalTrafficPolicy: internal, externalTrafficPolicy: external } = service
  if (outside.length === 0) return [entryOf(input, inside, { cluster: internal, outside: internal })]
  const areOne = internal === 'Cluster' && (external === 'Cluster' || !options.clusterIpsFromOutside)
  if (areOne) return [entryOf(input, [...inside, ...outside], { cluster: 'Cluster', outside: external })]
  return [
    entryOf(input, inside, { cluster: internal, outside: internal }),
    entryOf(input, outside, { cluster: 'Cluster', outside: external }, '/external'),
  ]
}

function entryOf(
  { service, port, family, candidates, context, options }: PortInput,
  frontends: readonly ServiceFrontend[],
  policies: Policies,
  suffix = '',
): ServicePortEntry {
  const cluster = choose(candidates, policies.cluster, context)
  const outside = policies.outside === policies.cluster ? cluster : choose(candidates, policies.outside, context)
  const backends = candidates.map(({ forZones: _zones, forNodes: _nodes, ...backend }, i): ServiceBackend => {
    const [notForCluster, notForOutside] = [cluster.reasons[i], outside.reasons[i]]
    return { ...backend, ...(notForCluster && { notForCluster }), ...(notForOutside && { notForOutside }) }
  })
  return {
    id: `${service.namespace}/${service.name}:${port.port}/${port.protocol}/${family}${suffix}`,
    portName: port.name,
    port: port.port,
    protocol: protocolNumber(port.protocol) ?? 0,
    family,
    frontends,
    backends,
    without: { cluster: cluster.without, outside: outside.without },
    algorithm: options.algorithm,
    affinitySeconds: service.affinitySeconds ?? 0,
    sourceRanges: service.loadBalancerSourceRanges,
    forwarding: options.forwarding,
  }
}

/** An address and port that an earlier entry of the service has already is left to that one. */
function withoutTaken(entry: ServicePortEntry, taken: Set<string>): ServicePortEntry {
  const frontends = entry.frontends.filter(({ address, port }) => {
    const key = `${address} ${port} ${entry.protocol}`
    return !taken.has(key) && taken.add(key)
  })
  return frontends.length === entry.frontends.length ? entry : { ...entry, frontends }
}

function healthCheckOf(
  { type, externalTrafficPolicy, healthCheckNodePort: port }: ServiceManifest,
  slices: readonly EndpointSliceManifest[],
  { nodeName }: Viewpoint,
): ResolvedService['healthCheck'] {
  if (type !== 'LoadBalancer' || externalTrafficPolicy !== 'Local' || port === undefined) return undefined
  const local = slices
    .flatMap(slice => (slice.weight === 0 ? [] : slice.endpoints))
    .filter(endpoint => {
      return endpoint.ready && endpoint.node === nodeName
    })
  // A pod has an address in each family, and counts once.
  return { port, localBackends: new Set(local.map(({ pod, addresses }) => pod ?? addresses[0])).size }
}

const NOT_ALLOCATED: ServiceProblem = {
  severity: 'warning',
  path: 'spec.clusterIPs',
  message: 'has no address yet; nobody reaches the service until somebody has allocated one',
}

/** Addresses of a family that the service has no cluster address of, and so no backends. */
function foreignFamilies({ clusterIps, externalIps, loadBalancerAddresses }: ServiceManifest): ServiceProblem[] {
  if (clusterIps.length === 0) return []
  const families = new Set(clusterIps.map(familyOf))
  const found = [
    ...externalIps.map((address, i) => ({ address, path: `spec.externalIPs[${i}]` })),
    ...loadBalancerAddresses.map(({ ip }, i) => ({ address: ip, path: `status.loadBalancer.ingress[${i}].ip` })),
  ]
  return found
    .filter(({ address }) => !families.has(familyOf(address)))
    .map(({ address, path }) => ({
      severity: 'warning',
      path,
      message: `${address} has no effect: the service has no IPv${familyOf(address)} cluster address`,
    }))
}

/** Ranges hold for both families together, so ranges of one family alone let nobody of the other in. */
function unusableRanges(service: ServiceManifest, family: 4 | 6): ServiceProblem[] {
  const { loadBalancerSourceRanges: ranges, loadBalancerAddresses } = service
  const hasAddress = loadBalancerAddresses.some(({ ip, mode }) => mode === 'VIP' && familyOf(ip) === family)
  if (ranges.length === 0 || !hasAddress || ranges.some(range => familyOf(range) === family)) return []
  const message = `no range is of IPv${family}, so nobody outside reaches the load balancer's IPv${family} address`
  return [{ severity: 'warning', path: 'spec.loadBalancerSourceRanges', message }]
}

/** The service with those of its external addresses that this node takes. */
function externalIpsOf(
  service: ServiceManifest,
  { externalIpRanges }: NodeAddresses,
): { readonly service: ServiceManifest; readonly problems: readonly ServiceProblem[] } {
  if (service.externalIps.length === 0 || externalIpRanges.length === 0) return { service, problems: [] }
  const ranges = externalIpRanges.flatMap(text => parseCidr(text) ?? [])
  const isTaken = (address: string): boolean => ranges.some(range => cidrContains(range, ip(address)))
  const problems = service.externalIps.flatMap((address, i): ServiceProblem[] => {
    const message = `${address} is not taken: the agent's --external-ip-range is ${externalIpRanges.join(', ')}`
    return isTaken(address) ? [] : [{ severity: 'warning', path: `spec.externalIPs[${i}]`, message }]
  })
  return { service: { ...service, externalIps: service.externalIps.filter(isTaken) }, problems }
}

function noSuchPort({ name, protocol }: ServicePort, index: number, family: 4 | 6): ServiceProblem {
  const what = name === '' ? `an unnamed ${protocol} port` : `a ${protocol} port called "${name}"`
  const message = `no IPv${family} EndpointSlice of the service has ${what}, so the port has no backends`
  return { severity: 'warning', path: `spec.ports[${index}]`, message }
}
