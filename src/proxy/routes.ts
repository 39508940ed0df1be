// What the API of the proxy answers (docs/design/l7.md). A change of rule sets is kept
// first, then told to the servers that it is for, then answered when they judge by it.

import { z } from 'zod'
import { ApiError, type ProxyStatus, type Route, type RuleSetsAnswer, type StoredRuleSets } from '../api/index.ts'
// Not by the face of the area, which is all of the policy engine: a supervisor is to be small.
import { secretsOf } from '../policy/engine/secrets.ts'
import type { L7RuleSet } from '../policy/index.ts'
import type { RuleSetChange, RuleSetFailure } from './child.ts'
import type { EventLog } from './event-log.ts'
import { hasTlsContext } from './haproxy-launcher.ts'
import type { RuleSetStore } from './rule-set-store.ts'
import { type SecretStore, secretName } from './secret-store.ts'
import type { ServerProcess } from './server-process.ts'
import type { TlsContexts } from './tls-contexts.ts'

const number = z.int().min(1).max(0xffffffff)

/** What the agent made; what is inside a rule is for those who judge by it. */
const ruleSet = z.object({
  number,
  rules: z.looseObject({ parser: z.enum(['http', 'tls', 'dns', 'kafka']), rules: z.array(z.looseObject({})) }),
})
const whole = z.strictObject({ ruleSets: z.array(ruleSet) })
const secretValues = z.strictObject({
  secrets: z.array(
    z.strictObject({
      namespace: z.string(),
      name: z.string(),
      value: z.string().exactOptional(),
      keys: z.record(z.string(), z.string()).exactOptional(),
    }),
  ),
})
const change = z.strictObject({ add: z.array(ruleSet), remove: z.array(number) })

/** Rule sets of a large cluster are tens of megabytes at most. */
const MAX_BODY_BYTES = 64 << 20

export type RoutesOptions = {
  readonly store: RuleSetStore
  readonly secrets: SecretStore
  readonly servers: () => readonly ServerProcess[]
  /** Undefined without a datapath. */
  readonly contexts: () => Pick<TlsContexts, 'follow' | 'settled' | 'failures'> | undefined
  readonly events: EventLog
  readonly status: () => ProxyStatus
}

export function proxyRoutes({ store, secrets, servers, contexts, events, status }: RoutesOptions): Route[] {
  /** Resolves when those who are to judge by the sets do. */
  async function inForce(made: RuleSetChange, asked: readonly L7RuleSet[], signal: AbortSignal) {
    const all = servers()
    for (const server of all) server.tell(made)
    contexts()?.follow()
    if (asked.length > 0 && all.length === 0)
      throw new ApiError(
        503,
        'NO_SERVERS',
        `the rule sets are kept, and nobody judges by them yet: ${waiting(status())}`,
      )
    const concerned = all.filter(server => asked.some(set => server.isFor(set)))
    await Promise.all(concerned.map(server => server.upToDate(signal)))
    if (asked.some(hasTlsContext)) await contexts()?.settled(signal)
    return {
      generation: store.generation,
      failures: failuresOf(servers(), contexts()?.failures ?? [], store),
    } satisfies RuleSetsAnswer
  }

  return [
    {
      method: 'PUT',
      path: /\/v1\/rule-sets/,
      maxBodyBytes: MAX_BODY_BYTES,
      answer({ body, signal }) {
        const { ruleSets } = parsed(whole, body) as unknown as { readonly ruleSets: readonly L7RuleSet[] }
        return inForce(store.replace(ruleSets), ruleSets, signal)
      },
    },
    {
      method: 'POST',
      path: /\/v1\/rule-sets/,
      maxBodyBytes: MAX_BODY_BYTES,
      answer({ body, signal }) {
        const { add, remove } = parsed(change, body) as unknown as Pick<RuleSetChange, 'add' | 'remove'>
        return inForce(store.change(add, remove), add, signal)
      },
    },
    {
      method: 'GET',
      path: /\/v1\/rule-sets/,
      answer: () =>
        ({
          generation: store.generation,
          ruleSets: store.all(),
          failures: failuresOf(servers(), contexts()?.failures ?? [], store),
        }) satisfies StoredRuleSets,
    },
    {
      method: 'PUT',
      path: /\/v1\/secrets/,
      maxBodyBytes: MAX_BODY_BYTES,
      async answer({ body, signal }) {
        const changed = new Set(secrets.replace(parsed(secretValues, body).secrets).map(secretName))
        const sets = store.all().filter(set => secretsOf([set]).some(secret => changed.has(secretName(secret))))
        // The same numbers with another content: their servers exchange all that they have.
        const made = { whole: false, add: sets, remove: sets.map(set => set.number) }
        const { generation } = await inForce(made, servers().length > 0 ? sets : [], signal)
        return { generation }
      },
    },
    {
      method: 'GET',
      path: /\/v1\/events/,
      stream: ({ query, signal }) => {
        if (!query.has('follow')) throw new ApiError(400, 'BAD_REQUEST', 'events can only be followed: add ?follow')
        return async send => {
          for await (const item of events.follow(signal)) await send(item)
        }
      },
    },
    { method: 'GET', path: /\/v1\/status/, answer: status },
  ]
}

/** Sets that nobody judges by, though servers are there. */
export function failuresOf(
  servers: readonly ServerProcess[],
  withoutContext: readonly RuleSetFailure[],
  store: RuleSetStore,
): RuleSetsAnswer['failures'] {
  if (servers.length === 0) return []
  const told = new Set(withoutContext.map(({ number }) => number))
  const isServed = (set: L7RuleSet) => told.has(set.number) || servers.some(server => server.isFor(set))
  return [
    ...servers.flatMap(server => server.failures.map(failure => ({ ...failure, server: server.name }))),
    ...withoutContext.map(failure => ({ ...failure, server: 'https' })),
    ...store.all().flatMap(set => (isServed(set) ? [] : [notServed(set)])),
  ]
}

const notServed = ({ number, rules }: L7RuleSet): RuleSetsAnswer['failures'][number] => ({
  number,
  server: 'the proxy',
  error: `it has no server for ${rules.parser}`,
})

const waiting = ({ waitsFor }: ProxyStatus): string => waitsFor ?? 'the servers start'

function parsed<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw new ApiError(400, 'BAD_REQUEST', `${issue?.path.join('.') || 'body'}: ${issue?.message}`)
}
