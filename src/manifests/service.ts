// Services: what users declare, as far as load balancing needs it. Core v1. What the API
// server refuses is refused here, too; the range of node ports is its own configuration
// (--service-node-port-range), so a node port outside of the usual one is a warning.

import { type Family, formatIp, parseCidr, parseIp } from '../ip/index.ts'
import { type ManifestObject, namespaceOf, type Path, type Problem } from './object.ts'
import type { TransportProtocol } from './pod.ts'
import { type ServiceSpec, serviceSchema } from './service-schema.ts'
import { specialAddress } from './special-address.ts'
import { conclude, problemOf, type Validation, validate } from './validate.ts'

export type ServicePort = {
  /** Empty where the service has one port and does not name it. */
  readonly name: string
  readonly protocol: TransportProtocol
  readonly port: number
  /** Number or name of the backends' port; EndpointSlices have resolved it already. */
  readonly targetPort: number | string
  readonly nodePort?: number
  readonly appProtocol?: string
}

/** An address that a load balancer has given to the service. */
export type LoadBalancerAddress = {
  readonly ip: string
  /** Proxy: packets come with the address of something else, so the node does not answer for it. */
  readonly mode: 'VIP' | 'Proxy'
}

export type ServiceManifest = {
  readonly namespace: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  /** RFC 3339; of two services that claim one address and port, the older has it. */
  readonly createdAt?: string
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName'
  /** `clusterIP: None`, or the label service.kubernetes.io/headless: nothing to translate. */
  readonly headless: boolean
  /** Canonical, at most one of each family; none of a headless service, and none until somebody has allocated any. */
  readonly clusterIps: readonly string[]
  /** The families that it asks for; none: who allocates decides. */
  readonly ipFamilies: readonly Family[]
  readonly ipFamilyPolicy?: 'SingleStack' | 'PreferDualStack' | 'RequireDualStack'
  readonly ports: readonly ServicePort[]
  readonly selector?: Readonly<Record<string, string>>
  /** Canonical. */
  readonly externalIps: readonly string[]
  readonly loadBalancerAddresses: readonly LoadBalancerAddress[]
  /** Canonical prefixes; none: everybody. */
  readonly loadBalancerSourceRanges: readonly string[]
  /** Names who gives out the load balancer's addresses; absent: the cluster's default. */
  readonly loadBalancerClass?: string
  /** Whether a service of type LoadBalancer gets node ports that it does not name. */
  readonly allocateNodePorts: boolean
  readonly internalTrafficPolicy: 'Cluster' | 'Local'
  readonly externalTrafficPolicy: 'Cluster' | 'Local'
  /** Of `sessionAffinity: ClientIP`, seconds. */
  readonly affinitySeconds?: number
  readonly healthCheckNodePort?: number
  readonly publishNotReadyAddresses: boolean
  readonly trafficDistribution?: string
  /** Label service.kubernetes.io/service-proxy-name: somebody else's business. */
  readonly proxyName?: string
}

/** Labels by which a service is not the node's business. */
const HEADLESS_LABEL = 'service.kubernetes.io/headless'
const PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name'

/** The API server's default range of node ports. */
const NODE_PORTS = { first: 30000, last: 32767 }

/** Reads a Service. */
export function readService(object: ManifestObject): Validation<ServiceManifest> {
  const { value, problems } = validate(serviceSchema, object)
  if (!value) return { problems }
  const { spec, status } = value
  const report = new Reporter(object, problems)
  checkPorts(spec, report)
  checkEffects(spec, report)
  const { labels, annotations, name } = object.metadata
  const clusterIps = readClusterIps(spec, report)
  const isNone = clusterIps === 'None'
  const { ipFamilyPolicy, selector, loadBalancerClass, healthCheckNodePort, trafficDistribution } = spec
  const createdAt = creationTime(object, report)
  const proxyName = labels[PROXY_NAME_LABEL]
  const service: ServiceManifest = {
    namespace: namespaceOf(object),
    name,
    labels,
    annotations,
    ...(createdAt !== undefined && { createdAt }),
    type: spec.type,
    headless: isNone || Object.hasOwn(labels, HEADLESS_LABEL),
    clusterIps: isNone || spec.type === 'ExternalName' ? [] : clusterIps,
    ipFamilies: spec.ipFamilies.map(family => (family === 'IPv4' ? 4 : 6)),
    ...(ipFamilyPolicy && { ipFamilyPolicy }),
    ports: spec.ports.map(servicePort),
    ...(selector && Object.keys(selector).length > 0 && { selector }),
    externalIps: report.addresses(spec.externalIPs, ['spec', 'externalIPs']),
    loadBalancerAddresses: loadBalancerAddresses(status.loadBalancer.ingress, report),
    loadBalancerSourceRanges: sourceRanges(spec, report),
    ...(loadBalancerClass && { loadBalancerClass }),
    allocateNodePorts: spec.allocateLoadBalancerNodePorts,
    internalTrafficPolicy: spec.internalTrafficPolicy,
    externalTrafficPolicy: spec.externalTrafficPolicy,
    ...(spec.sessionAffinity === 'ClientIP' && { affinitySeconds: spec.sessionAffinityConfig.clientIP.timeoutSeconds }),
    ...(healthCheckNodePort > 0 && { healthCheckNodePort }),
    publishNotReadyAddresses: spec.publishNotReadyAddresses,
    ...(trafficDistribution && { trafficDistribution }),
    ...(proxyName !== undefined && { proxyName }),
  }
  return conclude(service, report.problems)
}

function servicePort({ nodePort, targetPort, ...port }: ServiceSpec['ports'][number]): ServicePort {
  return { ...port, targetPort: targetPort || port.port, ...(nodePort > 0 && { nodePort }) }
}

/** Problems of one object, as they are found. */
class Reporter {
  readonly problems: Problem[]
  readonly #object: ManifestObject

  constructor(object: ManifestObject, problems: readonly Problem[]) {
    this.#object = object
    this.problems = [...problems]
  }

  error(path: Path, message: string): void {
    this.problems.push(problemOf(this.#object, 'error', path, message))
  }

  warning(path: Path, message: string): void {
    this.problems.push(problemOf(this.#object, 'warning', path, message))
  }

  /** Canonical addresses, each once. */
  addresses(texts: readonly string[], path: Path): string[] {
    const addresses = texts.flatMap((text, i) => {
      const { address, fault } = readAddress(text)
      if (fault) this.error([...path, i], `${fault}: "${text}"`)
      return address === undefined ? [] : [address]
    })
    return [...new Set(addresses)]
  }
}

/** Canonical; or what is wrong with it. */
function readAddress(text: string): { readonly address?: string; readonly fault?: string } {
  const address = parseIp(text)
  const fault = address ? specialAddress(address) : 'is not an IP address'
  return address && fault === undefined ? { address: formatIp(address.bytes) } : { fault: fault ?? '' }
}

function checkPorts({ type, ports, clusterIP }: ServiceSpec, report: Reporter): void {
  if (ports.length === 0 && type !== 'ExternalName' && clusterIP !== 'None')
    report.error(['spec', 'ports'], 'must have at least 1 item, unless the service is headless')
  const names = new Set<string>()
  const numbers = new Set<string>()
  const nodePorts = new Set<string>()
  ports.forEach(({ name, port, protocol, nodePort }, i) => {
    const path: Path = ['spec', 'ports', i]
    if (name === '' && ports.length > 1)
      report.error([...path, 'name'], 'is required where a service has several ports')
    if (name !== '' && names.has(name)) report.error([...path, 'name'], `two ports are called "${name}"`)
    if (numbers.has(`${port}/${protocol}`)) report.error([...path, 'port'], `${port}/${protocol} is there twice`)
    names.add(name)
    numbers.add(`${port}/${protocol}`)
    if (nodePort === 0) return
    if (type !== 'NodePort' && type !== 'LoadBalancer')
      report.error([...path, 'nodePort'], `is for the types NodePort and LoadBalancer, not for ${type}`)
    if (nodePorts.has(`${nodePort}/${protocol}`))
      report.error([...path, 'nodePort'], `${nodePort}/${protocol} is there twice`)
    if (nodePort < NODE_PORTS.first || nodePort > NODE_PORTS.last) report.warning([...path, 'nodePort'], ODD_NODE_PORT)
    nodePorts.add(`${nodePort}/${protocol}`)
  })
}

const ODD_NODE_PORT =
  `is outside of ${NODE_PORTS.first}-${NODE_PORTS.last}, where Kubernetes has node ports unless it is configured otherwise; ` +
  'it works, but may take a port that a process of the node uses'

/** Fields that do nothing in this combination. Who is kept out by one of them must not be let in. */
function checkEffects(spec: ServiceSpec, report: Reporter): void {
  const { type, externalTrafficPolicy, healthCheckNodePort, trafficDistribution } = spec
  const hasNodePorts = type === 'NodePort' || type === 'LoadBalancer'
  if (type === 'ExternalName' && !spec.externalName)
    report.error(['spec', 'externalName'], 'is required for type ExternalName')
  if (type !== 'LoadBalancer' && spec.loadBalancerSourceRanges.length > 0)
    report.error(['spec', 'loadBalancerSourceRanges'], `is for type LoadBalancer, not for ${type}`)
  if (externalTrafficPolicy === 'Local' && !hasNodePorts && spec.externalIPs.length === 0)
    report.warning(['spec', 'externalTrafficPolicy'], 'has no effect: no client from outside reaches the service')
  if (healthCheckNodePort > 0 && !(type === 'LoadBalancer' && externalTrafficPolicy === 'Local'))
    report.warning(
      ['spec', 'healthCheckNodePort'],
      'has no effect without type LoadBalancer and externalTrafficPolicy Local',
    )
  if (trafficDistribution && !TRAFFIC_DISTRIBUTIONS.includes(trafficDistribution))
    report.warning(
      ['spec', 'trafficDistribution'],
      `"${trafficDistribution}" is none of ${TRAFFIC_DISTRIBUTIONS.join(', ')}; it has no effect`,
    )
}

const TRAFFIC_DISTRIBUTIONS: readonly string[] = ['PreferClose', 'PreferSameZone', 'PreferSameNode']

function readClusterIps({ clusterIP, clusterIPs }: ServiceSpec, report: Reporter): 'None' | string[] {
  const written = clusterIPs.map((text, i): { text: string; path: Path } => ({ text, path: ['spec', 'clusterIPs', i] }))
  if (clusterIP && clusterIP !== clusterIPs[0]) {
    if (written.length > 0) report.error(['spec', 'clusterIP'], 'must be the first of clusterIPs')
    written.unshift({ text: clusterIP, path: ['spec', 'clusterIP'] })
  }
  if (written[0]?.text === 'None') {
    if (written.length > 1) report.error(written[1]?.path ?? [], 'must not follow None')
    return 'None'
  }
  const addresses: string[] = []
  for (const { text, path } of written) {
    const { address, fault } = readAddress(text)
    if (address === undefined) report.error(path, `${fault}${HINT_NONE[text] ?? ''}: "${text}"`)
    else if (addresses.some(other => other.includes(':') === address.includes(':')))
      report.error(path, 'is the second address of its family')
    else addresses.push(address)
  }
  return addresses
}

const HINT_NONE: Readonly<Record<string, string>> = { none: ' (did you mean "None"?)', NONE: ' (did you mean "None"?)' }

function loadBalancerAddresses(
  ingress: readonly { readonly ip?: string; readonly ipMode: LoadBalancerAddress['mode'] }[],
  report: Reporter,
): LoadBalancerAddress[] {
  const addresses = new Map<string, LoadBalancerAddress>()
  ingress.forEach(({ ip: text, ipMode: mode }, i) => {
    if (!text) return
    const { address: ip, fault } = readAddress(text)
    // Written by somebody else than the author of the service, so it must not refuse the service.
    if (ip === undefined) report.warning(['status', 'loadBalancer', 'ingress', i, 'ip'], `${fault}: "${text}"`)
    else if (!addresses.has(ip)) addresses.set(ip, { ip, mode })
  })
  return [...addresses.values()]
}

/** Kubernetes takes prefixes with host bits and with blanks around them. */
function sourceRanges({ loadBalancerSourceRanges }: ServiceSpec, report: Reporter): string[] {
  const ranges = loadBalancerSourceRanges.flatMap((text, i) => {
    const prefix = parseCidr(text.trim())
    if (prefix) return [prefix.text]
    report.error(['spec', 'loadBalancerSourceRanges', i], `is not a prefix such as 10.0.0.0/8: "${text}"`)
    return []
  })
  return [...new Set(ranges)]
}

const TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/

function creationTime(object: ManifestObject, report: Reporter): string | undefined {
  const { metadata } = object.content as { readonly metadata: Readonly<Record<string, unknown>> }
  const written = metadata.creationTimestamp ?? undefined
  if (written === undefined) return undefined
  if (typeof written === 'string' && TIME.test(written) && !Number.isNaN(Date.parse(written))) return written
  report.warning(['metadata', 'creationTimestamp'], 'is not a time such as 2026-01-31T12:00:00Z; it has no effect')
  return undefined
}
