// What comes near an address and port that is no frontend: services that claim it and do
// not have it, other ports and protocols of the address, the same port elsewhere.

import { protocolName, protocolNumber } from '../../labels/index.ts'
import type { ServiceManifest } from '../../manifests/index.ts'
import type { AskedAddress, KnownService, Near, ServiceWorld } from './explanation.ts'
import { findFrontend, serviceName } from './find.ts'

/** Most services named as having the same port at another address. */
const NAMED = 5

/** Why nothing is ever translated for a service; empty where something is. */
export function nothingToTranslate(known: KnownService): Near[] {
  const { manifest } = known
  const service = serviceName(known)
  if (manifest?.proxyName !== undefined) return [{ kind: 'other-proxy', service, proxy: manifest.proxyName }]
  if (manifest?.type === 'ExternalName') return [{ kind: 'external-name', service }]
  return manifest?.headless ? [{ kind: 'headless', service }] : [{ kind: 'not-in-force', service }]
}

/** The nearest first. */
export function nearServices(world: ServiceWorld, asked: AskedAddress): Near[] {
  return [
    ...claimants(world, asked),
    ...otherProtocols(world, asked),
    ...asBackends(world, asked),
    ...otherPorts(world, asked),
    ...declaredPorts(world, asked),
    ...whoseAddress(world, asked),
    ...otherAddresses(world, asked),
  ]
}

/** Those that declare the address and port, and do not have it. */
function claimants(world: ServiceWorld, asked: AskedAddress): Near[] {
  return world.services
    .filter(({ manifest }) => manifest && claims(manifest, asked, world.node.addresses))
    .map((known): Near => {
      if (isProxied(known, asked.address)) return { kind: 'load-balancer', service: serviceName(known) }
      const [reason] = nothingToTranslate(known)
      if (reason && reason.kind !== 'not-in-force') return reason
      return { kind: 'not-in-force', service: serviceName(known) }
    })
}

const isProxied = ({ manifest }: KnownService, address: string): boolean =>
  manifest?.loadBalancerAddresses.some(({ ip, mode }) => ip === address && mode === 'Proxy') ?? false

/** Services that declare an address and port that another one has. */
export function losers(world: ServiceWorld, asked: AskedAddress): Near[] {
  const owner = findFrontend(world, asked)?.service
  if (!owner) return []
  return world.services
    .filter(known => known !== owner && !isProxied(known, asked.address))
    .filter(known => nothingToTranslate(known)[0]?.kind === 'not-in-force')
    .filter(({ manifest }) => manifest && claims(manifest, asked, world.node.addresses))
    .map(known => ({ kind: 'lost', service: serviceName(known), to: serviceName(owner) }))
}

/** Those that declare the address with other ports, and have none of them here. */
function declaredPorts(world: ServiceWorld, asked: AskedAddress): Near[] {
  return world.services.flatMap(known => {
    const { manifest, ports } = known
    if (!manifest || !declaresAddress(manifest, asked.address)) return []
    if (claims(manifest, asked, world.node.addresses)) return []
    if (ports.some(({ frontends }) => frontends.some(({ address }) => address === asked.address))) return []
    const [reason] = nothingToTranslate(known)
    if (reason && reason.kind !== 'not-in-force') return [reason]
    const texts = manifest.ports
      .filter(({ port, protocol }) => !hasOwner(world, { address: asked.address, port }, protocol))
      .map(({ port, protocol }) => `${port}/${protocol}`)
    if (texts.length === 0) return []
    return [{ kind: 'other-ports' as const, service: serviceName(known), ports: texts }]
  })
}

const hasOwner = (world: ServiceWorld, end: Omit<AskedAddress, 'protocol'>, protocol: string): boolean =>
  findFrontend(world, { ...end, protocol: protocolNumber(protocol) ?? 0 }) !== undefined

const declaresAddress = ({ clusterIps, externalIps, loadBalancerAddresses }: ServiceManifest, address: string) =>
  clusterIps.includes(address) ||
  externalIps.includes(address) ||
  loadBalancerAddresses.some(({ ip }) => ip === address)

/** Whether what is declared stands for the address and port, whoever has it in the end. */
function claims(manifest: ServiceManifest, asked: AskedAddress, nodeAddresses: readonly string[]): boolean {
  const hasAddress = declaresAddress(manifest, asked.address)
  return manifest.ports.some(({ port, nodePort, protocol }) => {
    if (protocolNumber(protocol) !== asked.protocol) return false
    return (hasAddress && port === asked.port) || (nodePort === asked.port && nodeAddresses.includes(asked.address))
  })
}

function otherProtocols({ services }: ServiceWorld, { address, port, protocol }: AskedAddress): Near[] {
  return services.flatMap(known =>
    known.ports
      .filter(each => each.protocol !== protocol)
      .filter(({ frontends }) => frontends.some(each => each.address === address && each.port === port))
      .map((each): Near => {
        return { kind: 'other-protocol', service: serviceName(known), protocol: protocolName(each.protocol) }
      }),
  )
}

function otherPorts({ services }: ServiceWorld, { address, port }: AskedAddress): Near[] {
  return services.flatMap(known => {
    const ports = known.ports.flatMap(({ frontends, protocol }) =>
      frontends
        .filter(each => each.address === address && each.port !== port)
        .map(each => `${each.port}/${protocolName(protocol)}`),
    )
    return ports.length > 0 ? [{ kind: 'other-ports' as const, service: serviceName(known), ports }] : []
  })
}

/** The address and port are a backend's own; of a headless service, that is how it is meant. */
function asBackends({ services, slices }: ServiceWorld, { address, port, protocol }: AskedAddress): Near[] {
  const named = new Set(
    slices
      .filter(
        ({ ports, endpoints }) =>
          ports.some(each => each.port === port && protocolNumber(each.protocol) === protocol) &&
          endpoints.some(({ addresses }) => addresses.includes(address)),
      )
      .map(({ namespace, service }) => `${namespace}/${service}`),
  )
  return services
    .filter(known => named.has(serviceName(known)))
    .map(known => ({ kind: known.manifest?.headless ? 'headless' : 'backend', service: serviceName(known) }))
}

function whoseAddress({ node, pods }: ServiceWorld, { address }: AskedAddress): Near[] {
  if (node.addresses.includes(address)) return [{ kind: 'node' }]
  const pod = pods.find(({ addresses, hostNetwork }) => !hostNetwork && addresses.includes(address))
  return pod ? [{ kind: 'pod', pod: `${pod.namespace}/${pod.name}` }] : []
}

function otherAddresses({ services }: ServiceWorld, { address, port, protocol }: AskedAddress): Near[] {
  return services
    .values()
    .flatMap(known =>
      known.ports
        .filter(each => each.protocol === protocol)
        .flatMap(({ frontends }) => frontends.filter(each => each.port === port && each.address !== address))
        .map((each): Near => {
          return { kind: 'other-address', service: serviceName(known), address: each.address, frontend: each.kind }
        }),
    )
    .take(NAMED)
    .toArray()
}
