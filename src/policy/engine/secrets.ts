// Which secrets rule sets name, so that whoever judges gets those and no others. What is in
// them is no business of policy.

import type { L7RuleSet, SecretReference } from '../model/l7.ts'

/** Secrets that headers are compared with by rules of the sets, each once, by namespace and name. */
export function secretsOf(sets: Iterable<L7RuleSet>): SecretReference[] {
  const found = new Map<string, SecretReference>()
  for (const { rules: set } of sets) {
    if (set.parser !== 'http') continue
    for (const { headers } of set.rules)
      for (const { secret } of headers) if (secret) found.set(`${secret.namespace}/${secret.name}`, secret)
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, secret]) => secret)
}
