// Schema of NetworkPolicy, networking.k8s.io/v1. What it accepts is what the API server
// accepts (pkg/apis/networking/validation), but for two spellings that are refused
// here: addresses with leading zeros, and IPv4 written as IPv6.

import * as z from 'zod'
import { cidrContains } from '../../../ip/index.ts'
import {
  apiKind,
  apiObject,
  isPortName,
  PORT_NAME_RULE,
  portNumber,
  transportProtocol,
} from '../../../manifests/index.ts'
import { cidrSchema } from '../cidr-schema.ts'
import { labelSelectorSchema } from '../label-selector-schema.ts'

const ipBlockSchema = apiObject({ cidr: cidrSchema, except: z.array(cidrSchema).default([]) }).check(
  ({ value, issues }) => {
    for (const [i, except] of value.except.entries())
      if (!cidrContains(value.cidr, except) || except.prefixLength === value.cidr.prefixLength)
        issues.push({
          code: 'custom',
          message: `must be inside ${value.cidr.text} and smaller`,
          path: ['except', i],
          input: except.text,
        })
  },
)

const PEER_FIELDS = ['podSelector', 'namespaceSelector', 'ipBlock'] as const

const peerSchema = apiObject({
  podSelector: labelSelectorSchema.optional(),
  namespaceSelector: labelSelectorSchema.optional(),
  ipBlock: ipBlockSchema.optional(),
}).check(({ value, issues }) => {
  const given = PEER_FIELDS.filter(field => value[field])
  if (given.length === 0)
    issues.push({ code: 'custom', message: 'must have a podSelector, a namespaceSelector or an ipBlock', input: value })
  if (value.ipBlock && given.length > 1)
    issues.push({
      code: 'custom',
      message: `cannot be combined with ${given[0]}; write two peers`,
      path: ['ipBlock'],
      input: value,
    })
})

const portNameSchema = z.string().refine(isPortName, {
  error: ({ input }) =>
    /^\d+$/.test(String(input)) ? 'is a number in quotes; write it without them' : `as a name ${PORT_NAME_RULE}`,
})

const portSchema = apiObject({
  protocol: transportProtocol.default('TCP'),
  port: z.union([portNumber, portNameSchema]).optional(),
  endPort: portNumber.optional(),
}).check(({ value: { port, endPort }, issues }) => {
  if (endPort === undefined) return
  const message =
    port === undefined
      ? 'needs a port, where the range begins'
      : typeof port === 'string'
        ? 'cannot be used with a named port'
        : endPort < port && `must be at least the port, ${port}`
  if (message) issues.push({ code: 'custom', message, path: ['endPort'], input: endPort })
})

const ports = z.array(portSchema).default([])
const peers = z.array(peerSchema).default([])

export const networkPolicySchema = apiKind(
  {
    spec: apiObject({
      podSelector: labelSelectorSchema.prefault({}),
      policyTypes: z
        .array(z.enum(['Ingress', 'Egress']))
        .max(2)
        .default([]),
      ingress: z.array(apiObject({ from: peers, ports })).default([]),
      egress: z.array(apiObject({ to: peers, ports })).default([]),
    }).prefault({}),
  },
  ['status'],
)

export type NetworkPolicyContent = z.output<typeof networkPolicySchema>
export type NetworkPolicyPeer = z.output<typeof peerSchema>
export type NetworkPolicyPort = z.output<typeof portSchema>
