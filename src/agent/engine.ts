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
import {
  type DatapathMaps,
  type PolicyEntry as ElementValue,
  type PolicyKey,
  type ProxyKind,
  policyElement,
  type Schema,
} from '../maps/index.ts'
import type { Namespace } from '../net/index.ts'
import { DEFAULT_DENY, type EnforcementMode, type L7Judge, PolicyRepository } from '../policy/index.ts'
import {
  endpointEntryOperations,
  ipcacheOperations,
  type OpenMap,
  podNamespaceOperations,
  policyMapOperations,
  proxyRuleSetOperations,
  type RuleSetProxy,
} from '../reconcilers/index.ts'
import {
  type Clock,
  type Operations,
  type ReconcileFailure,
  Reconciler,
  systemClock,
  type View,
} from '../state/index.ts'
import {
  createTables,
  type Endpoint,
  type NumberedEntry,
  type PodNamespace,
  type PolicyStatus,
  type ServiceStatus,
  type Tables,
} from '../tables/index.ts'
import { Endpoints } from './endpoints.ts'
import { rememberedIdentities } from './identities.ts'
import { Names } from './names.ts'
import { createServices, type ServiceDatapath, type ServiceSettings } from './services.ts'
import { whenRow } from './when-row.ts'

type Element = readonly [PolicyKey, ElementValue]

/** The maps that packets are judged by. */
export type JudgingMaps = {
  readonly schema: Schema
  readonly maps: Pick<DatapathMaps, 'policy_maps' | 'ipcache' | 'endpoints' | 'pod_namespaces' | 'runtime'>
  /** A policy map that is not in force yet. @throws MapFullError */
  createPolicyMap(elements: readonly Element[]): OpenMap
  /** Elements of the policy map under a key of `policy_maps`; undefined when there is none. */
  readPolicyMap(key: number): readonly Element[] | undefined
}

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
  const { schema, maps } = datapath
  const tables = createTables()
  const common = { database: tables.database, clock, ...(options.onFailure && { onFailure: options.onFailure }) }

  // Reconcilers: the only writers of the maps. Each change of what packets are judged by raises the revision.
  const judged = judgedState(maps.runtime, options.onProxiesInUse)
  const onChanged = () => judged.raise()
  const policyMaps = new Reconciler({
    ...common,
    name: 'policy-maps',
    table: tables.policyMaps,
    operations: policyMapOperations({
      outer: maps.policy_maps,
      createInner: elements => {
        if (elements.some(([, { proxy }]) => proxy !== 0)) judged.useProxies()
        return datapath.createPolicyMap(elements)
      },
      read: id => datapath.readPolicyMap(id),
      encode: entry => elementOf(schema, entry),
      onChanged,
    }),
  })
  const addresses = new Reconciler({
    ...common,
    name: 'addresses',
    table: tables.addresses,
    operations: ipcacheOperations(maps.ipcache, schema.ipcacheFlags.number.HOST, onChanged),
  })
  const entries = new Reconciler({
    ...common,
    name: 'endpoint-entries',
    table: tables.endpointEntries,
    operations: endpointEntryOperations(maps.endpoints, onChanged),
  })
  const podNamespaces = new Reconciler({
    ...common,
    name: 'pod-namespaces',
    table: tables.podNamespaces,
    operations: podNamespaceOperations(maps.pod_namespaces, schema.podNamespaceFlags.number.BY_PACKET),
  })
  const devices = new Reconciler({
    ...common,
    name: 'endpoint-devices',
    table: tables.endpoints,
    operations: options.devices,
  })
  const ruleSets = new Reconciler({
    ...common,
    name: 'rule-sets',
    table: tables.l7RuleSets,
    backoff: { maxMs: MAX_PROXY_RETRY_MS },
    operations: proxyRuleSetOperations({
      proxy: options.proxy,
      wanted: number => tables.l7RuleSets.get(String(number)),
    }),
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

/** Asking whether the proxy is there again costs nothing; that it has no rules denies connections. */
const MAX_PROXY_RETRY_MS = 1_000

function elementOf(schema: Schema, entry: NumberedEntry): Element {
  const audit = entry.treatment?.audit ?? entry.l7?.audit ?? false
  const l7 = entry.l7 && { proxy: PROXIES[entry.l7.judge], rules: entry.l7.number }
  return policyElement(schema, { ...entry, audit, byDefault: entry.key === DEFAULT_DENY, l7 }, entry.rule)
}

type JudgedState = {
  /** Connections judged before a change are judged again at their next packet. */
  raise(): void
  /** Before the first policy is in force that wants any. For good: what a proxy has may outlast the policy. */
  useProxies(): void
}

function judgedState(runtime: DatapathMaps['runtime'], onProxiesInUse: () => void = () => {}): JudgedState {
  let { revision, proxies } = runtime.get(0) ?? { revision: 0, proxies: 0 }
  if (proxies !== 0) onProxiesInUse()
  return {
    raise() {
      revision = (revision + 1) >>> 0
      runtime.set(0, { revision, proxies })
    },
    useProxies() {
      if (proxies !== 0) return
      onProxiesInUse()
      proxies = 1
      runtime.set(0, { revision, proxies })
    },
  }
}

/** No pod may have an address of the node, not even one that its status claims. */
function poolWithout(range: string, addresses: readonly string[]): AddressPool {
  const pool = new AddressPool(range)
  for (const address of addresses) if (pool.contains(address)) pool.claim(address)
  return pool
}

const PROXIES: Readonly<Record<L7Judge, Exclude<ProxyKind, 'NONE'>>> = {
  http: 'HTTP',
  https: 'HTTPS',
  tls: 'TLS',
  dns: 'DNS',
  kafka: 'KAFKA',
}
