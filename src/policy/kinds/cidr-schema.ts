// Schema of an address prefix as Kubernetes APIs have it.

import * as z from 'zod'
import { type ParsedCidr, parseCidr, parseIp } from '../../ip/index.ts'
import { type ManifestObject, type Path, type Problem, problemOf } from '../../manifests/index.ts'

export const cidrSchema = z.string().transform((text, { issues }): ParsedCidr => {
  const prefix = parseCidr(text)
  if (prefix) return prefix
  const address = parseIp(text)
  const message = address
    ? `must be a prefix; write ${text}/${address.family === 4 ? 32 : 128} for this address alone`
    : 'must be a prefix such as 10.0.0.0/8 or fd00::/8'
  issues.push({ code: 'custom', message, input: text })
  return z.NEVER
})

/** Warns of a prefix that says more than it means. */
export const hostBitsWarning = (text: string): string => `has bits set beyond its prefix; it is read as ${text}`

/** The same for each item of a list. */
export function hostBitsWarnings(object: ManifestObject, path: Path, prefixes: readonly ParsedCidr[]): Problem[] {
  return prefixes.flatMap(({ text, hadHostBits }, i) =>
    hadHostBits ? [problemOf(object, 'warning', [...path, i], hostBitsWarning(text))] : [],
  )
}
