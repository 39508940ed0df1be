// The inside of an agent, put together by hand: tables, the controllers that fill them
// and the reconcilers that make them real. It knows neither sources nor devices nor the
// API; the maps it writes may be the kernel's or in memory.

import {
  AddressPool,
  type IdentityAudience,
  IntentController,
  type Memory,
  NameController,
  type NameControllerOptions,
  PodNamespaceController,
  PolicyController,
  PolicyStatusController,
  policyStatusView,
  type Secrets,
  type ServicesInKernel,
  serviceStatusView,
} from '../controllers/index.ts'
import type { Namespace } from '../net/index.ts'
import { type EnforcementMode, PolicyRepository } from '../policy/index.ts'
import type { RuleSetProxy } from '../reconcilers/index.ts'
import {
  type Clock,
  type Operations,
  type ReconcileFailure,
  type Reconciler,
  systemClock,
  type View,
} from '../state/index.ts'
import {
  createTables,
  type Endpoint,
  type PodNamespace,
  type PolicyStatus,
  type ServiceStatus,
  type Tables,
} from '../tables/index.ts'
import { Endpoints } from './endpoints.ts'
import { createEngineReconcilers, type JudgingMaps } from './engine-reconcilers.ts'
import { rememberedIdentities } from './identities.ts'
import { Names } from './names.ts'
import { createServices, type ServiceDatapath, type ServiceSettings } from './services.ts'
import { whenRow } from './when-row.ts'

/** All maps that are written. */
export type WrittenMaps = JudgingMaps & ServiceDatapath

export type EngineOptions = {
  /** Name and addresses of the node, canonical. */
  readonly node: { readonly name: string; readonly addresses: readonly string[] }
  readonly podCidrs: readonly string[]
  readonly policyEnforcement?: EnforcementMode
  /** Whether connections to services are translated in sockets on this node. */
  readonly translatesInSockets: boolean
  /** Where the connections of pods that do not ask are translated. */
  readonly podTranslation: PodNamespace['translation']
  /** Called when backends of services are gone from the kernel's map. */
  readonly onBackendsGone?: () => void
  /** How long what DNS taught holds, and how much of it is kept. */
  readonly names: Pick<
    NameControllerOptions,
    'minimumTtlSeconds' | 'addressesPerName' | 'usedAddresses' | 'taughtBefore'
  >
  /** Gives addresses of names their identities while this process is away. */
  readonly audience?: IdentityAudience
  /** What outlives the process. */
  readonly memory: Memory
  readonly datapath: WrittenMaps
  readonly services: ServiceSettings
  /** Called once, before the first policy is in force by which proxies judge what is said; also after a restart. */
  readonly onProxiesInUse?: () => void
  /** Takes the rules for what is said on connections; absent: nobody does. */
  readonly proxy?: RuleSetProxy | undefined
  /** Where declared secrets are kept; absent: nowhere that anybody sees. */
  readonly secrets?: Secrets
  /** Make endpoints' devices real. */
  readonly devices: Operations<Endpoint>
  readonly clock?: Clock
  readonly onFailure?: (failure: ReconcileFailure) => void
  /** The number by which BPF programs know a network namespace. Default: the kernel's. */
  readonly namespaceCookie?: (namespace: Namespace) => bigint
  /** The MAC address of a new pod. Default: a random one. */
  readonly newMac?: () => string
}

type ReconcilerName =
  | 'policy-maps'
  | 'addresses'
  | 'endpoint-entries'
  | 'pod-namespaces'
  | 'endpoint-devices'
  | 'service-entries'
  | 'rule-sets'

type AnyReconciler = Pick<Reconciler<object>, 'status' | 'refresh' | 'metrics'>

export type Engine = {
  readonly tables: Tables
  /** For the source of objects. */
  readonly intent: IntentController
  readonly endpoints: Endpoints
  readonly names: Names
  readonly policyStatus: View<PolicyStatus>
  readonly serviceStatus: View<ServiceStatus>
  readonly servicesInKernel: ServicesInKernel
  readonly reconcilers: Readonly<Record<ReconcilerName, AnyReconciler>>
  /** Until the signal is aborted. The maps stay as they are. */
  run(signal: AbortSignal): Promise<void>
  /** Resolves when everything that is declared at the call has been tried in the kernel. */
  attempted(signal?: AbortSignal): Promise<void>
}

export function createEngine(options: EngineOptions): Engine {
  const { datapath, memory, node, clock = systemClock } = options
  const { maps } = datapath
  const tables = createTables()
  const common = { database: tables.database, clock, ...(options.onFailure && { onFailure: options.onFailure }) }

  const { onChanged, policyMaps, addresses, entries, podNamespaces, devices, ruleSets } = createEngineReconcilers({
    tables,
    datapath,
    proxy: options.proxy,
    onProxiesInUse: options.onProxiesInUse,
    devices: options.devices,
    common,
  })
  const services = createServices({
    tables,
    node,
    settings: options.services,
    datapath,
    memory,
    clock,
    onChanged,
    onBackendsGone: options.onBackendsGone,
    common,
  })

  // Controllers: from what is declared to what the maps are to have.
  const allocator = rememberedIdentities(memory, () => clock.nowMs())
  const policies = new PolicyController({
    tables,
    repository: new PolicyRepository({
      enforcement: options.policyEnforcement ?? 'default',
      triesRequests: options.proxy !== undefined,
    }),
    allocator,
    memory,
    ownNode: node,
    clock,
    inForce: {
      ruleSets: signal => ruleSets.attempted(signal),
      policyMaps: signal => policyMaps.attempted(signal),
      addresses: async signal => void (await Promise.all([addresses.attempted(signal), entries.attempted(signal)])),
      address: (prefix, signal) => addresses.waitFor(prefix, tables.addresses.revisionOf(prefix) ?? 0, signal),
    },
    audience: options.audience,
    onFirstResult: () => allocator.releaseUnclaimed(),
  })
  const names = new NameController({
    ...options.names,
    tables,
    memory,
    policies,
    podCidrs: options.podCidrs,
    nodeAddresses: node.addresses,
    clock,
    onFailure: error =>
      options.onFailure?.({ reconciler: 'names', operation: 'prune', error, attempts: 1, retryInMs: NAME_RETRY_MS }),
  })
  const policyStatus = new PolicyStatusController({
    tables,
    memory,
    clock,
    mapStatus: policyMaps.status,
    revision: () => maps.runtime.get(0)?.revision ?? 0,
    async attempted(signal) {
      await policies.caughtUp(signal)
      await Promise.all([policyMaps, addresses, entries].map(reconciler => reconciler.attempted(signal)))
    },
  })
  const podTranslation = new PodNamespaceController({
    tables,
    translatesInSockets: options.translatesInSockets,
    byDefault: options.podTranslation,
  })
  const endpoints = new Endpoints({
    tables,
    memory,
    pools: options.podCidrs.map(range => poolWithout(range, node.addresses)),
    policyMaps,
    devices,
    entries,
    whenTranslated: async ({ networkNamespaceCookie: cookie, id }, signal) => {
      const row = await whenRow(tables.podNamespaces, cookie, found => found?.endpoint === id, signal)
      if (row) await podNamespaces.waitFor(cookie, tables.podNamespaces.revisionOf(cookie) ?? 0, signal)
      else throw new Error('it was not said where its services are translated')
    },
    ...(options.namespaceCookie && { namespaceCookie: options.namespaceCookie }),
    ...(options.newMac && { newMac: options.newMac }),
  })

  const reconcilers = {
    'policy-maps': policyMaps,
    addresses,
    'endpoint-entries': entries,
    'pod-namespaces': podNamespaces,
    'endpoint-devices': devices,
    'service-entries': services.reconciler,
    'rule-sets': ruleSets,
  }
  return {
    tables,
    intent: new IntentController(tables, 'files', memory, options.secrets),
    endpoints,
    names: new Names({ tables, controller: names, policies, clock }),
    policyStatus: tables.database.addView(
      policyStatusView(tables, {
        maps: policyMaps.status,
        ruleSets: ruleSets.status,
        triesRequests: options.proxy !== undefined,
      }),
    ),
    serviceStatus: tables.database.addView(serviceStatusView(tables, services.inKernel)),
    servicesInKernel: services.inKernel,
    reconcilers,
    async run(signal) {
      const controllers = [policies, names, policyStatus, podTranslation, services].map(controller =>
        controller.run(signal),
      )
      await Promise.all([...controllers, ...Object.values(reconcilers).map(reconciler => reconciler.run(signal))])
    },
    async attempted(signal) {
      await Promise.all([policies.caughtUp(signal), services.caughtUp(signal)])
      await Promise.all(Object.values(reconcilers).map(reconciler => reconciler.attempted(signal)))
    },
  }
}

/** Until names that have expired are looked for again. */
const NAME_RETRY_MS = 5_000

/** No pod may have an address of the node, not even one that its status claims. */
function poolWithout(range: string, addresses: readonly string[]): AddressPool {
  const pool = new AddressPool(range)
  for (const address of addresses) if (pool.contains(address)) pool.claim(address)
  return pool
}
