// What the API says of names: takes what the node's DNS server learnt, tells it which
// names matter, and lists what is known with the identities that came of it.

import { createHash } from 'node:crypto'
import { ApiError, type KnownName } from '../api/index.ts'
import { hostPrefix, type NameController } from '../controllers/index.ts'
import { type NamesAnswer, taughtNames } from '../dns/index.ts'
import { labelValue } from '../labels/index.ts'
import type { References } from '../policy/index.ts'
import { type Clock, WaitError } from '../state/index.ts'
import type { Tables } from '../tables/index.ts'

export type NamesOptions = {
  readonly tables: Tables
  readonly controller: Pick<NameController, 'learn'>
  /** What policies name. */
  readonly references: References
  readonly clock: Clock
}

export class Names {
  readonly #options: NamesOptions
  #revision: { readonly of: number; readonly text: string } | undefined

  constructor(options: NamesOptions) {
    this.#options = options
  }

  /** Answers when all of it is in force. @throws ApiError */
  async teach(body: unknown, signal: AbortSignal): Promise<NamesAnswer> {
    const { controller, references } = this.#options
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
    const selectorsRevision = this.#selectorsRevision()
    if (parsed.data.selectorsRevision === selectorsRevision) return { selectorsRevision }
    return { selectorsRevision, selectors: [...references.nameSelectors] }
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
        secondsLeft: Math.max(0, Math.ceil((untilMs - nowMs) / 1000)),
        state,
        client,
        server,
        selectors,
        ...(row && { identity: row.identity }),
        ...(role !== undefined && { owner: role }),
      }
    })
  }

  /** Of the content, so that it means the same in every run. */
  #selectorsRevision(): string {
    const { nameSelectors, revision } = this.#options.references
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
