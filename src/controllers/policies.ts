// From what is declared to what the kernel is to have. Watches pods, namespaces,
// nodes, policies and endpoints; asks the pure engine; writes identities, addresses,
// policy maps, endpoint entries and rule numbers in one transaction. Nothing is
// written before every source has delivered: half a set of policies would open what
// the whole set closes.

import type { IdentityAllocator, LabelSet } from '../labels/index.ts'
import {
  DEFAULT_DENY,
  NOT_ISOLATED,
  type Policy,
  type PolicyRepository,
  policyKey,
  type References,
  type ResolvedPolicy,
  type Rule,
  type RuleKey,
} from '../policy/index.ts'
import { type Clock, systemClock, waitForAny } from '../state/index.ts'
import {
  type Address,
  type Endpoint,
  type EndpointEntry,
  type NumberedEntry,
  type NumberedRule,
  objectKey,
  type Pod,
  type PolicyMap,
  type Tables,
} from '../tables/index.ts'
import {
  ADDRESSES_FILE,
  type AddressFacts,
  addressFacts,
  addressProblems,
  IdentityHolder,
  planAddresses,
  podOwner,
} from './identities.ts'
import { Linger } from './linger.ts'
import { type Memory, ruleNumbers, StableNumbers } from './memory.ts'
import { PodLabels, type Subject } from './pod-labels.ts'

export type PolicyControllerOptions = {
  readonly tables: Tables
  readonly repository: PolicyRepository
  readonly allocator: IdentityAllocator
  readonly memory: Memory
  readonly ownNode: AddressFacts['ownNode']
  readonly clock?: Clock
  /** Called once, after the first result was written. */
  readonly onFirstResult?: () => void
}

const FIRST_POLICY_ID = 1

/**
 * How long an identity and a policy map that nobody has any more stay known. Policy maps are written before the entries
 * that lead to them, so at a change packets meet new policies with old identities for a moment.
 */
const LINGER_MS = 5_000

/** How long the text of a rule that no map has any more is kept: longer than a tracked connection can carry its number. */
const RULE_LINGER_MS = 3 * 60 * 60_000

export class PolicyController {
  readonly #options: PolicyControllerOptions
  readonly #identities: IdentityHolder
  readonly #podLabels = new PodLabels()
  readonly #rules: ReturnType<typeof ruleNumbers>
  readonly #policyIds: StableNumbers
  /** Policies in the repository, by key, as last set. */
  readonly #known = new Map<string, Policy>()
  /** Labels of identities in the repository. */
  #identityLabels: ReadonlyMap<number, LabelSet> = new Map()
  /** Entries with numbers, by content. */
  readonly #numbered = new Map<string, readonly NumberedEntry[]>()
  readonly #clock: Clock
  readonly #identityLinger: Linger<number>
  readonly #mapLinger: Linger<number>
  readonly #ruleLinger: Linger<number>
  /** Whether something will have to be taken away when its time has ended. */
  #isLingering = false
  /** Pod of each endpoint, by container id: as the API has it or, while its containers outlive it there, had it last. */
  #podOf: ReadonlyMap<string, Pod> = new Map()
  /** What the repository resolves policy for, by key. */
  #resolved: ReadonlyMap<string, Subject> = new Map()

  constructor(options: PolicyControllerOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    const now = () => this.#clock.nowMs()
    this.#identityLinger = new Linger(LINGER_MS, now)
    this.#mapLinger = new Linger(LINGER_MS, now)
    this.#ruleLinger = new Linger(RULE_LINGER_MS, now)
    this.#identities = new IdentityHolder(options.allocator)
    this.#rules = ruleNumbers(options.memory)
    this.#policyIds = new StableNumbers('policy-map', options.memory, FIRST_POLICY_ID)
    // What an earlier run gave numbers to, and nothing wants any more, is let go of like all else.
    this.#mapLinger.update(this.#policyIds.numbers())
    this.#ruleLinger.update(this.#rules.numbers())
  }

  async run(signal: AbortSignal): Promise<void> {
    const { pods, namespaces, nodes, policies, endpoints, ...desired } = this.#options.tables
    const inputs = [pods, namespaces, nodes, policies, endpoints]
    for (const table of inputs) if (!(await table.whenInitialized(signal))) return
    const { identities, addresses, policyMaps, endpointEntries, rules } = desired
    const initialized = [identities, addresses, policyMaps, endpointEntries, rules].map(table =>
      table.registerInitializer('policy controller'),
    )
    const watchers = inputs.map(table => table.watch())
    try {
      this.step()
      for (const mark of initialized) mark()
      this.#options.onFirstResult?.()
      do {
        for (const watcher of watchers) watcher.take()
        this.step()
      } while (await this.#waitForWork(watchers, signal))
    } finally {
      for (const watcher of watchers) watcher.close()
    }
  }

  /** One synchronous pass: what the tables say now becomes what the kernel is to have. */
  step(): void {
    const { tables, repository } = this.#options
    this.#feedPolicies()
    const references = repository.references()
    const facts = this.#facts()
    const plan = planAddresses(facts, references, this.#podLabels)
    const { addresses, identities, refused, release } = this.#identities.assign(plan)
    this.#feedIdentities(identities)

    const subjects = this.#subjects(facts, references)
    const addressOf = new Map(addresses.map(address => [address.prefix, address]))
    const maps = this.#policyMaps(subjects.values())
    const entries = tables.endpoints.all().flatMap(endpoint => {
      const subject = subjects.get(endpoint.containerId)
      return subject ? endpointEntries(endpoint, this.#policyIds.of(subject.key), addressOf) : []
    })
    tables.database.write(tx => {
      tx.replace(
        tables.identities,
        [...identities].map(([number, labels]) => ({ number, labels })),
      )
      tx.replace(tables.addresses, addresses)
      tx.replace(tables.policyMaps, maps)
      tx.replace(tables.endpointEntries, entries)
      tx.replace(tables.rules, this.#ruleRows(maps))
      tx.replace(tables.problems, addressProblems(plan.conflicts, refused), { index: 'file', key: ADDRESSES_FILE })
    })
    release()
  }

  #feedPolicies(): void {
    const { tables, repository } = this.#options
    const current = new Set<string>()
    for (const { rules } of tables.policies.all()) {
      const key = policyKey(rules.ref)
      current.add(key)
      if (this.#known.get(key) === rules) continue
      repository.setPolicy(rules)
      this.#known.set(key, rules)
    }
    for (const [key, { ref }] of this.#known)
      if (!current.has(key)) {
        repository.deletePolicy(ref)
        this.#known.delete(key)
      }
  }

  #feedIdentities(identities: ReadonlyMap<number, LabelSet>): void {
    const { repository } = this.#options
    for (const [number, labels] of identities)
      if (this.#identityLabels.get(number)?.key !== labels.key) repository.setIdentity(number, labels)
    const { lingering, ended } = this.#identityLinger.update(identities.keys())
    for (const number of ended) repository.deleteIdentity(number)
    this.#isLingering = lingering.length > 0
    const kept = lingering.flatMap(number => {
      const labels = this.#identityLabels.get(number)
      return labels ? [[number, labels] as const] : []
    })
    this.#identityLabels = new Map([...identities, ...kept])
  }

  /** What the tables say. A pod that is gone from the API counts until its containers have ended, so that they can end well. */
  #facts(): AddressFacts {
    const { tables, ownNode } = this.#options
    const facts = addressFacts(tables, ownNode)
    const pods = new Map(facts.pods.map(pod => [objectKey(pod), pod]))
    const podOf = new Map<string, Pod>()
    for (const { containerId, podNamespace: namespace, podName: name } of facts.endpoints) {
      const key = objectKey({ namespace, name })
      const pod = pods.get(key) ?? this.#podOf.get(containerId)
      if (!pod) continue
      pods.set(key, pod)
      podOf.set(containerId, pod)
    }
    this.#podOf = podOf
    return { ...facts, pods: [...pods.values()] }
  }

  /** Subject of each endpoint, by container id. An endpoint whose pod was never seen has none, and gets no packet. */
  #subjects(facts: AddressFacts, references: References): Map<string, Subject> {
    const subjects = new Map<string, Subject>()
    for (const [containerId, pod] of this.#podOf)
      subjects.set(containerId, this.#podLabels.subject(pod, facts.namespaceLabels(pod.namespace), references))
    const resolved = new Map(Array.from(subjects.values(), subject => [subject.key, subject]))
    for (const [key, subject] of this.#resolved) if (!resolved.has(key)) this.#options.repository.forget(subject)
    this.#resolved = resolved
    return subjects
  }

  /** Maps of all subjects in use, and of those that were until a moment ago. */
  #policyMaps(subjects: Iterable<Subject>): PolicyMap[] {
    const { tables, repository } = this.#options
    const maps = new Map<number, PolicyMap>()
    for (const subject of subjects) {
      const id = this.#policyIds.of(subject.key)
      if (!maps.has(id)) maps.set(id, this.#policyMap(id, subject, repository.resolve(subject)))
    }
    const { lingering, ended } = this.#mapLinger.update(maps.keys())
    for (const id of lingering) {
      const map = tables.policyMaps.get(String(id))
      if (map) maps.set(id, map)
    }
    for (const id of ended) this.#policyIds.forget(id)
    this.#isLingering ||= lingering.length > 0
    this.#forgetUnused(maps.values())
    return [...maps.values()]
  }

  #policyMap(id: number, subject: Subject, resolved: ResolvedPolicy): PolicyMap {
    let entries = this.#numbered.get(resolved.key)
    if (!entries) {
      entries = resolved.entries.map(({ rule, ...entry }) => ({ ...entry, key: rule, rule: this.#rules.of(rule) }))
      this.#numbered.set(resolved.key, entries)
    }
    return { id, subject: subject.key, entries, contentKey: resolved.key, isolatedBy: resolved.isolatedBy }
  }

  #forgetUnused(maps: Iterable<PolicyMap>): void {
    const used = new Set(Array.from(maps, map => map.contentKey))
    for (const key of this.#numbered.keys()) if (!used.has(key)) this.#numbered.delete(key)
  }

  /** Rules that today's maps carry, and those that events may still carry. */
  #ruleRows(maps: readonly PolicyMap[]): NumberedRule[] {
    const { repository, tables } = this.#options
    const rows = new Map<number, NumberedRule>()
    for (const entry of maps.flatMap(map => map.entries)) {
      if (rows.has(entry.rule)) continue
      const old = tables.rules.get(String(entry.rule))
      const text = ruleText(entry.key, repository.rule(entry.key)) ?? old?.text ?? entry.key
      rows.set(entry.rule, { number: entry.rule, key: entry.key, text })
    }
    const { lingering, ended } = this.#ruleLinger.update(rows.keys())
    for (const number of ended) this.#rules.forget(number)
    const kept = lingering.flatMap(number => tables.rules.get(String(number)) ?? [])
    return [...rows.values(), ...kept]
  }

  /** Until an input changes or, where something lingers, its time may have ended. */
  async #waitForWork(watchers: Parameters<typeof waitForAny>[0], signal: AbortSignal): Promise<boolean> {
    const ended = new AbortController()
    const cancel = this.#isLingering ? this.#clock.setTimer(LINGER_MS, () => ended.abort()) : () => undefined
    await waitForAny(watchers, AbortSignal.any([signal, ended.signal]))
    cancel()
    return !signal.aborted
  }
}

/** None for an address that somebody else has: with its entry the pod would get that one's identity and traffic. */
function endpointEntries(
  { id, ifindex, mac, containerId, podNamespace, podName, addresses }: Endpoint,
  policy: number,
  addressOf: ReadonlyMap<string, Address>,
): EndpointEntry[] {
  const owner = podOwner({ namespace: podNamespace, name: podName })
  return addresses.flatMap(address => {
    const claimed = addressOf.get(`${address}/${address.includes(':') ? 128 : 32}`)
    if (claimed?.owner !== owner) return []
    return [{ address, endpoint: id, ifindex, mac, identity: claimed.identity, policy, containerId }]
  })
}

function ruleText(key: RuleKey, rule: Rule | undefined): string | undefined {
  if (key === NOT_ISOLATED) return 'open: no policy isolates this direction'
  if (key === DEFAULT_DENY) return 'default deny'
  if (!rule) return undefined
  const { policy, path, origin } = rule
  const name = policy.namespace ? `${policy.namespace}/${policy.name}` : policy.name
  const place = origin.file ? ` (${origin.file}:${origin.line})` : ''
  return `${policy.kind} ${name} ${path}${place}`
}
