// The status of every service, computed from the tables: those that are declared, and
// those that are refused with nothing of them in force. What it costs grows with the
// services and their backends, so it is for when somebody asks.

import { formatIp, parseIp } from '../ip/index.ts'
import { compareText } from '../manifests/index.ts'
import type { Status, Table, ViewSpec } from '../state/index.ts'
import {
  objectKey,
  type Problem,
  SERVICE_STATUS_COLUMNS,
  type Service,
  type ServiceDetail,
  type ServiceEntry,
  type ServiceState,
  type ServiceStatus,
  type Tables,
} from '../tables/index.ts'

/** What the view needs to know of the kernel. */
export type ServicesInKernel = {
  /** Status of each service's entry in the kernel. */
  readonly status: Pick<Table<Status, 'kind'>, 'get'>
  /** When the entry of a service, as it is now, was first seen there. Milliseconds since the Unix epoch. */
  readonly sinceMs: (key: string) => number | undefined
}

export function serviceStatusView(tables: Tables, kernel: ServicesInKernel): ViewSpec<ServiceStatus> {
  const { services, serviceEntries, problems } = tables
  return {
    name: 'service-status',
    from: [services, serviceEntries, problems],
    rows: () => serviceStatuses(tables, kernel),
    columns: SERVICE_STATUS_COLUMNS,
  }
}

/** Sorted by namespace and name. */
function serviceStatuses(tables: Tables, kernel: ServicesInKernel): ServiceStatus[] {
  const declared = tables.services.all().map(service => statusOf(tables, kernel, service))
  return [...declared, ...refusedServices(tables)].sort(
    (a, b) => compareText(a.namespace, b.namespace) || compareText(a.name, b.name),
  )
}

/** One service in full; undefined when there is none. */
export function serviceDetail(tables: Tables, kernel: ServicesInKernel, key: string): ServiceDetail | undefined {
  const service = tables.services.get(key)
  if (!service) {
    const refused = refusedServices(tables).find(status => objectKey(status) === key)
    return refused && { ...refused, entries: [] }
  }
  const { internalTrafficPolicy, externalTrafficPolicy, affinitySeconds, trafficDistribution } = service
  const { publishNotReadyAddresses, loadBalancerSourceRanges, healthCheckNodePort } = service
  return {
    ...statusOf(tables, kernel, service),
    declared: {
      internalTrafficPolicy,
      externalTrafficPolicy,
      publishNotReadyAddresses,
      loadBalancerSourceRanges,
      ...(affinitySeconds !== undefined && { affinitySeconds }),
      ...(trafficDistribution !== undefined && { trafficDistribution }),
      ...(healthCheckNodePort !== undefined && { healthCheckNodePort }),
    },
    entries: tables.serviceEntries.get(key)?.ports ?? [],
  }
}

function statusOf(tables: Tables, kernel: ServicesInKernel, service: Service): ServiceStatus {
  const key = objectKey(service)
  const entry = tables.serviceEntries.get(key)
  const problems = problemsOf(tables, service)
  const { namespace, name, type, headless, origin, clusterIps, externalIps, loadBalancerAddresses } = service
  const { state, message } = stateOf(tables, kernel, service, problems.some(isRefusal))
  const sinceMs = state === 'in-force' || state === 'outdated' ? kernel.sinceMs(key) : undefined
  return {
    namespace,
    name,
    type,
    headless,
    origin,
    clusterIps,
    externalAddresses: [...new Set([...loadBalancerAddresses.map(({ ip }) => ip), ...externalIps])].map(canonical),
    ports: service.ports.map(
      ({ port, nodePort, protocol }) => `${port}${nodePort === undefined ? '' : `:${nodePort}`}/${protocol}`,
    ),
    state,
    message,
    ...(sinceMs !== undefined && { since: new Date(sinceMs).toISOString() }),
    problems: problems.map(shown),
    ...countsOf(entry),
  }
}

function canonical(text: string): string {
  const address = parseIp(text)
  return address ? formatIp(address.bytes) : text
}

function countsOf(entry: ServiceEntry | undefined): Pick<ServiceStatus, 'frontends' | 'backends'> {
  const known = new Set<string>()
  const usable = new Set<string>()
  for (const backend of entry?.ports.flatMap(({ backends }) => backends) ?? []) {
    const who = backend.pod ?? backend.address
    known.add(who)
    if (backend.notForCluster === undefined || backend.notForOutside === undefined) usable.add(who)
  }
  const frontends = entry?.ports.reduce((total, port) => total + port.frontends.length, 0) ?? 0
  return { frontends, backends: { known: known.size, usable: usable.size } }
}

type Standing = { readonly state: ServiceState; readonly message: string }

function stateOf(tables: Tables, kernel: ServicesInKernel, service: Service, isOutdated: boolean): Standing {
  const key = objectKey(service)
  const because = whyNotTranslated(service)
  if (because !== undefined) return { state: 'not-translated', message: because }
  const { serviceEntries } = tables
  const entry = serviceEntries.get(key)
  const status = kernel.status.get(key)
  if (status?.kind === 'failed')
    return {
      state: 'failed',
      message: `the kernel did not take it, what it had before stays: ${status.error.message} (${status.attempts} attempts)`,
    }
  if (!entry && serviceEntries.initialized && service.clusterIps.length === 0)
    return { state: 'not-translated', message: 'it has no cluster IP yet, so nothing stands for it' }
  if (!entry || status?.kind !== 'done' || status.revision !== serviceEntries.revisionOf(key))
    return { state: 'waiting', message: 'on its way to the kernel' }
  if (isOutdated) {
    const { file, line } = service.origin
    return { state: 'outdated', message: `refused; the version of before (${file}:${line}) stays in force` }
  }
  if (entry.ports.every(({ frontends }) => frontends.length === 0))
    return { state: 'not-translated', message: 'it has no address that stands for it on this node' }
  return { state: 'in-force', message: 'in force' }
}

function whyNotTranslated({ type, headless, proxyName }: Service): string | undefined {
  if (proxyName !== undefined)
    return `the label service.kubernetes.io/service-proxy-name leaves it to another proxy, ${proxyName}`
  if (type === 'ExternalName') return 'an ExternalName is a name in DNS alone'
  return headless ? 'headless: clients get the addresses of its backends from DNS' : undefined
}

/** What is said of the service, or of all of the file that it is in. */
function problemsOf({ problems }: Tables, { namespace, name, origin }: Service): Problem[] {
  const ofObject = problems
    .by('object', `Service ${objectKey({ namespace, name })}`)
    .filter(({ about }) => about === undefined || isCoreService(about))
  return [...ofObject, ...problems.by('object', '').filter(({ file }) => file === origin.file)]
}

/** Of the kind of Kubernetes itself; other API groups have Services, too. */
const isCoreService = (about: string): boolean => about.startsWith('Service/')

/** Of the object's own text: with it, what is declared now cannot be in force. */
const isRefusal = ({ severity, about, object }: Problem): boolean =>
  severity === 'error' && (about !== undefined || object === '')

/** The Services that have errors and no version in force. */
function refusedServices({ problems, services }: Tables): ServiceStatus[] {
  const byKey = new Map<string, Problem[]>()
  for (const problem of problems.all()) {
    const { about } = problem
    if (about === undefined || !isCoreService(about)) continue
    const found = byKey.get(about)
    if (found) found.push(problem)
    else byKey.set(about, [problem])
  }
  return [...byKey].flatMap(([about, found]): ServiceStatus[] => {
    const [, namespace = '', name = ''] = about.split('/')
    const error = found.find(isRefusal)
    if (!error || services.get(objectKey({ namespace, name }))) return []
    return [
      {
        namespace,
        name,
        type: '',
        headless: false,
        origin: { file: error.file, line: error.line },
        clusterIps: [],
        externalAddresses: [],
        ports: [],
        state: 'refused',
        message: 'refused; nothing of it is in force',
        problems: found.map(shown),
        ...countsOf(undefined),
      },
    ]
  })
}

const shown = ({ severity, message, file, line, column }: Problem): ServiceStatus['problems'][number] => ({
  severity,
  message,
  file,
  line,
  column,
})
