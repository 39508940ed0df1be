// bpf/lib/policy.h: entries of a policy map, from and to the terms of the policy
// engine. Which map an endpoint uses stands in its endpoint entry.

import { type EnumTable, enumeration, type StructValue, struct } from './layout.ts'
import type { ProxyKind } from './proxy.ts'
import type { TrafficDirection } from './verdict.ts'

export const policyVerdictShape = enumeration('policy_verdict', 'POLICY_', ['ALLOW', 'DENY'])
export const policyFlagsShape = enumeration('policy_flags', 'POLICY_', ['AUDIT', 'BY_DEFAULT'])
export const policyPrefixShape = enumeration('policy_prefix', 'POLICY_PREFIX_', ['ANY_PROTOCOL', 'ANY_PORT', 'FULL'])

export const policyKeyShape = struct('policy_key', {
  prefix_length: 'number',
  identity: 'number',
  direction: 'number',
  protocol: 'number',
  port: 'number',
})
export type PolicyKey = StructValue<typeof policyKeyShape>

export const policyEntryShape = struct('policy_entry', {
  precedence: 'number',
  rule: 'number',
  l7: 'number',
  verdict: 'number',
  flags: 'number',
  proxy: 'number',
})
export type PolicyEntry = StructValue<typeof policyEntryShape>

/** What the policy engine says; `identity` 0 is any peer, `protocol` 0 any protocol, `port` of ICMP its type. */
export type PolicyTerm = {
  readonly direction: 'ingress' | 'egress'
  readonly identity: number
  readonly protocol: number
  readonly port: number
  /** 0 to 16: bits of the port that count. */
  readonly portPrefixLength: number
  readonly verdict: 'allow' | 'deny'
  readonly precedence: number
  /** Of a denial: it is only recorded, and the packet passes. Of an allowance: what is said is judged for the record alone. */
  readonly audit?: boolean
  /** Of a denial: the pod is isolated and no rule allows it; no rule denies it either. */
  readonly byDefault?: boolean
  /** Of an allowance: who judges what is said, and the number of the rules for it. */
  readonly l7?: { readonly proxy: Exclude<ProxyKind, 'NONE'>; readonly rules: number } | undefined
}

type PolicyEnums = {
  readonly policyVerdict: EnumTable<(typeof policyVerdictShape.names)[number]>
  readonly policyFlags: EnumTable<(typeof policyFlagsShape.names)[number]>
  readonly policyPrefix: EnumTable<(typeof policyPrefixShape.names)[number]>
  readonly proxyKind: EnumTable<ProxyKind>
  readonly trafficDirection: EnumTable<TrafficDirection>
}

/**
 * A map element of a term and the number of the rule that made it.
 * @throws RangeError for a term that no key can say: a port of any protocol, or port bits beyond the prefix
 */
export function policyElement(enums: PolicyEnums, term: PolicyTerm, rule: number): [PolicyKey, PolicyEntry] {
  const { protocol, port, portPrefixLength } = term
  const { ANY_PROTOCOL, ANY_PORT } = enums.policyPrefix.number
  if (protocol === 0 && (port !== 0 || portPrefixLength !== 0))
    throw new RangeError(`a policy entry for any protocol cannot name port ${port}/${portPrefixLength}`)
  if (portPrefixLength < 0 || portPrefixLength > 16 || (port & (0xffff >> portPrefixLength)) !== 0)
    throw new RangeError(`port ${port} has bits beyond its prefix of ${portPrefixLength}`)
  const key = {
    prefix_length: protocol === 0 ? ANY_PROTOCOL : ANY_PORT + portPrefixLength,
    identity: term.identity,
    direction: enums.trafficDirection.number[term.direction === 'ingress' ? 'INGRESS' : 'EGRESS'],
    protocol,
    port,
  }
  const { AUDIT, BY_DEFAULT } = enums.policyFlags.number
  const entry = {
    precedence: term.precedence,
    rule,
    verdict: enums.policyVerdict.number[term.verdict === 'allow' ? 'ALLOW' : 'DENY'],
    flags: (term.audit ? AUDIT : 0) | (term.byDefault ? BY_DEFAULT : 0),
    proxy: enums.proxyKind.number[term.l7?.proxy ?? 'NONE'],
    l7: term.l7?.rules ?? 0,
  }
  return [key, entry]
}

/** The inverse of `policyElement`. */
export function policyTerm(
  enums: PolicyEnums,
  key: PolicyKey,
  entry: PolicyEntry,
): PolicyTerm & { readonly rule: number } {
  const { ANY_PORT } = enums.policyPrefix.number
  const { AUDIT, BY_DEFAULT } = enums.policyFlags.number
  const proxy = enums.proxyKind.name(entry.proxy) ?? 'NONE'
  return {
    direction: key.direction === enums.trafficDirection.number.INGRESS ? 'ingress' : 'egress',
    identity: key.identity,
    protocol: key.protocol,
    port: key.port,
    portPrefixLength: Math.max(0, key.prefix_length - ANY_PORT),
    verdict: entry.verdict === enums.policyVerdict.number.ALLOW ? 'allow' : 'deny',
    precedence: entry.precedence,
    rule: entry.rule,
    ...((entry.flags & AUDIT) !== 0 && { audit: true }),
    ...((entry.flags & BY_DEFAULT) !== 0 && { byDefault: true }),
    ...(proxy !== 'NONE' && { l7: { proxy, rules: entry.l7 } }),
  }
}

/** The question that the datapath asks a policy map. */
export function policyQuestion(
  enums: PolicyEnums,
  question: Pick<PolicyKey, 'identity' | 'direction' | 'protocol' | 'port'>,
): PolicyKey {
  return { prefix_length: enums.policyPrefix.number.FULL, ...question }
}
