// Building blocks for schemas of Kubernetes objects. A schema lists the fields that we
// use, with their types, and the names of those that the API has and we do not use.
// Any other field is a misspelling and earns a warning (validate.ts).

import * as z from 'zod'
import { DNS_LABEL_RULE, DNS_SUBDOMAIN_RULE, isDnsLabel, isDnsSubdomain, isPortName, PORT_NAME_RULE } from './names.ts'

/** Fields of an API type that exist and are not used here: neither read nor checked. */
const unusedFields = z.registry<{ readonly unused: readonly string[] }>()

/** An object of the API: the fields that we use, and the names of its other fields. */
export function apiObject<Shape extends z.ZodRawShape>(
  shape: Shape,
  unused: readonly string[] = [],
): z.ZodObject<Shape> {
  return z.object(shape).register(unusedFields, { unused })
}

/** A whole manifest. The metadata is checked already (metadata.ts); `apiVersion` and `kind` chose the schema. */
export function apiKind<Shape extends z.ZodRawShape>(shape: Shape, unused: readonly string[] = []): z.ZodObject<Shape> {
  return apiObject(shape, ['apiVersion', 'kind', 'metadata', ...unused])
}

/** Names of an object's fields that exist and are not used. */
export function unusedFieldsOf(schema: z.ZodType): readonly string[] {
  return unusedFields.get(schema)?.unused ?? []
}

export const dnsLabel = z.string().refine(isDnsLabel, DNS_LABEL_RULE)
export const dnsSubdomain = z.string().refine(isDnsSubdomain, DNS_SUBDOMAIN_RULE)
export const portName = z.string().refine(isPortName, PORT_NAME_RULE)
export const portNumber = z.int().min(1).max(65535)
/** A port that is given out where nobody names it: 0 is the same as absent. */
export const allocatedPort = z.int().min(0).max(65535)
/** A name of a port that may be empty. Service and EndpointSlice take longer ones than containers. */
export const servicePortName = z.string().refine(text => text === '' || isDnsLabel(text), DNS_LABEL_RULE)
export const transportProtocol = z.enum(['TCP', 'UDP', 'SCTP'])
