// Schemas of `toPorts` and `icmps` of the Cilium kinds, with what Cilium's own check of
// a rule refuses (pkg/policy/api/rule_validation.go).

import * as z from 'zod'
import { apiObject, PORT_NAME_RULE } from '../../../manifests/index.ts'
import type { Direction } from '../../model/rule.ts'
import { ICMP_FAMILIES, icmpType, icmpTypeNames } from './icmp-types.ts'
import { L7_KINDS, l7RulesSchema, listenerSchema, serverNamesSchema, tlsSchema } from './l7-schema.ts'

const MOST_PORTS = 40

/** Protocols with ports; ANY stands for all three. */
export const TRANSPORT_PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const
/** Protocols without ports, and their numbers in IANA's registry. */
export const PORTLESS_PROTOCOLS = { VRRP: 112, IGMP: 2, GRE: 47, IPIP: 4, IPV6: 41, ESP: 50, AH: 51 } as const

type Portless = keyof typeof PORTLESS_PROTOCOLS
const PORTLESS_NAMES = Object.keys(PORTLESS_PROTOCOLS) as Portless[]

export const isPortless = (protocol: string): protocol is Portless => Object.hasOwn(PORTLESS_PROTOCOLS, protocol)

const NUMBER = /^(0|[1-9]\d{0,4})$/
const isPortNumber = (text: string): boolean => NUMBER.test(text) && Number(text) <= 65535
/** IANA service name, RFC 6335 section 5.1, in either case. */
const isServiceName = (text: string): boolean =>
  text.length <= 15 && /^([a-zA-Z0-9]-?)*[a-zA-Z0-9]$/.test(text) && /[a-zA-Z]/.test(text)

const portText = z.string().check(({ value, issues }) => {
  if (value === '' || isPortNumber(value) || isServiceName(value)) return
  const message = /^\d+$/.test(value)
    ? 'must be at most 65535 and have no leading zeros'
    : `must be a number in quotes, "0" for all ports, or a name; a name ${PORT_NAME_RULE}`
  issues.push({ code: 'custom', message, input: value })
})

const portSchema = apiObject({
  port: portText.optional(),
  endPort: z.int().min(0).max(65535).optional(),
  protocol: z.enum([...TRANSPORT_PROTOCOLS, ...PORTLESS_NAMES, 'ANY']).default('ANY'),
}).check(({ value: { port = '', protocol }, issues }) => {
  if (isPortless(protocol)) {
    const message = `must be left out or "0": ${protocol} has no ports`
    if (port !== '' && port !== '0') issues.push({ code: 'custom', message, path: ['port'], input: port })
  } else if (port === '')
    issues.push({ code: 'custom', message: 'is required; "0" stands for all ports', path: ['port'], input: port })
})

const portsSchema = z.array(portSchema).max(MOST_PORTS).default([])

const allowFields = {
  ports: portsSchema,
  terminatingTLS: tlsSchema.optional(),
  originatingTLS: tlsSchema.optional(),
  serverNames: serverNamesSchema.optional(),
  listener: listenerSchema.optional(),
  rules: l7RulesSchema.optional(),
}

const portRuleSchema = apiObject(allowFields)

export type PortRuleContent = z.output<typeof portRuleSchema>
export type PortContent = z.output<typeof portSchema>

type Checked<Value> = { readonly value: Value; readonly issues: z.core.$ZodRawIssue[] }

/** The items of `toPorts` in a rule that allows. */
export function allowPorts(direction: Direction) {
  return z
    .array(
      portRuleSchema.check(({ value, issues }: Checked<PortRuleContent>) => {
        const tell = (path: (string | number)[], message: string) =>
          issues.push({ code: 'custom', message, path, input: value })
        if (direction === 'ingress') {
          if (value.listener) tell(['listener'], 'is only for egress')
          if (value.rules?.dns) tell(['rules', 'dns'], 'is only for egress')
        }
        if (value.rules && value.listener) tell(['listener'], 'cannot be combined with rules')
        const readsRequests = value.rules ? 'rules' : value.originatingTLS && 'originatingTLS'
        if (readsRequests && value.serverNames && !value.terminatingTLS)
          tell(['serverNames'], `cannot be combined with ${readsRequests} unless terminatingTLS is given`)
        for (const field of ['terminatingTLS', 'originatingTLS'] as const)
          if (value[field] && (value.rules?.dns || value.rules?.kafka))
            tell([field], 'can only be combined with http rules')
        if (value.rules) checkL7Ports(value.rules, value.ports, tell)
      }),
    )
    .optional()
}

function checkL7Ports(
  rules: NonNullable<PortRuleContent['rules']>,
  ports: readonly PortContent[],
  tell: (path: (string | number)[], message: string) => void,
): void {
  const kind = L7_KINDS.find(name => rules[name])
  const isDns = kind === 'dns'
  if (isDns && ports.length === 0) tell(['ports'], 'is required with DNS rules, such as port "53"')
  for (const [i, { port, endPort = 0, protocol }] of ports.entries()) {
    const wanted = isDns ? ['TCP', 'UDP', 'ANY'] : ['TCP']
    if (!wanted.includes(protocol))
      tell(['ports', i, 'protocol'], `must be ${wanted.join(', ')} with ${kind ?? ''} rules, not ${protocol}`)
    if (port === '0') tell(['ports', i, 'port'], `cannot be "0" with ${kind ?? ''} rules`)
    else if (isDns && NUMBER.test(port ?? '') && endPort > Number(port))
      tell(['ports', i, 'endPort'], 'cannot be used with DNS rules')
  }
}

const NOT_IN_DENY = 'cannot stand in a rule that denies: it is judged by addresses and ports alone'

/** A field that rules have that allow, and rules that deny cannot have. */
export function notInDeny<Schema extends z.ZodType>(schema: Schema) {
  return schema
    .check(({ value, issues }) => {
      issues.push({ code: 'custom', message: NOT_IN_DENY, input: value })
    })
    .optional()
}

/** The items of `toPorts` in a rule that denies. */
export const denyPorts = z
  .array(
    apiObject({
      ports: portsSchema,
      terminatingTLS: notInDeny(tlsSchema),
      originatingTLS: notInDeny(tlsSchema),
      serverNames: notInDeny(serverNamesSchema),
      listener: notInDeny(listenerSchema),
      rules: notInDeny(l7RulesSchema),
    }),
  )
  .optional()

const icmpFieldSchema = apiObject({
  family: z.enum(ICMP_FAMILIES).default('IPv4'),
  type: z.union([z.int().min(0).max(255), z.string()]),
}).check(({ value: { family, type }, issues }) => {
  if (icmpType(family, type) !== undefined) return
  const names = icmpTypeNames(family).slice(0, 3).join(', ')
  const message = `must be 0 to 255 or the name of a type of ${family}, such as ${names}`
  issues.push({ code: 'custom', message, path: ['type'], input: type })
})

export const icmpsSchema = z
  .array(apiObject({ fields: z.array(icmpFieldSchema).max(MOST_PORTS).default([]) }))
  .optional()

export type IcmpContent = NonNullable<z.output<typeof icmpsSchema>>[number]
