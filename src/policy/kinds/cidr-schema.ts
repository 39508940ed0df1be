// Schema of an address prefix as Kubernetes APIs have it.

import * as z from 'zod'
import { type ParsedCidr, parseCidr } from '../../ip/index.ts'

export const cidrSchema = z.string().transform((text, { issues }): ParsedCidr => {
  const prefix = parseCidr(text)
  if (prefix) return prefix
  issues.push({ code: 'custom', message: 'must be a prefix such as 10.0.0.0/8 or fd00::/8', input: text })
  return z.NEVER
})

/** Warns of a prefix that says more than it means. */
export const hostBitsWarning = (text: string): string => `has bits set beyond its prefix; it is read as ${text}`
