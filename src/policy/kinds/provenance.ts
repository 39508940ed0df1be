// Where a policy and its rules come from: what every policy kind says of itself in the
// same way.

import { formatPath, type ManifestObject, namespaceOf, type Path } from '../../manifests/index.ts'
import { type Direction, type PolicyRef, policyKey, type Rule } from '../model/rule.ts'

/** Names the policy that an object is. */
export function policyRef(object: ManifestObject): PolicyRef {
  const { file, line } = object.origin
  return { kind: object.kind, namespace: namespaceOf(object), name: object.metadata.name, origin: { file, line } }
}

/** Names a rule by its field, such as `spec.ingress[0]`; `index` counts the object's rules of its direction. */
export function ruleProvenance(
  object: ManifestObject,
  policy: PolicyRef,
  { field, direction, index }: { readonly field: Path; readonly direction: Direction; readonly index: number },
): Pick<Rule, 'key' | 'policy' | 'path' | 'origin' | 'direction' | 'index'> {
  // Most kinds have but a spec, so that it goes without saying.
  const path = formatPath(field[0] === 'spec' ? field.slice(1) : field)
  const { line } = object.position(field)
  return {
    key: `${policyKey(policy)}/${path}`,
    policy,
    path,
    origin: { file: object.origin.file, line },
    direction,
    index,
  }
}
