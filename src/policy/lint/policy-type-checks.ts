// What a NetworkPolicy isolates and its rules do not show.

import { NETWORK_POLICY_KIND } from '../kinds/kubernetes/network-policy.ts'
import { finding, type LintFinding } from './finding.ts'
import type { LintedPolicy } from './linted-policy.ts'
import { fieldsOf, itemsOf } from './manifest-fields.ts'

/** `policy-types`. */
export function policyTypeFindings({ object, policy }: LintedPolicy): LintFinding[] {
  if (policy.ref.kind !== NETWORK_POLICY_KIND) return []
  const spec = fieldsOf(object.content['spec'])
  const types = itemsOf(spec['policyTypes'])
  const [ingress, egress] = [itemsOf(spec['ingress']).length, itemsOf(spec['egress']).length]
  const tell = (field: string, message: string) => [finding('policy-types', object, ['spec', field], message)]
  if (types.length === 0) {
    if (egress > 0 && ingress === 0)
      return tell(
        'egress',
        'without policyTypes ingress is isolated too, and nothing may connect; write policyTypes: [Egress] if that is not meant',
      )
    if ('egress' in spec && egress === 0)
      return tell(
        'egress',
        'is empty and without policyTypes isolates nothing; write policyTypes: [Ingress, Egress] to deny all egress, or leave it out',
      )
    return []
  }
  for (const [type, field, count, other] of [
    ['Ingress', 'ingress', ingress, egress],
    ['Egress', 'egress', egress, ingress],
  ] as const) {
    if (!types.includes(type) && count > 0)
      return tell(field, `has no effect: policyTypes does not name ${type}; add it`)
    if (types.includes(type) && !(field in spec) && other > 0)
      return tell(
        'policyTypes',
        `names ${type}, of which there are no rules: all ${field} of these pods is denied; write ${field}: [] to show that it is meant, or take ${type} away`,
      )
  }
  return []
}
