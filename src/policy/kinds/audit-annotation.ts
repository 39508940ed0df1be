// The annotation by which a policy, or every policy at the pods of a namespace, is
// tried out: what it denies is recorded and passes.

import { type ManifestObject, problemOf, type Validation } from '../../manifests/index.ts'

/** Annotation of a policy or a Namespace whose denials are to be recorded and pass: `"true"` or `"false"`. */
export const AUDIT_ANNOTATION = 'policy.axoneme.io/audit'

/** Whether a policy or Namespace asks for it. Any value but "true" and "false" is an error, and then all is enforced. */
export function readAuditAnnotation(object: ManifestObject): Validation<boolean> {
  const text = object.metadata.annotations[AUDIT_ANNOTATION]
  if (text === undefined || text === 'false') return { value: false, problems: [] }
  if (text === 'true') return { value: true, problems: [] }
  const message = `must be "true" or "false", not "${text}"`
  return { problems: [problemOf(object, 'error', ['metadata', 'annotations', AUDIT_ANNOTATION], message)] }
}
