// Where a policy and its rules come from: what every policy kind says of itself in the
// same way.

import { type ManifestObject, namespaceOf } from '../../manifests/index.ts'
import { type Direction, type PolicyRef, policyKey, type Rule } from '../model/rule.ts'

/** Names the policy that an object is. */
export function policyRef(object: ManifestObject): PolicyRef {
  const { file, line } = object.origin
  return { kind: object.kind, namespace: namespaceOf(object), name: object.metadata.name, origin: { file, line } }
}

/** Names the rule at `spec.DIRECTION[INDEX]` of an object. */
export function ruleProvenance(
  object: ManifestObject,
  policy: PolicyRef,
  direction: Direction,
  index: number,
): Pick<Rule, 'key' | 'policy' | 'path' | 'origin' | 'direction' | 'index'> {
  const path = `${direction}[${index}]`
  const { line } = object.position(['spec', direction, index])
  return {
    key: `${policyKey(policy)}/${path}`,
    policy,
    path,
    origin: { file: object.origin.file, line },
    direction,
    index,
  }
}
