// What decided a connection, as the offline policy commands print it in JSON.

import type { Decider, PolicyRef } from '../policy/index.ts'

export const jsonDecider = ({ direction, outcome, rule, isolatedBy }: Decider): object => ({
  direction,
  outcome,
  ...(rule && { policy: policyFields(rule.policy), path: rule.path, ...rule.origin }),
  ...(isolatedBy.length > 0 && { isolatedBy: isolatedBy.map(policyFields) }),
})

const policyFields = ({ kind, namespace, name }: PolicyRef): object => ({ kind, namespace, name })
