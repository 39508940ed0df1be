// Schemas of the policies of a cluster's administrators: ClusterNetworkPolicy of
// policy.networking.k8s.io/v1alpha2, and the two kinds of v1alpha1 that it replaces,
// AdminNetworkPolicy and BaselineAdminNetworkPolicy. They accept what the CRDs of
// kubernetes-sigs/network-policy-api accept. A peer or a port of a form that is not
// known here has no field left: the reader sees to it that it fails closed.

import * as z from 'zod'
import { apiKind, apiObject, portName, portNumber, transportProtocol } from '../../../manifests/index.ts'
import { cidrSchema } from '../cidr-schema.ts'
import { labelSelectorSchema } from '../label-selector-schema.ts'

const PRIORITY = z.int().min(0).max(1000)
const RULE_NAME = z.string().max(100)

/** What the CRD says of an object of which one field is to be given. */
const AT_MOST_ONE = { maxProperties: 1 } as const
const EXACTLY_ONE = { minProperties: 1, maxProperties: 1 } as const
const RISING = {
  'x-kubernetes-validations': [{ rule: 'self.start < self.end', message: 'the end must be above the start' }],
} as const

/** Most rules of a direction, peers of a rule and ports of a rule, by API version. */
const MOST = { v1alpha1: 100, v1alpha2: 25 } as const
const MOST_IN_PEER = 25

const namespacedPodSchema = apiObject({
  namespaceSelector: labelSelectorSchema.prefault({}),
  podSelector: labelSelectorSchema,
})

const podPeerFields = { namespaces: labelSelectorSchema.optional(), pods: namespacedPodSchema.optional() }

const subjectSchema = apiObject(podPeerFields)
  .check(({ value, issues }) => {
    const given = fieldsOf(value)
    if (given.length !== 1)
      issues.push({ code: 'custom', message: 'must have either namespaces or pods', input: value })
  })
  .register(z.globalRegistry, EXACTLY_ONE)

const domainName = z
  .string()
  .regex(
    /^(\*\.)?([a-zA-Z0-9]([-\w]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9]([-\w]*[a-zA-Z0-9])?\.?$/,
    'must be a domain name, or one after "*."',
  )

const ingressPeerSchema = apiObject(podPeerFields).check(atMostOne).register(z.globalRegistry, AT_MOST_ONE)

const egressPeerSchema = apiObject({
  ...podPeerFields,
  nodes: labelSelectorSchema.optional(),
  networks: z.array(cidrSchema).min(1).max(MOST_IN_PEER).optional(),
  domainNames: z.array(domainName).min(1).max(MOST_IN_PEER).optional(),
})
  .check(atMostOne)
  .register(z.globalRegistry, AT_MOST_ONE)

const rangeSchema = { start: portNumber, end: portNumber }

const portSchema = apiObject({
  number: portNumber.optional(),
  range: apiObject(rangeSchema).check(isRising).register(z.globalRegistry, RISING).optional(),
})
  .check(({ value, issues }) => {
    if (fieldsOf(value).length !== 1)
      issues.push({ code: 'custom', message: 'must have either a number or a range', input: value })
  })
  .register(z.globalRegistry, EXACTLY_ONE)

const transportSchema = apiObject({ destinationPort: portSchema })

const protocolSchema = apiObject({
  tcp: transportSchema.optional(),
  udp: transportSchema.optional(),
  sctp: transportSchema.optional(),
  destinationNamedPort: portName.optional(),
})
  .check(atMostOne)
  .register(z.globalRegistry, AT_MOST_ONE)

const oldPortSchema = apiObject({
  portNumber: apiObject({ protocol: transportProtocol.default('TCP'), port: portNumber }).optional(),
  portRange: apiObject({ protocol: transportProtocol.default('TCP'), ...rangeSchema })
    .check(isRising)
    .optional(),
  namedPort: portName.optional(),
})
  .check(atMostOne)
  .register(z.globalRegistry, AT_MOST_ONE)

const listOf = <Item extends z.ZodType>(item: Item, most: number) => z.array(item).min(1).max(most)

function rulesOf<Action extends z.ZodType, Ports extends z.ZodRawShape>(action: Action, ports: Ports, most: number) {
  const common = { name: RULE_NAME.optional(), action, ...ports }
  const rules = <Rule extends z.ZodType>(rule: Rule) => z.array(rule).max(most).default([])
  return {
    ingress: rules(apiObject({ ...common, from: listOf(ingressPeerSchema, most) })),
    egress: rules(apiObject({ ...common, to: listOf(egressPeerSchema, most) })),
  }
}

const protocols = { protocols: listOf(protocolSchema, MOST.v1alpha2).optional() }
const oldPorts = { ports: z.array(oldPortSchema).max(MOST.v1alpha1).optional() }

export const clusterNetworkPolicySchema = apiKind(
  {
    spec: apiObject({
      tier: z.enum(['Admin', 'Baseline']),
      priority: PRIORITY,
      subject: subjectSchema,
      ...rulesOf(z.enum(['Accept', 'Deny', 'Pass']), protocols, MOST.v1alpha2),
    }),
  },
  ['status'],
)

export const adminNetworkPolicySchema = apiKind(
  {
    spec: apiObject({
      priority: PRIORITY,
      subject: subjectSchema,
      ...rulesOf(z.enum(['Allow', 'Deny', 'Pass']), oldPorts, MOST.v1alpha1),
    }),
  },
  ['status'],
)

export const baselineAdminNetworkPolicySchema = apiKind(
  {
    spec: apiObject({
      subject: subjectSchema,
      ...rulesOf(z.enum(['Allow', 'Deny']), oldPorts, MOST.v1alpha1),
    }),
  },
  ['status'],
)

export type SubjectContent = z.output<typeof subjectSchema>
/** Of either direction: what ingress peers cannot have is absent there. */
export type PeerContent = z.output<typeof egressPeerSchema>
export type ProtocolContent = z.output<typeof protocolSchema>
export type PortContent = z.output<typeof oldPortSchema>

/** Names of the fields that are given. */
function fieldsOf(value: object): string[] {
  return Object.entries(value).flatMap(([name, field]) => (field === undefined ? [] : [name]))
}

function atMostOne({ value, issues }: { readonly value: object; readonly issues: z.core.$ZodRawIssue[] }): void {
  const [first, second] = fieldsOf(value)
  if (second === undefined) return
  const message = `cannot be combined with ${first}; write two items`
  issues.push({ code: 'custom', message, path: [second], input: value })
}

function isRising({
  value: { start, end },
  issues,
}: {
  readonly value: { readonly start: number; readonly end: number }
  readonly issues: z.core.$ZodRawIssue[]
}): void {
  if (start >= end)
    issues.push({ code: 'custom', message: `must be above the start, ${start}`, path: ['end'], input: end })
}
