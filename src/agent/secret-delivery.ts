// Brings the node's proxy the secrets that its rules name, and no others: before rule sets
// that name them, and again when they change or the proxy is there again. What is missing
// or wrong is said in `problems`; what needs it is denied until it is there.

import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { ProxyClient, SecretValueRow } from '../api/index.ts'
import type { Secrets } from '../controllers/index.ts'
import { type L7RuleSet, secretsOf, tlsUsesOf } from '../policy/index.ts'
import type { RuleSetProxy } from '../reconcilers/index.ts'
import { objectKey, type Problem, type Tables } from '../tables/index.ts'
import { headerProblem, tellProblems, tlsProblems } from './secret-problems.ts'

const PATIENCE_MS = 2_000
const RETRY_MS = 1_000
/** Certificates expire without a change of anything. */
const REVIEW_MS = 10 * 60_000

type Delivery = { readonly rows: readonly SecretValueRow[]; readonly problems: readonly Problem[] }
type TlsDelivery = {
  /** In PEM, by Secret and key. */
  readonly keys: ReadonlyMap<string, Readonly<Record<string, string>>>
  readonly problems: readonly Problem[]
}

export type SecretDeliveryOptions = {
  readonly client: Pick<ProxyClient, 'ruleSets' | 'changeRuleSets' | 'replaceSecrets'>
  readonly secrets: Secrets
  readonly onFailure: (error: Error) => void
  /** Told when the proxy has other secrets than before. */
  readonly onDelivered?: () => void
  /** Milliseconds since the Unix epoch. */
  readonly nowMs?: () => number
}

export class SecretDelivery {
  readonly #options: SecretDeliveryOptions
  /** What the proxy has, as far as is known. */
  #delivered: readonly SecretValueRow[] | undefined
  #hasProblems = false
  #wake: () => void = () => undefined

  constructor(options: SecretDeliveryOptions) {
    this.#options = options
    options.secrets.whenChanged(() => this.#wake())
  }

  /** The proxy, for whoever brings it rule sets: secrets go before. */
  proxyFor(tables: () => Tables): RuleSetProxy {
    const { client } = this.#options
    return {
      ruleSets: signal => client.ruleSets(signal),
      changeRuleSets: async (change, signal) => {
        await this.#deliver(tables(), change.add, signal)
        return client.changeRuleSets(change, signal)
      },
    }
  }

  /** The proxy may have lost what it had. */
  refresh(): void {
    this.#delivered = undefined
    this.#wake()
  }

  /** Until the signal is aborted. */
  async run(tables: Tables, signal: AbortSignal): Promise<void> {
    if (!(await tables.l7RuleSets.whenInitialized(signal))) return
    using policies = tables.policies.watch()
    while (!signal.aborted) {
      const round = new AbortController()
      this.#wake = () => round.abort()
      const wakes = AbortSignal.any([signal, round.signal, AbortSignal.timeout(REVIEW_MS)])
      policies.take()
      try {
        await this.#deliver(tables, [], AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]))
        // Problems name rules, which may go while the proxy still has what they said.
        await (this.#hasProblems ? policies.wait(wakes) : aborted(wakes))
      } catch (error) {
        if (signal.aborted) return
        this.#options.onFailure(error as Error)
        await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined)
      }
    }
  }

  async #deliver(tables: Tables, further: readonly L7RuleSet[], signal: AbortSignal): Promise<void> {
    const { client, secrets } = this.#options
    if (!secrets.isWhole) return
    const { rows, problems } = this.#rowsFor([...tables.l7RuleSets.all(), ...further], tables)
    tellProblems(tables, problems)
    const hadProblems = this.#hasProblems
    this.#hasProblems = problems.length > 0
    if (this.#hasProblems !== hadProblems) this.#wake()
    if (isDeepStrictEqual(rows, this.#delivered)) return
    await client.replaceSecrets(rows, signal)
    this.#delivered = rows
    this.#options.onDelivered?.()
  }

  #rowsFor(sets: readonly L7RuleSet[], tables: Tables): Delivery {
    const { secrets } = this.#options
    const tls = this.#tlsItems(sets, tables)
    const problems: Problem[] = [...tls.problems]
    const rows = secretsOf(sets).flatMap(({ namespace, name, isHeaderValue }): SecretValueRow[] => {
      const secret = { namespace, name }
      const keys = tls.keys.get(objectKey(secret))
      const header = isHeaderValue ? secrets.headerValue(secret) : undefined
      if (header && 'missing' in header) problems.push(headerProblem(secret, header.missing))
      const value = header && 'value' in header ? header.value : undefined
      return value === undefined && !keys
        ? []
        : [{ ...secret, ...(value !== undefined && { value }), ...(keys && { keys }) }]
    })
    return { rows, problems }
  }

  /** A Secret with which something is wrong is given to nobody: what is left of it may mean less than all of it. */
  #tlsItems(sets: readonly L7RuleSet[], tables: Tables): TlsDelivery {
    const nowMs = this.#options.nowMs?.() ?? Date.now()
    const found = tlsUsesOf(sets).map(use => ({
      use,
      name: objectKey(use.context.secret),
      items: this.#options.secrets.tlsItems(use, nowMs),
    }))
    const keys = new Map<string, Record<string, string>>()
    const problems: Problem[] = []
    for (const { use, name, items } of found) {
      const errors = new Set(found.filter(other => other.name === name).flatMap(other => other.items.errors))
      if (errors.size === 0) keys.set(name, { ...keys.get(name), ...items.keys })
      for (const text of errors) problems.push(...tlsProblems(tables, use, { text, denies: true }))
      for (const text of items.warnings) problems.push(...tlsProblems(tables, use, { text, denies: false }))
    }
    return { keys, problems }
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
}
