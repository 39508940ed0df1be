// The reconcilers of what packets are judged by, of pods' devices and of the proxy's rule
// sets: the only writers of these maps. Each change of what packets are judged by raises
// the revision of the maps, by which connections are judged again.

import {
  type DatapathMaps,
  type PolicyEntry as ElementValue,
  type PolicyKey,
  type ProxyKind,
  policyElement,
  type Schema,
} from '../maps/index.ts'
import { DEFAULT_DENY, type L7Judge } from '../policy/index.ts'
import {
  endpointEntryOperations,
  ipcacheOperations,
  type OpenMap,
  podNamespaceOperations,
  policyMapOperations,
  proxyRuleSetOperations,
  type RuleSetProxy,
} from '../reconcilers/index.ts'
import { type Operations, Reconciler, type ReconcilerOptions, type Row } from '../state/index.ts'
import type { Endpoint, NumberedEntry, Tables } from '../tables/index.ts'

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

export type EngineReconcilerOptions = {
  readonly tables: Tables
  readonly datapath: JudgingMaps
  /** Takes the rules for what is said on connections; absent: nobody does. */
  readonly proxy: RuleSetProxy | undefined
  /** Called once, before the first policy is in force by which proxies judge what is said; also after a restart. */
  readonly onProxiesInUse: (() => void) | undefined
  /** Make endpoints' devices real. */
  readonly devices: Operations<Endpoint>
  readonly common: Pick<ReconcilerOptions<Row, string>, 'database' | 'clock' | 'onFailure'>
}

/** @returns the reconcilers, and what is to be called when something else that packets are judged by has changed */
export function createEngineReconcilers({
  tables,
  datapath,
  proxy,
  onProxiesInUse,
  common,
  ...options
}: EngineReconcilerOptions) {
  const { schema, maps } = datapath
  const judged = judgedState(maps.runtime, onProxiesInUse)
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
      proxy,
      wanted: number => tables.l7RuleSets.get(String(number)),
    }),
  })
  return { policyMaps, addresses, entries, podNamespaces, devices, ruleSets, onChanged }
}

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

const PROXIES: Readonly<Record<L7Judge, Exclude<ProxyKind, 'NONE'>>> = {
  http: 'HTTP',
  https: 'HTTPS',
  tls: 'TLS',
  dns: 'DNS',
  kafka: 'KAFKA',
}
