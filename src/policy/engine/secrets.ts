// Which secrets rule sets name, and what of them, so that whoever judges gets that and no
// more. What is in them is no business of policy.

import {
  type HttpRule,
  type L7RuleSet,
  type SecretReference,
  TLS_ENDS,
  type TlsContext,
  type TlsEnd,
} from '../model/l7.ts'
import type { RuleKey } from '../model/rule.ts'

/** A Secret, and what of it rule sets name. */
export type NamedSecret = SecretReference & {
  /** Headers are compared with its one item. */
  readonly isHeaderValue: boolean
  /** Keys that TLS contexts name, sorted. */
  readonly keys: readonly string[]
}

/** A TLS context of rule sets, once for each end of TLS. */
export type TlsUse = {
  readonly end: TlsEnd
  readonly context: TlsContext
  /** Rules of policies that it stands in, sorted. */
  readonly rules: readonly RuleKey[]
}

/** Secrets that rules of the sets name, each once, by namespace and name. */
export function secretsOf(sets: Iterable<L7RuleSet>): NamedSecret[] {
  type Found = { readonly secret: SecretReference; isHeaderValue: boolean; readonly keys: Set<string> }
  const found = new Map<string, Found>()
  const foundOf = (secret: SecretReference): Found => {
    const name = nameOf(secret)
    const one = found.get(name) ?? { secret, isHeaderValue: false, keys: new Set() }
    found.set(name, one)
    return one
  }
  for (const { rules: set } of sets) {
    if (set.parser !== 'http') continue
    for (const secret of headerSecretsOf(set.rules)) foundOf(secret).isHeaderValue = true
    for (const end of TLS_ENDS) {
      const context = set[end]
      if (context) for (const key of keysOf(context)) foundOf(context.secret).keys.add(key)
    }
  }
  return [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { secret, isHeaderValue, keys }]) => ({ ...secret, isHeaderValue, keys: [...keys].sort() }))
}

/** By the rules of a set, which never change: with each change of rules, all sets that there are are asked about. */
const headerSecrets = new WeakMap<readonly HttpRule[], readonly SecretReference[]>()

function headerSecretsOf(rules: readonly HttpRule[]): readonly SecretReference[] {
  const known = headerSecrets.get(rules)
  if (known) return known
  const made = rules.flatMap(({ headers }) => headers.flatMap(({ secret }) => secret ?? []))
  headerSecrets.set(rules, made)
  return made
}

/** The TLS contexts of the sets. */
export function tlsUsesOf(sets: Iterable<L7RuleSet>): TlsUse[] {
  const found = new Map<string, { readonly use: Omit<TlsUse, 'rules'>; readonly rules: Set<RuleKey> }>()
  for (const { rules: set } of sets) {
    if (set.parser !== 'http') continue
    for (const end of TLS_ENDS) {
      const context = set[end]
      if (!context) continue
      const name = JSON.stringify([end, nameOf(context.secret), keysOf(context), context.needsTrustedCa])
      const one = found.get(name) ?? { use: { end, context }, rules: new Set() }
      found.set(name, one)
      for (const { rule } of set.rules) one.rules.add(rule)
    }
  }
  return Array.from(found.values(), ({ use, rules }) => ({ ...use, rules: [...rules].sort() }))
}

const nameOf = ({ namespace, name }: SecretReference): string => `${namespace}/${name}`

const keysOf = ({ certificate, privateKey, trustedCa }: TlsContext): readonly string[] => [
  certificate,
  privateKey,
  trustedCa,
]
