// What the API says of names: takes what the node's DNS server learnt, tells it which
// names matter, and lists what is known with the identities that came of it.

import { createHash } from 'node:crypto'
import { ApiError, type KnownName } from '../api/index.ts'
import { hostPrefix, NAME_GRACE_MS, type NameController, type PolicyController } from '../controllers/index.ts'
import { type NamesAnswer, taughtNames } from '../dns/index.ts'
import { labelValue } from '../labels/index.ts'
import { type Clock, WaitError } from '../state/index.ts'
import type { Tables } from '../tables/index.ts'

export type NamesOptions = {
  readonly tables: Tables
  readonly controller: Pick<NameController, 'learn'>
  /** What policies name. */
  readonly policies: Pick<PolicyController, 'references' | 'whenReferencesChange'>
  readonly clock: Clock
}

export class Names {
  readonly #options: NamesOptions
  #revision: { readonly of: number; readonly text: string } | undefined

  constructor(options: NamesOptions) {
    this.#options = options
  }

  /**
   * Answers when all of it is in force. A request without names waits for a moment until the selectors are others than
   * those that it knows, so that a server hears of them at once.
   * @throws ApiError
   */
  async teach(body: unknown, signal: AbortSignal): Promise<NamesAnswer> {
    const { controller, policies } = this.#options
    const parsed = taughtNames.safeParse(body)
    if (!parsed.success) {
      const [issue] = parsed.error.issues
      throw new ApiError(400, 'BAD_REQUEST', `${issue?.path.join('.') || 'body'}: ${issue?.message}`)
    }
    try {
      await controller.learn(parsed.data.names, signal)
    } catch (cause) {
      const names = [...new Set(parsed.data.names.map(({ name }) => name))].slice(0, MOST_NAMED).join(', ')
      const reason = cause instanceof Error ? cause.message : String(cause)
      const code = cause instanceof WaitError ? 'NOT_IN_FORCE' : 'NOT_LEARNT'
      throw new ApiError(503, code, `the addresses of ${names} are not in force: ${reason}`, cause)
    }
    const isNews = (): boolean => parsed.data.selectorsRevision !== this.#selectorsRevision()
    if (parsed.data.names.length === 0) await this.#whenSelectorsChange(isNews, signal)
    const selectorsRevision = this.#selectorsRevision()
    return isNews() ? { selectorsRevision, selectors: [...policies.references.nameSelectors] } : { selectorsRevision }
  }

  /** All that is known, by name and address. */
  list(): KnownName[] {
    const { tables, clock } = this.#options
    const nowMs = clock.nowMs()
    return tables.names.all().map(({ name, address, untilMs, state, client, server }): KnownName => {
      const row = tables.addresses.get(hostPrefix(address))
      const labels = row && tables.identities.get(String(row.identity))?.labels
      const selectors = labels?.labels.flatMap(({ source, key }) => (source === 'fqdn' ? [key] : [])) ?? []
      const role = labels && labelValue(labels, 'reserved', 'world') === undefined ? row?.owner : undefined
      return {
        name,
        address,
        secondsLeft: Math.max(0, Math.ceil((untilMs - NAME_GRACE_MS - nowMs) / 1000)),
        state,
        client,
        server,
        selectors,
        ...(row && { identity: row.identity }),
        ...(role !== undefined && { owner: role }),
      }
    })
  }

  async #whenSelectorsChange(isNews: () => boolean, signal: AbortSignal): Promise<void> {
    const { policies } = this.#options
    const patience = AbortSignal.any([signal, AbortSignal.timeout(ASKED_FOR_SELECTORS_MS)])
    try {
      while (!isNews()) await policies.whenReferencesChange(policies.references.revision, patience)
    } catch (error) {
      // Nothing has changed for so long: that is an answer too.
      if (!(error instanceof WaitError)) throw error
    }
  }

  /** Of the content, so that it means the same in every run. */
  #selectorsRevision(): string {
    const { nameSelectors, revision } = this.#options.policies.references
    if (this.#revision?.of === revision) return this.#revision.text
    const text = createHash('sha256')
      .update([...nameSelectors].sort().join(' '))
      .digest('hex')
      .slice(0, 16)
    this.#revision = { of: revision, text }
    return text
  }
}

const MOST_NAMED = 5
/** The DNS server asks every second, and is patient for five. */
const ASKED_FOR_SELECTORS_MS = 3_900
