// How each service stands: what is declared, whether all that it comes to on this node
// is in the kernel, and since when. Computed when somebody asks
// (controllers/service-status-view.ts).

import type { Problem } from './intent.ts'
import type { NumberedPort, Service } from './services.ts'

/**
 * `in-force`: the kernel has all that the service comes to. `outdated`: what is declared is not valid or cannot be read,
 * so an earlier version is in force. `waiting`: on its way. `failed`: the kernel did not take it; what it had of the
 * service before stays. `refused`: not valid, and nothing of it is in force. `not-translated`: there is nothing to
 * translate, as of a headless service.
 */
export type ServiceState = 'in-force' | 'outdated' | 'waiting' | 'failed' | 'refused' | 'not-translated'

export type ServiceStatus = {
  readonly namespace: string
  readonly name: string
  readonly type: Service['type'] | ''
  readonly headless: boolean
  readonly origin: Service['origin']
  readonly clusterIps: readonly string[]
  /** Of load balancers, and external IPs. */
  readonly externalAddresses: readonly string[]
  /** As kubectl prints them: `80:30080/TCP`. */
  readonly ports: readonly string[]
  readonly state: ServiceState
  /** The state in a sentence. */
  readonly message: string
  /** ISO 8601: when this agent first saw the kernel have what it has of the service now. */
  readonly since?: string
  readonly problems: readonly Pick<Problem, 'severity' | 'message' | 'file' | 'line' | 'column'>[]
  /** Addresses and ports that stand for it. */
  readonly frontends: number
  /** Pods (or addresses without one): all that are known, and those that new connections get. */
  readonly backends: { readonly known: number; readonly usable: number }
}

/** One service with everything that it comes to here. */
export type ServiceDetail = ServiceStatus & {
  readonly declared?: Pick<
    Service,
    | 'internalTrafficPolicy'
    | 'externalTrafficPolicy'
    | 'affinitySeconds'
    | 'trafficDistribution'
    | 'publishNotReadyAddresses'
    | 'loadBalancerSourceRanges'
    | 'healthCheckNodePort'
  >
  readonly entries: readonly NumberedPort[]
}

/** The columns of `service-status`, for every place that prints it. */
export const SERVICE_STATUS_COLUMNS: Readonly<Record<string, (status: ServiceStatus) => string>> = {
  NAMESPACE: status => status.namespace,
  NAME: status => status.name,
  TYPE: status => status.type,
  'CLUSTER-IP': status => status.clusterIps.join(',') || (status.headless ? 'None' : '<none>'),
  'EXTERNAL-IP': status => status.externalAddresses.join(',') || '<none>',
  'PORT(S)': status => status.ports.join(',') || '<none>',
  BACKENDS: ({ backends }) => `${backends.usable}/${backends.known}`,
  STATUS: statusText,
  SINCE: status => status.since ?? '',
}

function statusText({ state, problems }: ServiceStatus): string {
  const counted = (severity: Problem['severity']): string[] => {
    const count = problems.filter(problem => problem.severity === severity).length
    return count > 0 ? [`${count} ${severity}${count === 1 ? '' : 's'}`] : []
  }
  return [state, ...counted('error'), ...counted('warning')].join(', ')
}
