// What people are told of rules for what is said that cannot be united: of two protocols,
// or with TLS that ends in two ways, about the same peer and port of a pod, whose
// connections are denied.

import { conflictAdvice, placeText, policyKey, policyName, type Rule, type RuleKey } from '../policy/index.ts'
import { objectKey, type PolicyMap, type Problem } from '../tables/index.ts'

/** First word of the ids of such problems. */
export const RULE_CONFLICT = 'rule-conflict'

/** One for each rule and each other that it meets, of all that the maps deny for it. */
export function conflictProblems(maps: readonly PolicyMap[], ruleOf: (key: RuleKey) => Rule | undefined): Problem[] {
  const problems = new Map<string, Problem>()
  for (const { entries } of maps)
    for (const keys of conflictsOf(entries)) {
      const rules = keys.flatMap(key => ruleOf(key) ?? [])
      for (const rule of rules)
        for (const other of rules) {
          if (rule === other) continue
          const problem = problemOf(rule, other)
          problems.set(problem.id, problem)
        }
    }
  return [...problems.values()]
}

const found = new WeakMap<PolicyMap['entries'], readonly (readonly RuleKey[])[]>()

function conflictsOf(entries: PolicyMap['entries']): readonly (readonly RuleKey[])[] {
  const known = found.get(entries)
  if (known) return known
  const all = new Map<string, readonly RuleKey[]>()
  for (const { treatment } of entries)
    if (treatment?.conflict) all.set(treatment.conflict.join('\n'), treatment.conflict)
  const made = [...all.values()]
  found.set(entries, made)
  return made
}

function problemOf(rule: Rule, other: Rule): Problem {
  const { policy, path, origin } = rule
  const { differs, instead } = conflictAdvice(rule, other)
  const name = `${policyName(other.policy)} ${other.path}${placeText(other.origin)}`
  return {
    id: `${RULE_CONFLICT} ${policyKey(policy)} ${path} ${other.key}`,
    severity: 'warning',
    object: `${policy.kind} ${objectKey(policy)}`,
    message: `${path}: ${differs} ${name} about the same peers and port, so these connections are denied; give them ${instead}, or different ports`,
    file: origin.file,
    line: origin.line,
    column: 1,
  }
}
