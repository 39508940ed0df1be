// Brings the node's proxy the secrets that its rules name, and no others: before rule sets
// that name them, and again when they change or the proxy is there again. What is missing
// is said in `problems`; requests that need it match no rule until it is there.

import { setTimeout as sleep } from 'node:timers/promises'
import type { ProxyClient, SecretValueRow } from '../api/index.ts'
import type { Secrets } from '../controllers/index.ts'
import { type L7RuleSet, secretsOf } from '../policy/index.ts'
import type { RuleSetProxy } from '../reconcilers/index.ts'
import type { Problem, Tables } from '../tables/index.ts'

const PATIENCE_MS = 2_000
const RETRY_MS = 1_000

export type SecretDeliveryOptions = {
  readonly client: Pick<ProxyClient, 'ruleSets' | 'changeRuleSets' | 'replaceSecrets'>
  readonly secrets: Secrets
  readonly onFailure: (error: Error) => void
}

export class SecretDelivery {
  readonly #options: SecretDeliveryOptions
  /** What the proxy has, as far as is known. */
  #delivered: string | undefined
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
    while (!signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      signal.addEventListener('abort', () => resolve(), { once: true })
      try {
        await this.#deliver(tables, [], AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]))
        await promise
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
    const named = secretsOf([...tables.l7RuleSets.all(), ...further])
    const rows: SecretValueRow[] = []
    const problems: Problem[] = []
    for (const secret of named) {
      const found = secrets.headerValue(secret)
      if ('value' in found) rows.push({ ...secret, value: found.value })
      else problems.push(problemOf(secret, found.missing))
    }
    tell(tables, problems)
    const content = JSON.stringify(rows)
    if (content === this.#delivered) return
    await client.replaceSecrets(rows, signal)
    this.#delivered = content
  }
}

const PROBLEM_ID = 'secret '

function problemOf(
  { namespace, name }: { readonly namespace: string; readonly name: string },
  missing: string,
): Problem {
  const object = `Secret ${namespace}/${name}`
  const message = `${missing}: no request matches rules for headers that name it`
  return { id: `${PROBLEM_ID}${namespace}/${name}`, severity: 'warning', object, message, file: '', line: 0, column: 0 }
}

function tell(tables: Tables, problems: readonly Problem[]): void {
  const before = tables.problems.all().filter(({ id }) => id.startsWith(PROBLEM_ID))
  const wanted = new Set(problems.map(({ id }) => id))
  const isSame =
    before.length === problems.length &&
    problems.every(({ id, message }) => tables.problems.get(id)?.message === message)
  if (isSame) return
  tables.database.write(tx => {
    for (const { id } of before) if (!wanted.has(id)) tx.delete(tables.problems, id)
    for (const row of problems) tx.put(tables.problems, row)
  })
}
