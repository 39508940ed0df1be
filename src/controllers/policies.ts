// From what is declared to what the kernel is to have. Watches pods, namespaces,
// nodes, policies and endpoints; asks the pure engine; writes identities, addresses,
// policy maps, endpoint entries and rule numbers in one transaction. Nothing is
// written before every source has delivered: half a set of policies would open what
// the whole set closes.

import { type IdentityAllocator, type LabelSet, labelTexts, type NamedPort, namedPortKey } from '../labels/index.ts'
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
import { waitForAny } from '../state/index.ts'
import {
  type Endpoint,
  type EndpointEntry,
  type NumberedEntry,
  type NumberedRule,
  objectKey,
  type PolicyMap,
  type Problem,
  type Tables,
} from '../tables/index.ts'
import { type AddressFacts, addressFacts, baseLabels, IdentityHolder, planAddresses } from './identities.ts'
import { type Memory, ruleNumbers, StableNumbers } from './memory.ts'

export type PolicyControllerOptions = {
  readonly tables: Tables
  readonly repository: PolicyRepository
  readonly allocator: IdentityAllocator
  readonly memory: Memory
  readonly ownNode: AddressFacts['ownNode']
  /** How long a policy map that no endpoint uses any more is kept, so that it is not taken from under a packet. */
  readonly lingerMs?: number
  /** Called once, after the first result was written. */
  readonly onFirstResult?: () => void
}

/** What an endpoint's policy is resolved for. */
type Subject = { readonly key: string; readonly labels: LabelSet; readonly namedPorts: readonly NamedPort[] }

const FIRST_POLICY_ID = 1

export class PolicyController {
  readonly #options: PolicyControllerOptions
  readonly #identities: IdentityHolder
  readonly #rules: ReturnType<typeof ruleNumbers>
  readonly #policyIds: StableNumbers
  /** Policies in the repository, by key, as last set. */
  readonly #known = new Map<string, Policy>()
  /** Labels of identities in the repository. */
  #identityLabels: ReadonlyMap<number, LabelSet> = new Map()
  /** Entries with numbers, by content. */
  readonly #numbered = new Map<string, readonly NumberedEntry[]>()
  /** When a policy map was last used, by id. */
  readonly #lastUsedMs = new Map<number, number>()
  /** Labels and ports of pods that are gone from the API while their containers still run. */
  readonly #lastSubject = new Map<string, Subject>()

  constructor(options: PolicyControllerOptions) {
    this.#options = options
    this.#identities = new IdentityHolder(options.allocator)
    this.#rules = ruleNumbers(options.memory)
    this.#policyIds = new StableNumbers('policy-map', options.memory, FIRST_POLICY_ID)
  }

  async run(signal: AbortSignal): Promise<void> {
    const { pods, namespaces, nodes, policies, endpoints, ...desired } = this.#options.tables
    const inputs = [pods, namespaces, nodes, policies, endpoints]
    for (const table of inputs) if (!(await table.whenInitialized(signal))) return
    const initialized = [desired.identities, desired.addresses, desired.policyMaps, desired.endpointEntries].map(table =>
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
    const { tables, repository, ownNode } = this.#options
    this.#feedPolicies()
    const references = repository.references()
    const facts = addressFacts(tables, ownNode)
    const plan = planAddresses(facts, references)
    const { addresses, identities, release } = this.#identities.assign(plan)
    this.#feedIdentities(identities)

    const subjects = this.#subjects(facts, references)
    const identityOf = new Map(addresses.map(address => [address.prefix, address.identity]))
    const maps = this.#policyMaps(subjects.values())
    const entries = tables.endpoints.all().flatMap(endpoint => {
      const subject = subjects.get(endpoint.containerId)
      return subject ? endpointEntries(endpoint, this.#policyIds.of(subject.key), identityOf) : []
    })
    tables.database.write(tx => {
      tx.replace(
        tables.identities,
        [...identities].map(([number, labels]) => ({ number, labels })),
      )
      tx.replace(tables.addresses, addresses)
      tx.replace(tables.policyMaps, maps)
      tx.replace(tables.endpointEntries, entries)
      for (const rule of this.#ruleRows(maps)) tx.put(tables.rules, rule)
      tx.replace(tables.problems, plan.conflicts.map(conflictProblem), { index: 'file', key: CONFLICT_FILE })
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
    for (const number of this.#identityLabels.keys()) if (!identities.has(number)) repository.deleteIdentity(number)
    this.#identityLabels = identities
  }

  /** Subject of each endpoint, by container id. An endpoint whose pod was never seen has none, and gets no packet. */
  #subjects(facts: AddressFacts, references: References): Map<string, Subject> {
    const { pods, endpoints } = this.#options.tables
    const subjects = new Map<string, Subject>()
    for (const endpoint of endpoints.all()) {
      const pod = pods.get(objectKey({ namespace: endpoint.podNamespace, name: endpoint.podName }))
      const subject = pod
        ? subjectOf(baseLabels(pod, facts, references), pod.ports)
        : this.#lastSubject.get(endpoint.containerId)
      if (subject) subjects.set(endpoint.containerId, subject)
    }
    const used = new Set(Array.from(subjects.values(), subject => subject.key))
    for (const subject of this.#lastSubject.values())
      if (!used.has(subject.key)) this.#options.repository.forget(subject)
    this.#lastSubject.clear()
    for (const [containerId, subject] of subjects) this.#lastSubject.set(containerId, subject)
    return subjects
  }

  /** Maps of all subjects in use, and of those that were until a moment ago. */
  #policyMaps(subjects: Iterable<Subject>): PolicyMap[] {
    const { tables, repository, lingerMs = 5000 } = this.#options
    const maps = new Map<number, PolicyMap>()
    const nowMs = performance.now()
    for (const subject of subjects) {
      const id = this.#policyIds.of(subject.key)
      if (maps.has(id)) continue
      maps.set(id, this.#policyMap(id, subject, repository.resolve(subject)))
      this.#lastUsedMs.set(id, nowMs)
    }
    for (const map of tables.policyMaps.all()) {
      if (maps.has(map.id)) continue
      if (nowMs - (this.#lastUsedMs.get(map.id) ?? 0) < lingerMs) maps.set(map.id, map)
      else this.#lastUsedMs.delete(map.id)
    }
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

  /** Rules that today's maps carry. Rows of earlier ones stay: events may still carry their numbers. */
  *#ruleRows(maps: readonly PolicyMap[]): Generator<NumberedRule> {
    const { repository } = this.#options
    const keys = new Set<RuleKey>(maps.flatMap(map => map.entries.map(entry => entry.key)))
    for (const key of keys) yield { number: this.#rules.of(key), key, text: ruleText(key, repository.rule(key)) }
  }

  async #waitForWork(watchers: Parameters<typeof waitForAny>[0], signal: AbortSignal): Promise<boolean> {
    const { tables, lingerMs = 5000 } = this.#options
    const lingering = tables.policyMaps.size > tables.endpoints.size
    if (!lingering) return waitForAny(watchers, signal)
    await waitForAny(watchers, AbortSignal.any([signal, AbortSignal.timeout(lingerMs)]))
    return !signal.aborted
  }
}

function subjectOf(labels: LabelSet, namedPorts: readonly NamedPort[]): Subject {
  const ports = namedPorts.map(port => `${namedPortKey(port)}=${port.port}`).sort()
  return { key: [labelTexts(labels).join(' '), ...ports].join(' '), labels, namedPorts }
}

function endpointEntries(
  endpoint: Endpoint,
  policy: number,
  identityOf: ReadonlyMap<string, number>,
): EndpointEntry[] {
  const { id, ifindex, mac, containerId } = endpoint
  return endpoint.addresses.flatMap(address => {
    const identity = identityOf.get(`${address}/${address.includes(':') ? 128 : 32}`)
    return identity === undefined ? [] : [{ address, endpoint: id, ifindex, mac, identity, policy, containerId }]
  })
}

function ruleText(key: RuleKey, rule: Rule | undefined): string {
  if (key === NOT_ISOLATED) return 'open: no policy isolates this direction'
  if (key === DEFAULT_DENY) return 'default deny'
  if (!rule) return key
  const { policy, path, origin } = rule
  const name = policy.namespace ? `${policy.namespace}/${policy.name}` : policy.name
  const place = origin.file ? ` (${origin.file}:${origin.line})` : ''
  return `${policy.kind} ${name} ${path}${place}`
}

/** Problems that are about no file stand under this name. */
const CONFLICT_FILE = '(addresses)'

function conflictProblem({ prefix, owner, other }: { prefix: string; owner: string; other: string }): Problem {
  return {
    id: `conflict ${prefix} ${other}`,
    severity: 'error',
    object: other,
    message: `address ${prefix} is claimed by ${owner} and by ${other}; ${owner} keeps it`,
    file: CONFLICT_FILE,
    line: 0,
    column: 0,
  }
}
