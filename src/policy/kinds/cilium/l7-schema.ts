// Schemas of what the Cilium kinds say of a connection's content: requests of HTTP,
// Kafka and DNS, names in TLS, proxies. What l7-rules.ts makes of them is enforced.

import * as z from 'zod'
import { apiObject } from '../../../manifests/index.ts'
import { dnsPattern, dnsSelectorSchema } from './dns-names.ts'
import { extendedRegex, slashAlternatives } from './extended-regex.ts'
import { KAFKA_API_KEYS } from './kafka-keys.ts'

const secretSchema = apiObject({ namespace: z.string().optional(), name: z.string().min(1) })

/** RFC 9110 section 5.6.2. */
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
/** RFC 9110 section 5.5: no control characters, and none of ours but the tab. */
const headerValue = z.string().regex(/^[\t\x20-\x7e\x80-\uffff]*$/, 'must be printable characters')

const headerMatchSchema = apiObject({
  name: z.string().regex(new RegExp(`^${TOKEN}$`), 'must be the name of a header, without spaces or a colon'),
  value: headerValue.optional(),
  secret: secretSchema.optional(),
  mismatch: z.enum(['LOG', 'ADD', 'DELETE', 'REPLACE']).optional(),
})

/** Cilium splits at the first space; what it would take as a part of the name is refused here. */
const header = headerValue.regex(
  new RegExp(`^${TOKEN}(: +[^ ].*)?$`),
  'must be "Name" or "Name: value"; a name has no spaces, and after the colon there is one',
)

const requestPath = extendedRegex.check(({ value, issues }) => {
  if (value === '' || slashAlternatives(value) !== 'none') return
  const message = `matches no request: every path begins with /; write ${JSON.stringify(`/${value.replace(/^\^/, '')}`)}`
  issues.push({ code: 'custom', message, input: value })
})

const httpSchema = apiObject({
  path: requestPath.optional(),
  method: extendedRegex.optional(),
  host: extendedRegex.optional(),
  headers: z.array(header).optional(),
  headerMatches: z.array(headerMatchSchema).optional(),
})

const isKafkaKey = (text: string): boolean => KAFKA_API_KEYS.has(text.toLowerCase())
const isKafkaVersion = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) <= 0x7fff

const kafkaSchema = apiObject({
  role: z
    .string()
    .regex(/^(produce|consume)$/i, 'must be produce or consume')
    .optional(),
  apiKey: z.string().refine(isKafkaKey, 'must be the name of a Kafka API key such as fetch').optional(),
  apiVersion: z.string().refine(isKafkaVersion, 'must be a whole number in quotes, at most 32767').optional(),
  clientID: z.string().optional(),
  topic: z
    .string()
    .max(255)
    .regex(/^[a-zA-Z0-9._-]+$/, "must be letters, digits, '.', '_' and '-'")
    .optional(),
}).check(({ value, issues }) => {
  if (value.role !== undefined && value.apiKey !== undefined)
    issues.push({ code: 'custom', message: 'cannot be combined with role', path: ['apiKey'], input: value.apiKey })
})

/** A field that Cilium no longer has. An object with it is refused: to pass over it would change what the policy means. */
export function removedField<Schema extends z.ZodType>(schema: Schema, message: string) {
  return schema
    .check(({ value, issues }) => {
      issues.push({ code: 'custom', message, input: value })
    })
    .optional()
}

const NO_PARSERS = 'is not supported: Cilium took parsers that users plug in away; it must be left out'

export const L7_KINDS = ['http', 'kafka', 'dns'] as const

export const l7RulesSchema = apiObject({
  http: z.array(httpSchema).optional(),
  kafka: z.array(kafkaSchema).optional(),
  dns: z.array(dnsSelectorSchema).optional(),
  l7proto: removedField(z.string(), NO_PARSERS),
  l7: removedField(z.array(z.record(z.string(), z.string())), NO_PARSERS),
}).check(({ value, issues }) => {
  const given = L7_KINDS.filter(kind => value[kind])
  const message = 'must have exactly one of http, dns and kafka'
  if (given.length !== 1) issues.push({ code: 'custom', message, input: value })
})

export const tlsSchema = apiObject({
  secret: secretSchema,
  trustedCA: z.string().optional(),
  certificate: z.string().optional(),
  privateKey: z.string().optional(),
})

export const serverNamesSchema = z.array(dnsPattern).min(1)

export const listenerSchema = apiObject({
  envoyConfig: apiObject({
    kind: z.enum(['CiliumEnvoyConfig', 'CiliumClusterwideEnvoyConfig']).optional(),
    name: z.string().min(1),
  }),
  name: z.string().min(1),
  priority: z.int().min(1).max(100).optional(),
})

export type L7RulesContent = z.output<typeof l7RulesSchema>
export type HttpContent = z.output<typeof httpSchema>
export type KafkaContent = z.output<typeof kafkaSchema>
export type TlsContent = z.output<typeof tlsSchema>
