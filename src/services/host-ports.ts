// Host ports of a pod of this node: ports of the node that lead to the pod alone, as long
// as it has addresses, whether it is ready or not. Entries like those of services.

import type { Family } from '../ip/index.ts'
import { protocolNumber } from '../labels/index.ts'
import type { HostPort, PodManifest } from '../manifests/index.ts'
import { familyOf, hostPortFrontends } from './frontends.ts'
import type { ServiceContext } from './resolve.ts'
import type { ResolvedService, ServicePortEntry } from './resolved.ts'

export type HostPortPod = Pick<PodManifest, 'namespace' | 'name' | 'hostPorts'> & {
  /** Canonical; at most one of each family. */
  readonly addresses: readonly string[]
}

/** Name of what a pod's host ports come to. No object can be called so. */
const hostPortName = (pod: string): string => `${pod}:host-ports`

/**
 * The same host port of another protocol or another host address is another one. Of two of one pod on one address and port,
 * the first has it.
 */
export function resolveHostPorts(pod: HostPortPod, context: ServiceContext): ResolvedService {
  const name = hostPortName(pod.name)
  const taken = new Set<string>()
  const ports = pod.hostPorts.flatMap(hostPort =>
    pod.addresses.flatMap(address => {
      const entry = entryOf({ pod, hostPort, address }, familyOf(address), context)
      const frontends = entry.frontends.filter(frontend => {
        const key = `${frontend.address} ${frontend.port} ${entry.protocol}`
        return !taken.has(key) && taken.add(key)
      })
      return frontends.length > 0 ? [{ ...entry, frontends }] : []
    }),
  )
  return { namespace: pod.namespace, name, ports, problems: [] }
}

function entryOf(
  { pod, hostPort, address }: { pod: HostPortPod; hostPort: HostPort; address: string },
  family: Family,
  context: ServiceContext,
): ServicePortEntry {
  const { hostPort: port, hostIp, protocol, containerPort } = hostPort
  const state = { ready: true, serving: true, terminating: false, weight: 1 }
  const place = { node: context.nodeName, ...(context.zone !== undefined && { zone: context.zone }) }
  return {
    id: `${pod.namespace}/${hostPortName(pod.name)}:${port}/${protocol}/${family}${hostIp === undefined ? '' : `/${hostIp}`}`,
    portName: '',
    port,
    protocol: protocolNumber(protocol) ?? 0,
    family,
    frontends: hostPortFrontends(hostPort, family, context),
    backends: [{ address, port: containerPort, pod: `${pod.namespace}/${pod.name}`, ...place, ...state }],
    without: { cluster: 'reject', outside: 'reject' },
    algorithm: 'random',
    affinitySeconds: 0,
    sourceRanges: [],
    forwarding: context.forwarding,
  }
}
