// Where a pod's connections to services are translated, and the annotation by which a
// pod, or every pod of a Kubernetes namespace, chooses.

import { type ManifestObject, problemOf, type Validation } from '../manifests/index.ts'

const ANNOTATION = 'service.axoneme.io/translation'

/**
 * `socket`: when its programs connect; costs nothing per packet. `packet`: one by one as they leave the pod, for pods whose
 * connections something else has to see with the service's address, such as the proxy of a mesh.
 */
export const TRANSLATIONS = ['socket', 'packet'] as const
export type Translation = (typeof TRANSLATIONS)[number]

/** What a Pod or Namespace asks for; nothing where it says nothing, or something that cannot be. */
export function readTranslation(object: ManifestObject): Validation<{ readonly translation?: Translation }> {
  const text = object.metadata.annotations[ANNOTATION]
  if (text === undefined) return { value: {}, problems: [] }
  const translation = TRANSLATIONS.find(name => name === text)
  if (translation) return { value: { translation }, problems: [] }
  const message = `must be ${TRANSLATIONS.map(name => JSON.stringify(name)).join(' or ')}, not ${JSON.stringify(text)}`
  return { value: {}, problems: [problemOf(object, 'error', ['metadata', 'annotations', ANNOTATION], message)] }
}
