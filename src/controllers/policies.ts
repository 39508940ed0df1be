// From what is declared to what the kernel is to have. Watches pods, namespaces,
// nodes, policies and endpoints; asks the pure engine; writes identities, addresses,
// policy maps, endpoint entries and rules. Nothing is written before every source has
// delivered: half a set of policies would open what the whole set closes.
//
// The kernel's maps cannot be exchanged all at once, so a change goes in steps
// (change-steps.ts). No packet is allowed on the way that neither the old nor the new
// state allows.

import type { IdentityAllocator, LabelSet } from '../labels/index.ts'
import { type PolicyRepository, ReferenceCounts, type References } from '../policy/index.ts'
import { type Clock, type Row, rowsEqual, systemClock, type Table, Waiters, waitForAny } from '../state/index.ts'
import type { Address, EndpointEntry, PolicyMap, Tables } from '../tables/index.ts'
import { addressProblems } from './address-problems.ts'
import { type Change, carryOut, carryOutMoves, type InForce, introduce } from './change-steps.ts'
import { closingPolicies } from './closing.ts'
import { DeclaredPolicies, NO_CHANGES, type PolicyChanges } from './declared-policies.ts'
import { endpointEntriesOf } from './endpoint-entries.ts'
import { FactReader } from './facts.ts'
import {
  type AddressFacts,
  type AddressPlan,
  type Claim,
  hostPrefix,
  outsideClaim,
  planAddresses,
} from './identities.ts'
import { IdentityHolder } from './identity-holder.ts'
import { KnownIdentities } from './known-identities.ts'
import { LearntLabels } from './learnt-labels.ts'
import type { Memory } from './memory.ts'
import { type IdentityAudience, outsideIdentitiesOf } from './outside-identities.ts'
import { PodLabels } from './pod-labels.ts'
import { PolicyRows } from './policy-rows.ts'
import { conflictProblems } from './rule-conflicts.ts'
import { Subjects } from './subjects.ts'
import { transitOf } from './transit.ts'
import { TransitMaps } from './transit-maps.ts'
import { Turns } from './turns.ts'

export type PolicyControllerOptions = {
  readonly tables: Tables
  readonly repository: PolicyRepository
  readonly allocator: IdentityAllocator
  readonly memory: Memory
  readonly ownNode: AddressFacts['ownNode']
  readonly clock?: Clock
  readonly inForce?: InForce
  /** Gives addresses of names their identities while this process is away. */
  readonly audience?: IdentityAudience | undefined
  /** Called once, after the first result was written. */
  readonly onFirstResult?: () => void
}

/**
 * How long an identity and a policy map that nobody has any more stay known: until packets that are under way and
 * events that are not read yet have gone by.
 */
const LINGER_MS = 5_000

/** How often identities that names have left are looked for, at most. */
const TIDY_EVERY_MS = 60_000

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
  readonly #known: KnownIdentities
  readonly #learntLabels = new LearntLabels()
  readonly #subjects: Subjects
  readonly #transit: TransitMaps
  readonly #reader: FactReader
  /** Those that were acted on last, and what followed from them. */
  #facts: AddressFacts | undefined
  #plan: AddressPlan | undefined
  readonly #turns = new Turns()
  /** When identities that nobody has were looked for last. */
  #tidiedMs = 0
  readonly #waiters = new Waiters()
  /** Revision of the inputs that has been acted on. */
  #doneRevision = -1

  constructor(options: PolicyControllerOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    const now = () => this.#clock.nowMs()
    this.#known = new KnownIdentities(options.repository, LINGER_MS, now)
    this.#rows = new PolicyRows(options.memory, now)
    this.#subjects = new Subjects({
      ...options,
      rows: this.#rows,
      podLabels: this.#podLabels,
      lingerMs: LINGER_MS,
      now,
    })
    this.#transit = new TransitMaps(this.#rows, LINGER_MS, now)
    this.#reader = new FactReader(options.tables, options.ownNode, options.memory)
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
  step(signal: AbortSignal): Promise<void> {
    return this.#turns.alone(() => this.#pass(signal), signal)
  }

  /** What policies name, of those in force and of those on their way. */
  get references(): References {
    return this.#references
  }

  /** Resolves when policies name something else than at a revision of the references. @throws WaitError as `caughtUp` */
  whenReferencesChange(revision: number, signal: AbortSignal): Promise<void> {
    const holds = () => this.#references.revision !== revision
    return this.#waiters.wait({ what: 'policies that name something else', holds, obstacle: () => undefined }, signal)
  }

  /**
   * Gives addresses the labels of the names that they were answered with, as the tables say it when this is carried out.
   * Where these make no new identity, that is one write for each address. Resolves when it is in force in the kernel.
   * @param addresses canonical
   * @throws WaitError when the signal is aborted first; IdentityRangeExhaustedError when no number is left
   */
  async relabel(addresses: readonly string[], signal: AbortSignal): Promise<void> {
    const { tables, inForce } = this.#options
    for (;;) {
      await this.#whenStarted(signal)
      while (this.#turns.isTaken) await this.#turns.whenFree(signal)
      const claims = this.#outsideClaims(addresses)
      const news = [...claims.values()].flatMap(claim =>
        claim && !this.#known.has(claim.labels) ? [claim.labels] : [],
      )
      if (news.length === 0) {
        const moves = [...claims].map(([prefix, claim]) => this.#identities.move(prefix, claim))
        return carryOutMoves(moves, tables, inForce, signal)
      }
      await this.#turns.alone(() => this.#introduce(news, signal), signal)
    }
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const facts = this.#reader.read()
    const policies = this.#declared.changes()
    // First identities learn to tell apart what the policies to come name: no verdict depends on that yet.
    for (const policy of policies.set) this.#references.add(policy)
    this.#waiters.release()
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

  /** By prefix, what addresses are to be that nobody of the cluster has. */
  #outsideClaims(addresses: readonly string[]): Map<string, Claim | undefined> {
    const { names } = this.#options.tables
    const claims = new Map<string, Claim | undefined>()
    for (const address of addresses) {
      const prefix = hostPrefix(address)
      const owner = this.#plan?.claims.get(prefix)?.kind
      if (owner === 'pod' || owner === 'node') continue
      const own = names.by('address', address).map(({ name }) => name)
      claims.set(prefix, outsideClaim(address, own, this.#references, this.#learntLabels))
    }
    return claims
  }

  /** Resolves when there was a change. */
  #whenStarted(signal: AbortSignal): Promise<void> {
    const holds = (): boolean => this.#facts !== undefined
    return this.#waiters.wait({ what: 'the first policies', holds, obstacle: () => undefined }, signal)
  }

  /** Puts identities that nobody has yet into the policy maps; now and then takes out those that nobody has any more. */
  async #introduce(labels: readonly LabelSet[], signal: AbortSignal): Promise<void> {
    const { tables, inForce } = this.#options
    const nowMs = this.#clock.nowMs()
    if (nowMs - this.#tidiedMs >= TIDY_EVERY_MS) {
      this.#tidiedMs = nowMs
      this.#known.retain(this.#identities.held())
    }
    for (const each of labels) this.#known.add(this.#identities.prepare(each), each)
    const after = this.#subjects.resolveAll()
    const policyMaps = [...this.#rows.policyMaps(after), ...this.#transit.plan(undefined, after, after).maps]
    const clock = this.#clock
    const change = { ...this.#named(policyMaps), policyMaps }
    await this.#toldAround(change, () => introduce(change, tables, { inForce, clock }, signal))
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
    const plan = planAddresses(facts, this.#references, this.#podLabels, this.#learntLabels)
    this.#plan = plan
    const { addresses, identities, unnumbered, release } = this.#identities.assign(plan)
    this.#known.feed(identities)
    const subjects = this.#subjects.feed(facts, this.#references)
    const entries = endpointEntriesOf(facts, subjects, plan, addresses, this.#rows)

    const before = policies.set.length + policies.outdated.length > 0 ? this.#subjects.resolveAll() : undefined
    this.#declared.feed(policies, this.#options.repository)
    const after = this.#subjects.resolveAll()
    const transit = relabels ? transitOf(this.#current(), { addresses, entries }) : undefined
    const { maps: onTheWay, ids } = this.#transit.plan(transit, before ?? after, after)
    const policyMaps = [...this.#rows.policyMaps(after), ...onTheWay]
    const moves = this.#moves(addresses, entries)
    const closing = before ? [...this.#rows.policyMaps(closingPolicies(before, after, moves)), ...onTheWay] : policyMaps
    const problems = {
      addresses: addressProblems(plan.conflicts, unnumbered),
      references: this.#declared.problems(),
      conflicts: conflictProblems(policyMaps, key => this.#options.repository.rule(key)),
    }
    const maps = [...closing, ...policyMaps]
    const named = this.#named(maps)
    return { ...named, addresses, entries, problems, closing, policyMaps, transit: ids, release }
  }

  /** Identities, and what stands behind the numbers in policy maps. */
  #named(maps: readonly PolicyMap[]): Pick<Change, 'identities' | 'rules' | 'ruleSets'> {
    const { tables, repository } = this.#options
    const rules = this.#rows.rules(
      maps,
      key => repository.rule(key),
      number => tables.rules.get(String(number)),
    )
    return { identities: this.#known.rows(), rules, ruleSets: this.#rows.ruleSets(maps) }
  }

  #carryOut(change: Change, signal: AbortSignal): Promise<void> {
    const { tables, inForce } = this.#options
    return this.#toldAround(change, () => carryOut(change, tables, { inForce, clock: this.#clock }, signal))
  }

  /** At no moment anybody else takes an identity for one that policy maps know which they do not. */
  async #toldAround({ identities }: Pick<Change, 'identities'>, carriedOut: () => Promise<void>): Promise<void> {
    const { audience } = this.#options
    const told = audience ? outsideIdentitiesOf(identities) : []
    audience?.restrict(told)
    await carriedOut()
    audience?.publish(told)
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
    const lingers = [this.#known, this.#subjects, this.#transit, this.#rows]
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
