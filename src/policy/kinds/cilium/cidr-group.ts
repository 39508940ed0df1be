// CiliumCIDRGroup: a list of prefixes of the world that policies name instead of
// writing it out.

import { type ManifestObject, problemOf, type Validation, validate } from '../../../manifests/index.ts'
import type { CidrGroup } from '../../model/cidr-group.ts'
import { hostBitsWarnings } from '../cidr-schema.ts'
import { ciliumCidrGroupSchema } from './policy-schema.ts'

/** Kind of the objects that `readCiliumCidrGroup` reads. */
export const CILIUM_CIDR_GROUP_KIND = 'CiliumCIDRGroup'
/** API versions of them. */
export const CILIUM_CIDR_GROUP_APIS: readonly string[] = ['cilium.io/v2', 'cilium.io/v2alpha1']

/** Reads a CiliumCIDRGroup of cilium.io/v2 or v2alpha1, which mean the same. */
export function readCiliumCidrGroup(object: ManifestObject): Validation<CidrGroup> {
  if (!CILIUM_CIDR_GROUP_APIS.includes(object.apiVersion))
    return { problems: [problemOf(object, 'error', ['apiVersion'], `must be ${CILIUM_CIDR_GROUP_APIS.join(' or ')}`)] }
  const { value, problems } = validate(ciliumCidrGroupSchema, object)
  if (!value) return { problems }
  const { externalCIDRs } = value.spec
  const { file, line } = object.origin
  const group: CidrGroup = {
    name: object.metadata.name,
    labels: object.metadata.labels,
    cidrs: [...new Set(externalCIDRs.map(({ text }) => text))].sort(),
    origin: { file, line },
  }
  return {
    value: group,
    problems: [...problems, ...hostBitsWarnings(object, ['spec', 'externalCIDRs'], externalCIDRs)],
  }
}
