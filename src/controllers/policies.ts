// From what is declared to what the kernel is to have. Watches pods, namespaces,
// nodes, policies and endpoints; asks the pure engine; writes identities, addresses,
// policy maps, endpoint entries and rules. Nothing is written before every source has
// delivered: half a set of policies would open what the whole set closes.
//
// The kernel's maps cannot be exchanged all at once, so a change goes in steps
// (change-steps.ts). No packet is allowed on the way that neither the old nor the new
// state allows.

import type { IdentityAllocator, LabelSet } from '../labels/index.ts'
import { type PolicyRepository, ReferenceCounts, type ResolvedPolicy } from '../policy/index.ts'
import { type Clock, type Row, rowsEqual, systemClock, type Table, Waiters, waitForAny } from '../state/index.ts'
import type { Address, EndpointEntry, NumberedRule, PolicyMap, Tables } from '../tables/index.ts'
import { type Change, carryOut, type InForce } from './change-steps.ts'
import { closingPolicies } from './closing.ts'
import { DeclaredPolicies, NO_CHANGES, type PolicyChanges } from './declared-policies.ts'
import { FactReader } from './facts.ts'
import {
  type AddressFacts,
  type AddressPlan,
  addressProblems,
  hostPrefix,
  IdentityHolder,
  planAddresses,
} from './identities.ts'
import { Linger } from './linger.ts'
import type { Memory } from './memory.ts'
import { auditedSubject, PodLabels, type Subject } from './pod-labels.ts'
import { PolicyRows } from './policy-rows.ts'
import { transitOf } from './transit.ts'
import { TransitMaps } from './transit-maps.ts'

export type PolicyControllerOptions = {
  readonly tables: Tables
  readonly repository: PolicyRepository
  readonly allocator: IdentityAllocator
  readonly memory: Memory
  readonly ownNode: AddressFacts['ownNode']
  readonly clock?: Clock
  readonly inForce?: InForce
  /** Called once, after the first result was written. */
  readonly onFirstResult?: () => void
}

/**
 * How long an identity and a policy map that nobody has any more stay known: until packets that are under way and
 * events that are not read yet have gone by.
 */
const LINGER_MS = 5_000

export class PolicyController {
  readonly #options: PolicyControllerOptions
  readonly #clock: Clock
  readonly #identities: IdentityHolder
  readonly #podLabels = new PodLabels()
  readonly #rows: PolicyRows
  /** Of the policies in force, and during a change of those that come too: identities tell apart what either names. */
  readonly #references = new ReferenceCounts()
  #plannedRevision = -1
  readonly #declared: DeclaredPolicies
  /** Labels of identities in the repository: those in use and those that linger. */
  readonly #identityLabels = new Map<number, LabelSet>()
  readonly #identityLinger: Linger<number>
  /** Subjects that have a policy map, by key: those in use and those that linger. */
  readonly #subjects = new Map<string, Subject>()
  readonly #subjectLinger: Linger<string>
  readonly #transit: TransitMaps
  readonly #reader: FactReader
  /** Those that were acted on last. */
  #facts: AddressFacts | undefined
  readonly #waiters = new Waiters()
  /** Revision of the inputs that has been acted on. */
  #doneRevision = -1

  constructor(options: PolicyControllerOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    const now = () => this.#clock.nowMs()
    this.#identityLinger = new Linger(LINGER_MS, now)
    this.#subjectLinger = new Linger(LINGER_MS, now)
    this.#rows = new PolicyRows(options.memory, now)
    this.#transit = new TransitMaps(this.#rows, LINGER_MS, now)
    this.#reader = new FactReader(options.tables, options.ownNode, options.memory)
    this.#subjectLinger.update(this.#rows.subjectKeys())
    this.#identities = new IdentityHolder(options.allocator)
    this.#declared = new DeclaredPolicies(options.tables)
  }

  /** Until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { identities, addresses, policyMaps, endpointEntries, rules, l7RuleSets } = this.#options.tables
    const inputs = this.#inputs()
    for (const table of inputs) if (!(await table.whenInitialized(signal))) return
    const marks = [identities, addresses, policyMaps, endpointEntries, rules, l7RuleSets].map(table =>
      table.registerInitializer('policy controller'),
    )
    const watchers = this.#watched().map(table => table.watch())
    const { services } = this.#declared
    try {
      do {
        const revision = this.#inputRevision()
        const isOfServices = services.watchers.some(watcher => watcher.ready)
        const isOfOthers = watchers.map(watcher => watcher.take().length).some(count => count > 0)
        // Nearly all changes of services concern no policy.
        if (this.#doneRevision < 0 || isOfOthers || !isOfServices || services.take()) await this.step(signal)
        if (this.#doneRevision < 0) this.#finishFirst(marks)
        this.#doneRevision = revision
        this.#waiters.release()
      } while (await this.#waitForWork([...watchers, ...services.watchers], signal))
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      this.#waiters.stop()
      for (const watcher of watchers) watcher.close()
      services.close()
    }
  }

  /**
   * Resolves when everything that the tables said at the call has been acted on here.
   * @throws WaitError when the signal is aborted first, or the controller stops
   */
  caughtUp(signal?: AbortSignal): Promise<void> {
    const revision = this.#inputRevision()
    const holds = () => this.#doneRevision >= revision
    return this.#waiters.wait({ what: 'the policy controller', holds, obstacle: () => undefined }, signal)
  }

  /** One pass: what the tables say now becomes what the kernel is to have, step by step. */
  async step(signal: AbortSignal): Promise<void> {
    const facts = this.#reader.read()
    const policies = this.#declared.changes()
    // First identities learn to tell apart what the policies to come name: no verdict depends on that yet.
    for (const policy of policies.set) this.#references.add(policy)
    if (this.#facts && this.#references.revision !== this.#plannedRevision)
      await this.#carryOut(this.#prepare(this.#facts, NO_CHANGES), signal)
    const relabels = this.#facts !== undefined
    this.#facts = facts
    await this.#carryOut(this.#prepare(facts, policies, relabels), signal)
    // What only outdated policies named need not be told apart any more.
    for (const policy of policies.outdated) this.#references.remove(policy)
    if (this.#references.revision !== this.#plannedRevision)
      await this.#carryOut(this.#prepare(facts, NO_CHANGES), signal)
  }

  #inputs() {
    const { services, endpointSlices } = this.#options.tables
    return [...this.#watched(), services, endpointSlices] as const
  }

  /** Those of which every change is acted on. */
  #watched() {
    const { pods, namespaces, nodes, policies, cidrGroups, endpoints } = this.#options.tables
    return [pods, namespaces, nodes, policies, cidrGroups, endpoints] as const
  }

  #inputRevision(): number {
    return Math.max(...this.#inputs().map(table => table.revision))
  }

  #finishFirst(marks: readonly (() => void)[]): void {
    for (const mark of marks) mark()
    this.#options.onFirstResult?.()
  }

  /** @param relabels whether pods may get other labels, so that no verdict may be asked about some old and some new ones */
  #prepare(facts: AddressFacts, policies: PolicyChanges, relabels = false): Change {
    this.#plannedRevision = this.#references.revision
    const plan = planAddresses(facts, this.#references, this.#podLabels)
    const { addresses, identities, unnumbered, release } = this.#identities.assign(plan)
    this.#feedIdentities(identities)
    const subjects = this.#feedSubjects(facts)
    const entries = this.#entries(facts, subjects, plan, addresses)

    const before = policies.set.length + policies.outdated.length > 0 ? this.#resolveAll() : undefined
    this.#declared.feed(policies, this.#options.repository)
    const after = this.#resolveAll()
    const transit = relabels ? transitOf(this.#current(), { addresses, entries }) : undefined
    const { maps: onTheWay, ids } = this.#transit.plan(transit, before ?? after, after)
    const policyMaps = [...this.#rows.policyMaps(after), ...onTheWay]
    const moves = this.#moves(addresses, entries)
    const closing = before ? [...this.#rows.policyMaps(closingPolicies(before, after, moves)), ...onTheWay] : policyMaps
    const problems = {
      addresses: addressProblems(plan.conflicts, unnumbered),
      references: this.#declared.problems(),
    }
    const known = Array.from(this.#identityLabels, ([number, labels]) => ({ number, labels }))
    const maps = [...closing, ...policyMaps]
    const named = { rules: this.#ruleRows(maps), ruleSets: this.#rows.ruleSets(maps) }
    return { identities: known, ...named, addresses, entries, problems, closing, policyMaps, transit: ids, release }
  }

  #ruleRows(maps: readonly PolicyMap[]): NumberedRule[] {
    const { tables, repository } = this.#options
    return this.#rows.rules(
      maps,
      key => repository.rule(key),
      number => tables.rules.get(String(number)),
    )
  }

  #carryOut(change: Change, signal: AbortSignal): Promise<void> {
    const { tables, inForce } = this.#options
    return carryOut(change, tables, { inForce, clock: this.#clock }, signal)
  }

  #feedIdentities(identities: ReadonlyMap<number, LabelSet>): void {
    const { repository } = this.#options
    for (const [number, labels] of identities) {
      if (this.#identityLabels.get(number)?.key === labels.key) continue
      repository.setIdentity(number, labels)
      this.#identityLabels.set(number, labels)
    }
    for (const number of this.#identityLinger.update(identities.keys()).ended) {
      repository.deleteIdentity(number)
      this.#identityLabels.delete(number)
    }
  }

  /** @returns the subject of each endpoint, by container id */
  #feedSubjects(facts: AddressFacts): ReadonlyMap<string, Subject> {
    const subjects = new Map<string, Subject>()
    for (const { endpoint, pod } of facts.endpoints) {
      const labelled = this.#podLabels.subject(pod, facts.namespaceLabels(pod.namespace), this.#references)
      const subject = facts.isAudited(pod.namespace) ? auditedSubject(labelled) : labelled
      subjects.set(endpoint.containerId, subject)
      if (!this.#subjects.has(subject.key)) this.#subjects.set(subject.key, subject)
    }
    const wanted = Array.from(subjects.values(), subject => subject.key)
    for (const key of this.#subjectLinger.update(wanted).ended) {
      const subject = this.#subjects.get(key)
      if (subject) this.#options.repository.forget(subject)
      this.#subjects.delete(key)
      this.#rows.forget(key)
    }
    return subjects
  }

  #resolveAll(): Map<Subject, ResolvedPolicy> {
    return new Map(this.#subjects.values().map(subject => [subject, this.#options.repository.resolve(subject)]))
  }

  /** An endpoint has no entry, and so gets no packet, for an address that is another's. */
  #entries(
    facts: AddressFacts,
    subjects: ReadonlyMap<string, Subject>,
    plan: AddressPlan,
    addresses: readonly Address[],
  ): EndpointEntry[] {
    const identityOf = new Map(addresses.map(({ prefix, identity }) => [prefix, identity]))
    return facts.endpoints.flatMap(({ endpoint: { id, ifindex, mac, containerId, addresses: own } }) => {
      const subject = subjects.get(containerId)
      if (!subject) return []
      const policy = this.#rows.idOf(subject)
      return own.flatMap(address => {
        const prefix = hostPrefix(address)
        const identity = plan.claims.get(prefix)?.endpoint === containerId ? identityOf.get(prefix) : undefined
        return identity === undefined ? [] : [{ address, endpoint: id, ifindex, mac, identity, policy, containerId }]
      })
    })
  }

  /** What the kernel is to have until now. */
  #current() {
    const { addresses, endpointEntries } = this.#options.tables
    return { addresses: addresses.all(), entries: endpointEntries.all() }
  }

  #moves(addresses: readonly Address[], entries: readonly EndpointEntry[]): boolean {
    const { tables } = this.#options
    return differs(tables.addresses, addresses) || differs(tables.endpointEntries, entries)
  }

  /** Until an input changes, or what lingers has ended. */
  async #waitForWork(watchers: Parameters<typeof waitForAny>[0], signal: AbortSignal): Promise<boolean> {
    const lingers = [this.#identityLinger, this.#subjectLinger, this.#transit, this.#rows]
    const ends = lingers.map(linger => linger.nextEndMs()).filter(end => end !== undefined)
    const ended = new AbortController()
    const delayMs = Math.min(...ends) - this.#clock.nowMs()
    const cancel = ends.length > 0 ? this.#clock.setTimer(delayMs, () => ended.abort()) : () => undefined
    await waitForAny(watchers, AbortSignal.any([signal, ended.signal]))
    cancel()
    return !signal.aborted
  }
}

function differs<R extends Row>(table: Table<R>, rows: readonly R[]): boolean {
  const isThere = (row: R): boolean => {
    const known = table.get(table.spec.key(row))
    return known !== undefined && rowsEqual(known, row)
  }
  return table.size !== rows.length || !rows.every(isThere)
}
