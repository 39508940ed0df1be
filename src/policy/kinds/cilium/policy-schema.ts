// Schemas of CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy and CiliumCIDRGroup of
// cilium.io. They accept what Cilium accepts (pkg/policy/api, its CRDs), and refuse
// what Cilium no longer has rather than pass over it.

import * as z from 'zod'
import { apiKind, apiObject } from '../../../manifests/index.ts'
import { cidrSchema } from '../cidr-schema.ts'
import { egressPeers, fqdnPeers, ingressPeers } from './peer-schema.ts'
import { allowPorts, denyPorts, icmpsSchema, notInDeny, type PortRuleContent } from './port-schema.ts'
import { prefixedSelectorSchema } from './selector-schema.ts'

const authenticationSchema = apiObject({ mode: z.enum(['disabled', 'required', 'test-always-fail']) })
const authentication = authenticationSchema.optional()

const ingressSchema = apiObject({
  ...ingressPeers,
  toPorts: allowPorts('ingress'),
  icmps: icmpsSchema,
  authentication,
}).check(oneKindOfPeer, portsOrIcmps)

const egressSchema = apiObject({
  ...egressPeers,
  toFQDNs: fqdnPeers.optional(),
  toPorts: allowPorts('egress'),
  icmps: icmpsSchema,
  authentication,
}).check(oneKindOfPeer, portsOrIcmps)

const ingressDenySchema = apiObject({
  ...ingressPeers,
  toPorts: denyPorts,
  icmps: icmpsSchema,
  authentication: notInDeny(authenticationSchema),
}).check(oneKindOfPeer, portsOrIcmps)

const egressDenySchema = apiObject({
  ...egressPeers,
  toFQDNs: notInDeny(fqdnPeers),
  toPorts: denyPorts,
  icmps: icmpsSchema,
  authentication: notInDeny(authenticationSchema),
}).check(oneKindOfPeer, portsOrIcmps)

/** The four lists of rules. */
export const SECTIONS = ['ingress', 'ingressDeny', 'egress', 'egressDeny'] as const

const ruleFields = {
  endpointSelector: prefixedSelectorSchema.optional(),
  nodeSelector: prefixedSelectorSchema.optional(),
  ingress: z.array(ingressSchema).default([]),
  ingressDeny: z.array(ingressDenySchema).default([]),
  egress: z.array(egressSchema).default([]),
  egressDeny: z.array(egressDenySchema).default([]),
  enableDefaultDeny: apiObject({ ingress: z.boolean().optional(), egress: z.boolean().optional() }).prefault({}),
  labels: z
    .array(apiObject({ key: z.string(), value: z.string().optional(), source: z.string().optional() }))
    .optional(),
  description: z.string().optional(),
  log: apiObject({
    value: z
      .string()
      .max(32)
      .regex(/^\P{C}*$/u, 'must be printable characters')
      .optional(),
  }).optional(),
}

const bodySchema = apiObject(ruleFields)

export type CiliumRuleContent = z.output<typeof bodySchema>
type Checked<Value> = { readonly value: Value; readonly issues: z.core.$ZodRawIssue[] }

const namespacedBody = bodySchema.check(hasRules, ({ value, issues }: Checked<CiliumRuleContent>) => {
  if (value.nodeSelector)
    tell(issues, ['nodeSelector'], 'is only for CiliumClusterwideNetworkPolicy; write an endpointSelector', value)
  else if (!value.endpointSelector)
    tell(issues, ['endpointSelector'], 'is required; {} selects every pod of the namespace', value)
})

const clusterwideBody = bodySchema.check(hasRules, ({ value, issues }: Checked<CiliumRuleContent>) => {
  if (value.nodeSelector && value.endpointSelector)
    tell(issues, ['nodeSelector'], 'cannot be combined with endpointSelector; write two specs', value)
  else if (!value.endpointSelector && !value.nodeSelector)
    tell(issues, ['endpointSelector'], 'is required, or a nodeSelector; {} selects every pod', value)
  if (value.nodeSelector) checkHostRules(value, issues)
})

function policyKind<Body extends z.ZodType>(body: Body) {
  return apiKind({ spec: body.optional(), specs: z.array(body).optional() }, ['status']).check(({ value, issues }) => {
    const { spec, specs } = value as { readonly spec?: unknown; readonly specs?: readonly unknown[] | undefined }
    if (spec === undefined && (specs ?? []).length === 0)
      tell(issues, [], 'must have a spec, or specs with at least one item', value)
  })
}

export const ciliumNetworkPolicySchema = policyKind(namespacedBody)
export const ciliumClusterwideNetworkPolicySchema = policyKind(clusterwideBody)

export const ciliumCidrGroupSchema = apiKind({ spec: apiObject({ externalCIDRs: z.array(cidrSchema) }) }, ['status'])

function hasRules({ value, issues }: Checked<CiliumRuleContent>): void {
  if (SECTIONS.every(section => value[section].length === 0))
    tell(
      issues,
      [],
      `must have a rule in one of ${SECTIONS.join(', ')}; to deny all ingress, write ingress: [{}]`,
      value,
    )
}

/** What Cilium refuses in a policy for nodes. */
function checkHostRules(value: CiliumRuleContent, issues: z.core.$ZodRawIssue[]): void {
  for (const section of ['ingress', 'egress'] as const)
    for (const [i, { toPorts }] of value[section].entries())
      for (const [j, { rules }] of ((toPorts ?? []) as readonly PortRuleContent[]).entries())
        if (rules && (section === 'ingress' || !rules.dns))
          tell(issues, [section, i, 'toPorts', j, 'rules'], 'cannot be used with a nodeSelector', value)
}

function oneKindOfPeer({ value, issues }: Checked<object>): void {
  const isPeers = (field: string): boolean => /^(from|to)(?!Ports|Requires)[A-Z]/.test(field)
  const given = Object.entries(value).flatMap(([field, items]) =>
    isPeers(field) && Array.isArray(items) && items.length > 0 ? [field] : [],
  )
  for (const field of given.slice(1))
    tell(issues, [field], `cannot be combined with ${given[0]}; write two items`, value)
}

function portsOrIcmps({
  value,
  issues,
}: Checked<{
  readonly toPorts?: readonly unknown[] | undefined
  readonly icmps?: readonly unknown[] | undefined
}>): void {
  if ((value.toPorts ?? []).length > 0 && (value.icmps ?? []).length > 0)
    tell(issues, ['icmps'], 'cannot be combined with toPorts; write two items', value)
}

function tell(issues: z.core.$ZodRawIssue[], path: (string | number)[], message: string, input: unknown): void {
  issues.push({ code: 'custom', message, path, input })
}
