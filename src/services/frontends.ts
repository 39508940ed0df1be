// Under which addresses and ports a service is found on this node.

import { type Family, parseIp } from '../ip/index.ts'
import type { HostPort, ServiceManifest, ServicePort } from '../manifests/index.ts'
import type { ServiceFrontend } from './resolved.ts'

export const familyOf = (address: string): Family => (address.includes(':') ? 6 : 4)

/** Addresses of the node, canonical. */
export type NodeAddresses = {
  readonly nodeAddresses: readonly string[]
  /** Of those, the ones that answer for node ports. */
  readonly nodePortAddresses: readonly string[]
  /** Canonical prefixes that external addresses of services are taken from; none: all are. Whoever may write a Service could else take any (CVE-2020-8554). */
  readonly externalIpRanges: readonly string[]
}

export const LOOPBACK: Readonly<Record<Family, string>> = { 4: '127.0.0.1', 6: '::1' }

export function clusterFrontends(
  { clusterIps }: ServiceManifest,
  { port }: ServicePort,
  family: Family,
  isOpen: boolean,
): ServiceFrontend[] {
  const addresses = clusterIps.filter(address => familyOf(address) === family)
  return addresses.map(address => ({ address, port, kind: 'ClusterIP', reach: isOpen ? 'everybody' : 'cluster' }))
}

/** External addresses, those of load balancers that pass packets on unchanged, and node ports. */
export function externalFrontends(
  service: ServiceManifest,
  { port, nodePort }: ServicePort,
  family: Family,
  { nodePortAddresses }: NodeAddresses,
): ServiceFrontend[] {
  const everybody = (kind: ServiceFrontend['kind'], addresses: readonly string[], number: number): ServiceFrontend[] =>
    addresses
      .filter(address => familyOf(address) === family)
      .map(address => ({ address, port: number, kind, reach: 'everybody' }))
  const frontends = everybody('ExternalIP', service.externalIps, port)
  const hasNodePorts = service.type === 'NodePort' || service.type === 'LoadBalancer'
  if (service.type === 'LoadBalancer') {
    const passed = service.loadBalancerAddresses.filter(({ mode }) => mode === 'VIP').map(({ ip }) => ip)
    frontends.push(...everybody('LoadBalancer', passed, port))
  }
  if (hasNodePorts && nodePort !== undefined) {
    frontends.push(...everybody('NodePort', nodePortAddresses, nodePort))
    frontends.push({ address: LOOPBACK[family], port: nodePort, kind: 'NodePort', reach: 'node' })
  }
  return frontends
}

/** A host port without an address, or with 0.0.0.0 or ::, is on every address of the node. */
export function hostPortFrontends(
  { hostPort: port, hostIp }: HostPort,
  family: Family,
  { nodeAddresses }: NodeAddresses,
): ServiceFrontend[] {
  const isEvery = hostIp === undefined || hostIp === '0.0.0.0' || hostIp === '::'
  if (hostIp !== undefined && familyOf(hostIp) !== family) return []
  const addresses = isEvery ? nodeAddresses.filter(address => familyOf(address) === family) : [hostIp]
  const frontends = addresses.map((address): ServiceFrontend => {
    return { address, port, kind: 'HostPort', reach: isLoopback(address) ? 'node' : 'everybody' }
  })
  return isEvery ? [...frontends, { address: LOOPBACK[family], port, kind: 'HostPort', reach: 'node' }] : frontends
}

const isLoopback = (address: string): boolean => address === LOOPBACK[6] || parseIp(address)?.bytes[12] === 127
