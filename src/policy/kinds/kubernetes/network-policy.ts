// NetworkPolicy v1 to the rule model. It only allows, and it isolates what it selects;
// the order of policies never matters. Peers are pods by label, or address blocks,
// which cover pods and nodes as well as the world.

import {
  inNamespace,
  namespaceRequirements,
  PROTOCOLS,
  podRequirements,
  type Requirement,
  selector,
} from '../../../labels/index.ts'
import {
  type ManifestObject,
  type Path,
  type Problem,
  problemOf,
  type Validation,
  validate,
} from '../../../manifests/index.ts'
import { precedence } from '../../model/precedence.ts'
import {
  type Audit,
  DIRECTIONS,
  type Direction,
  type Peer,
  type Policy,
  type PolicyRef,
  type PortMatch,
  type Rule,
} from '../../model/rule.ts'
import { readAuditAnnotation } from '../audit-annotation.ts'
import { hostBitsWarning } from '../cidr-schema.ts'
import { closedEffect, Findings } from '../findings.ts'
import { policyRef, ruleProvenance } from '../provenance.ts'
import { unusedRank } from '../rank-annotations.ts'
import {
  type NetworkPolicyContent,
  type NetworkPolicyPeer,
  type NetworkPolicyPort,
  networkPolicySchema,
} from './network-policy-schema.ts'

/** The `kind` of a NetworkPolicy. */
export const NETWORK_POLICY_KIND = 'NetworkPolicy'
/** The `apiVersion` of a NetworkPolicy. */
export const NETWORK_POLICY_API = 'networking.k8s.io/v1'

/** Reads a NetworkPolicy of networking.k8s.io/v1. A policy with errors has no value: what was in force before stays so. */
export function readNetworkPolicy(object: ManifestObject): Validation<Policy> {
  const { value, problems } = validate(networkPolicySchema, object)
  const findings = new Findings(object, problems)
  const isAudited = findings.take(readAuditAnnotation(object))
  findings.take(unusedRank(object))
  if (!value || isAudited === undefined) return { problems: findings.problems }
  const audit: Audit = isAudited ? { audit: true } : {}
  const { spec } = value
  const ref = policyRef(object)
  const isolates = isolatedDirections(spec)
  const rules = DIRECTIONS.flatMap(direction =>
    isolates[direction]
      ? peersAndPorts(spec, direction).map((content, index): Rule => {
          const isUnknown = findings.unenforceUnknown(['spec', direction, index], closedEffect('allow'))
          const rule = readRule(object, ref, direction, index, content)
          return { ...rule, ...(isUnknown && { peers: [] }), ...audit }
        })
      : [],
  )
  const subject = selector([inNamespace(ref.namespace), ...podRequirements(spec.podSelector)])
  const specs = [{ subject, isolates, rules, ...audit }]
  const { problems: found, unenforced } = findings
  return { value: { ref, specs, unenforced }, problems: [...found, ...warnings(object, value)] }
}

type Spec = NetworkPolicyContent['spec']
type RuleContent = { readonly peers: readonly NetworkPolicyPeer[]; readonly ports: readonly NetworkPolicyPort[] }

function peersAndPorts(spec: Spec, direction: Direction): RuleContent[] {
  return direction === 'ingress'
    ? spec.ingress.map(({ from, ports }) => ({ peers: from, ports }))
    : spec.egress.map(({ to, ports }) => ({ peers: to, ports }))
}

/** Without policyTypes: ingress always, egress when there are egress rules (pkg/apis/networking/v1/defaults.go). */
function isolatedDirections({ policyTypes, egress }: Spec): Record<Direction, boolean> {
  if (policyTypes.length === 0) return { ingress: true, egress: egress.length > 0 }
  return { ingress: policyTypes.includes('Ingress'), egress: policyTypes.includes('Egress') }
}

function readRule(
  object: ManifestObject,
  policy: PolicyRef,
  direction: Direction,
  index: number,
  { peers, ports }: RuleContent,
): Rule {
  return {
    ...ruleProvenance(object, policy, { field: ['spec', direction, index], direction, index }),
    action: 'allow',
    tier: 'normal',
    precedence: precedence({ tier: 'normal', action: 'allow' }),
    // An empty list is as good as none: any peer, any port.
    peers: peers.length === 0 ? 'any' : peers.map(peer => readPeer(peer, policy.namespace)),
    ports: ports.length === 0 ? 'any' : ports.map(readPort),
  }
}

function readPeer({ podSelector, namespaceSelector, ipBlock }: NetworkPolicyPeer, namespace: string): Peer {
  if (ipBlock) {
    const except = [...new Set(ipBlock.except.map(({ text }) => text))].sort()
    return { kind: 'cidr', cidr: ipBlock.cidr.text, except, covers: 'everything' }
  }
  const where: readonly Requirement[] = namespaceSelector
    ? namespaceRequirements(namespaceSelector)
    : [inNamespace(namespace)]
  return { kind: 'selector', selector: selector([...where, ...podRequirements(podSelector ?? {})]) }
}

function readPort({ protocol, port, endPort }: NetworkPolicyPort): PortMatch {
  const number = PROTOCOLS[protocol]
  if (port === undefined) return { protocol: number, ports: 'any' }
  if (typeof port === 'string') return { protocol: number, ports: { name: port } }
  return { protocol: number, ports: { first: port, last: endPort ?? port } }
}

/** What is valid and yet hardly what was meant. */
function warnings(object: ManifestObject, { spec }: NetworkPolicyContent): Problem[] {
  const warn = (path: Path, message: string): Problem => problemOf(object, 'warning', path, message)
  const written = object.content['spec']
  const isWritten = (field: string): boolean =>
    typeof written === 'object' && written !== null && Array.isArray((written as Record<string, unknown>)[field])
  const found: Problem[] = []
  if (written === undefined || written === null)
    found.push(warn([], 'has no spec: it isolates every pod of the namespace and allows no ingress'))
  const isolates = isolatedDirections(spec)
  for (const direction of DIRECTIONS)
    if (isWritten(direction) && !isolates[direction])
      found.push(
        warn(
          ['spec', direction],
          spec.policyTypes.length > 0
            ? `has no effect: policyTypes does not name ${direction === 'ingress' ? 'Ingress' : 'Egress'}`
            : 'isolates nothing while it is empty; to deny all egress, write policyTypes: [Egress]',
        ),
      )
  for (const direction of DIRECTIONS)
    for (const [i, { peers }] of peersAndPorts(spec, direction).entries())
      for (const [j, { ipBlock }] of peers.entries()) {
        const path = ['spec', direction, i, direction === 'ingress' ? 'from' : 'to', j, 'ipBlock']
        if (ipBlock?.cidr.hadHostBits) found.push(warn([...path, 'cidr'], hostBitsWarning(ipBlock.cidr.text)))
        for (const [k, except] of (ipBlock?.except ?? []).entries())
          if (except.hadHostBits) found.push(warn([...path, 'except', k], hostBitsWarning(except.text)))
      }
  return found
}
