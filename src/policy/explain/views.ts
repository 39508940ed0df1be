// Policies, rules and ends as an explanation shows them.

import { formatIp } from '../../ip/index.ts'
import { identityName, type LabelSet, labelTexts } from '../../labels/index.ts'
import type { End } from '../cluster/cluster.ts'
import { podName } from '../cluster/reach.ts'
import { nameWords } from '../model/name-selector.ts'
import { WEAKEST_PRIORITY } from '../model/precedence.ts'
import type { Audit, PolicyRef, Rule } from '../model/rule.ts'
import type { ExplainedEnd, PolicyView, RuleView } from './explanation.ts'

export function policyView({ kind, namespace, name, origin, audit }: PolicyRef & Audit): PolicyView {
  return { kind, namespace, name, file: origin.file, line: origin.line, ...(audit && { audit }) }
}

export function ruleView(rule: Rule): RuleView {
  const { policy, path, direction, index, action, tier, precedence, origin, log, audit, l7, l7Lines } = rule
  return {
    policy: policyView(policy),
    path,
    direction,
    index,
    file: origin.file,
    line: origin.line,
    action,
    tier,
    priority: WEAKEST_PRIORITY - ((precedence >>> 16) & WEAKEST_PRIORITY),
    precedence,
    ...(log !== undefined && { log }),
    ...(l7 && { l7 }),
    ...(l7Lines && { l7Lines }),
    ...(audit && { audit }),
  }
}

export function endView(end: End, labels: LabelSet): ExplainedEnd {
  const address = formatIp(end.address.bytes)
  return { kind: end.kind, name: endName(end), address, identity: identityName(labels), labels: labelTexts(labels) }
}

/** `NAMESPACE/POD`, `node NAME`, or the address, with what it was answered for. */
export function endName(end: End): string {
  if (end.kind === 'pod') return podName(end.pod)
  const address = formatIp(end.address.bytes)
  if (end.kind === 'node') return end.node ? `node ${end.node}` : `node ${address}`
  return end.names?.length ? `${address} (${end.names.map(nameWords).join(', ')})` : address
}
