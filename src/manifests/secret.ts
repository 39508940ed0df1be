// Secrets: named texts and bytes that other objects refer to. What is in them appears in
// no message.

import { type ManifestObject, namespaceOf, type Path, type Problem } from './object.ts'
import { conclude, problemOf, type Validation } from './validate.ts'

export type SecretManifest = {
  readonly namespace: string
  readonly name: string
  /** Of `data` and `stringData`, the latter before the former. */
  readonly items: ReadonlyMap<string, Uint8Array>
}

/** Groups of four characters, padded (RFC 4648, 4). */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const ITEM_NAME = /^[-._a-zA-Z0-9]{1,253}$/

export function readSecret(object: ManifestObject): Validation<SecretManifest> {
  const problems: Problem[] = []
  const refuse = (path: Path, message: string): void => void problems.push(problemOf(object, 'error', path, message))
  const items = new Map<string, Uint8Array>()
  for (const field of ['data', 'stringData'] as const) {
    const given = object.content[field] ?? {}
    if (typeof given !== 'object' || Array.isArray(given)) {
      refuse([field], 'must be a map of names to texts')
      continue
    }
    for (const [name, value] of Object.entries(given as Readonly<Record<string, unknown>>)) {
      const text = value ?? ''
      const bytes = typeof text === 'string' ? bytesOf(field, text) : undefined
      if (!ITEM_NAME.test(name)) refuse([field, name], "must have a name of letters, digits, '-', '_' and '.'")
      else if (bytes) items.set(name, bytes)
      else refuse([field, name], field === 'data' ? 'must be a text in base64' : 'must be a text')
    }
  }
  return conclude({ namespace: namespaceOf(object), name: object.metadata.name, items }, problems)
}

function bytesOf(field: 'data' | 'stringData', text: string): Uint8Array | undefined {
  if (field === 'stringData') return new TextEncoder().encode(text)
  const packed = text.replace(/\s/g, '')
  return BASE64.test(packed) ? Uint8Array.from(atob(packed), character => character.charCodeAt(0)) : undefined
}
