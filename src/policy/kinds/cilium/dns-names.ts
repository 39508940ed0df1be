// Schemas of DNS names and patterns as the Cilium kinds have them.

import * as z from 'zod'
import { apiObject } from '../../../manifests/index.ts'

const DNS_NAME = /^[-a-zA-Z0-9_]+(\.[-a-zA-Z0-9_]+)*\.?$/
/** `*` stands for any characters but a dot, `**.` at the beginning for any depth, `*` alone for every name. */
export const DNS_PATTERN = /^[-a-zA-Z0-9_*]+(\.[-a-zA-Z0-9_*]+)*\.?$/

export const dnsPattern = z
  .string()
  .max(255)
  .regex(DNS_PATTERN, 'must be a DNS name, in which * may stand for any characters')

/** One name or pattern, as in `toFQDNs` and in DNS rules. */
export const dnsSelectorSchema = apiObject({
  matchName: z.string().max(255).regex(DNS_NAME, 'must be a DNS name; with * it is a matchPattern').optional(),
  matchPattern: dnsPattern.optional(),
}).check(({ value, issues }) => {
  if ((value.matchName === undefined) === (value.matchPattern === undefined))
    issues.push({ code: 'custom', message: 'must have either matchName or matchPattern', input: value })
})
