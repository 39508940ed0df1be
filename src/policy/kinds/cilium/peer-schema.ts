// Schemas of the other side of a rule of the Cilium kinds: endpoints, prefixes,
// entities, services, DNS names, groups and nodes. One item has one kind of peer.

import * as z from 'zod'
import { cidrContains } from '../../../ip/index.ts'
import { apiObject, dnsSubdomain } from '../../../manifests/index.ts'
import { cidrSchema } from '../cidr-schema.ts'
import { labelSelectorSchema } from '../label-selector-schema.ts'
import { dnsSelectorSchema } from './dns-names.ts'
import { removedField } from './l7-schema.ts'
import { prefixedSelectorSchema } from './selector-schema.ts'

export const ENTITIES = [
  'all',
  'world',
  'world-ipv4',
  'world-ipv6',
  'cluster',
  'cluster-mesh',
  'host',
  'remote-node',
  'kube-apiserver',
  'ingress',
  'init',
  'health',
  'unmanaged',
  'none',
] as const

const cidrRuleSchema = apiObject({
  cidr: cidrSchema.optional(),
  cidrGroupRef: dnsSubdomain.optional(),
  cidrGroupSelector: labelSelectorSchema.optional(),
  except: z.array(cidrSchema).default([]),
}).check(({ value, issues }) => {
  const { cidr, cidrGroupRef, cidrGroupSelector, except } = value
  const message = 'must have exactly one of cidr, cidrGroupRef and cidrGroupSelector'
  if ([cidr, cidrGroupRef, cidrGroupSelector].filter(field => field !== undefined).length !== 1)
    issues.push({ code: 'custom', message, input: value })
  if (!cidr) return
  for (const [i, exception] of except.entries())
    if (!cidrContains(cidr, exception))
      issues.push({
        code: 'custom',
        message: `must be inside ${cidr.text}`,
        path: ['except', i],
        input: exception.text,
      })
})

const groupSchema = apiObject({
  aws: apiObject({
    labels: z.record(z.string(), z.string()).optional(),
    region: z.string().optional(),
    securityGroupsIds: z.array(z.string()).optional(),
    securityGroupsNames: z.array(z.string()).optional(),
  }),
})

const serviceSchema = apiObject({
  k8sService: apiObject({ serviceName: z.string().min(1), namespace: z.string().optional() }).optional(),
  k8sServiceSelector: apiObject({ selector: prefixedSelectorSchema, namespace: z.string().optional() }).optional(),
}).check(({ value, issues }) => {
  if (Boolean(value.k8sService) === Boolean(value.k8sServiceSelector))
    issues.push({ code: 'custom', message: 'must have either k8sService or k8sServiceSelector', input: value })
})

const endpoints = z.array(prefixedSelectorSchema).optional()
const cidrs = z.array(cidrSchema).optional()
const cidrSet = z.array(cidrRuleSchema).optional()
const entities = z.array(z.enum(ENTITIES)).optional()
const groups = z.array(groupSchema).optional()

const REQUIRES = 'is not supported: Cilium took it away; write the labels into every selector of the rules instead'
const requires = removedField(z.array(prefixedSelectorSchema), REQUIRES)

export const ingressPeers = {
  fromEndpoints: endpoints,
  fromCIDR: cidrs,
  fromCIDRSet: cidrSet,
  fromEntities: entities,
  fromGroups: groups,
  fromNodes: endpoints,
  fromRequires: requires,
}

export const fqdnPeers = z.array(dnsSelectorSchema)

export const egressPeers = {
  toEndpoints: endpoints,
  toCIDR: cidrs,
  toCIDRSet: cidrSet,
  toEntities: entities,
  toGroups: groups,
  toNodes: endpoints,
  toServices: z.array(serviceSchema).optional(),
  toRequires: requires,
}

export type CidrRuleContent = z.output<typeof cidrRuleSchema>
export type ServiceContent = z.output<typeof serviceSchema>
export type Entity = (typeof ENTITIES)[number]

/** Peers without their direction: `endpoints` is fromEndpoints or toEndpoints. Absent and empty differ. */
export type PeersContent = {
  readonly endpoints?: z.output<typeof endpoints>
  readonly cidrs?: z.output<typeof cidrs>
  readonly cidrSet?: z.output<typeof cidrSet>
  readonly entities?: z.output<typeof entities>
  readonly groups?: z.output<typeof groups>
  readonly nodes?: z.output<typeof endpoints>
  readonly services?: z.output<(typeof egressPeers)['toServices']>
  readonly fqdns?: z.output<typeof fqdnPeers> | undefined
}
