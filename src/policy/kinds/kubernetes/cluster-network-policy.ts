// ClusterNetworkPolicy, and AdminNetworkPolicy and BaselineAdminNetworkPolicy, to the rule
// model. Their rules are tried in order, before those of namespaces (Admin) or after
// them (Baseline), and isolate nobody. What cannot be enforced fails closed, as the API
// asks: an Accept then matches nothing, a Deny or Pass denies everything.

import { namespaceRequirements, PROTOCOLS, podRequirements, type Selector, selector } from '../../../labels/index.ts'
import {
  type ManifestObject,
  type Path,
  type Problem,
  problemOf,
  type Validation,
  validate,
} from '../../../manifests/index.ts'
import { namePeer } from '../../model/name-selector.ts'
import { precedence } from '../../model/precedence.ts'
import {
  type Action,
  type Audit,
  DIRECTIONS,
  type Direction,
  type Peer,
  type Policy,
  type PolicyRef,
  type PortMatch,
  type Rule,
  type Tier,
} from '../../model/rule.ts'
import { readAuditAnnotation } from '../audit-annotation.ts'
import { hostBitsWarning } from '../cidr-schema.ts'
import { closedEffect, Findings } from '../findings.ts'
import { policyRef, ruleProvenance } from '../provenance.ts'
import { unusedRank } from '../rank-annotations.ts'
import {
  adminNetworkPolicySchema,
  baselineAdminNetworkPolicySchema,
  clusterNetworkPolicySchema,
  type PeerContent,
  type PortContent,
  type ProtocolContent,
  type SubjectContent,
} from './cluster-network-policy-schema.ts'

export const CLUSTER_NETWORK_POLICY_KIND = 'ClusterNetworkPolicy'
export const CLUSTER_NETWORK_POLICY_API = 'policy.networking.k8s.io/v1alpha2'
export const ADMIN_NETWORK_POLICY_KIND = 'AdminNetworkPolicy'
export const BASELINE_ADMIN_NETWORK_POLICY_KIND = 'BaselineAdminNetworkPolicy'
export const ADMIN_NETWORK_POLICY_API = 'policy.networking.k8s.io/v1alpha1'

/** The only name that a BaselineAdminNetworkPolicy may have. */
const BASELINE_NAME = 'default'

/** Reads a ClusterNetworkPolicy of policy.networking.k8s.io/v1alpha2. */
export function readClusterNetworkPolicy(object: ManifestObject): Validation<Policy> {
  const { value, problems } = validate(clusterNetworkPolicySchema, object)
  if (!value) return { problems }
  const { tier, priority, subject, ingress, egress } = value.spec
  return new Reader(object, problems).policy({
    tier: tier === 'Admin' ? 'admin' : 'baseline',
    priority,
    subject,
    ingress: ingress.map(({ from, protocols, ...rule }) => ({ ...rule, peers: from, ports: protocols?.map(portsOf) })),
    egress: egress.map(({ to, protocols, ...rule }) => ({ ...rule, peers: to, ports: protocols?.map(portsOf) })),
    portsField: 'protocols',
  })
}

/** Reads an AdminNetworkPolicy of policy.networking.k8s.io/v1alpha1. */
export function readAdminNetworkPolicy(object: ManifestObject): Validation<Policy> {
  const { value, problems } = validate(adminNetworkPolicySchema, object)
  if (!value) return { problems }
  const { priority, subject } = value.spec
  return new Reader(object, problems).policy({ tier: 'admin', priority, subject, ...oldRules(value.spec) })
}

/** Reads a BaselineAdminNetworkPolicy of policy.networking.k8s.io/v1alpha1. There is one, with the name `default`. */
export function readBaselineAdminNetworkPolicy(object: ManifestObject): Validation<Policy> {
  const { value, problems } = validate(baselineAdminNetworkPolicySchema, object)
  if (object.metadata.name !== BASELINE_NAME) {
    const message = `must be ${BASELINE_NAME}: there is only one of this kind`
    return { problems: [problemOf(object, 'error', ['metadata', 'name'], message), ...problems] }
  }
  if (!value) return { problems }
  return new Reader(object, problems).policy({
    tier: 'baseline',
    // After every ClusterNetworkPolicy of the tier, whose priorities end at 1000.
    priority: 1001,
    subject: value.spec.subject,
    ...oldRules(value.spec),
  })
}

type RuleContent = {
  readonly name?: string | undefined
  readonly action: 'Accept' | 'Allow' | 'Deny' | 'Pass'
  readonly peers: readonly PeerContent[]
  /** Undefined: any. An empty item is a form that is not known here. */
  readonly ports: readonly (readonly PortMatch[])[] | undefined
}

type Content = {
  readonly tier: Tier
  readonly priority: number
  readonly subject: SubjectContent
  readonly ingress: readonly RuleContent[]
  readonly egress: readonly RuleContent[]
  readonly portsField: 'protocols' | 'ports'
}

type OldRule<Peers> = Pick<RuleContent, 'name' | 'action'> & {
  readonly ports?: readonly PortContent[] | undefined
} & Peers

function oldRules({
  ingress,
  egress,
}: {
  readonly ingress: readonly OldRule<{ readonly from: readonly PeerContent[] }>[]
  readonly egress: readonly OldRule<{ readonly to: readonly PeerContent[] }>[]
}): Pick<Content, 'ingress' | 'egress' | 'portsField'> {
  // An empty list of ports is as good as none.
  const read = (ports: readonly PortContent[] = []) => (ports.length === 0 ? undefined : ports.map(oldPortsOf))
  return {
    ingress: ingress.map(({ from, ports, ...rule }) => ({ ...rule, peers: from, ports: read(ports) })),
    egress: egress.map(({ to, ports, ...rule }) => ({ ...rule, peers: to, ports: read(ports) })),
    portsField: 'ports',
  }
}

const ACTIONS: Readonly<Record<RuleContent['action'], Action>> = {
  Accept: 'allow',
  Allow: 'allow',
  Deny: 'deny',
  Pass: 'pass',
}

class Reader {
  readonly #object: ManifestObject
  readonly #findings: Findings
  readonly #ref: PolicyRef
  readonly #audit: Audit

  constructor(object: ManifestObject, problems: readonly Problem[]) {
    this.#object = object
    this.#findings = new Findings(object, problems)
    this.#ref = policyRef(object)
    this.#audit = this.#findings.take(readAuditAnnotation(object)) ? { audit: true } : {}
    this.#findings.take(unusedRank(object))
  }

  policy(content: Content): Validation<Policy> {
    const subject = podSelector(content.subject)
    const rules = DIRECTIONS.flatMap(direction =>
      content[direction].map((rule, index) => this.#rule(content, direction, index, rule)),
    )
    const { problems, hasErrors, unenforced } = this.#findings
    if (hasErrors) return { problems }
    const isolates = { ingress: false, egress: false }
    const specs = [{ subject, isolates, rules, ...this.#audit }]
    return { value: { ref: this.#ref, specs, unenforced }, problems }
  }

  #rule({ tier, priority, portsField }: Content, direction: Direction, index: number, content: RuleContent): Rule {
    const place = ['spec', direction, index] as const
    const isUnknown = this.#findings.unenforceUnknown(place, closedEffect(ACTIONS[content.action]))
    const peers = this.#peers([...place, direction === 'ingress' ? 'from' : 'to'], content)
    const ports = this.#ports([...place, portsField], content)
    const isEnforceable = !isUnknown && peers !== undefined && ports !== undefined
    const action = !isEnforceable && content.action === 'Pass' ? 'deny' : ACTIONS[content.action]
    return {
      ...ruleProvenance(this.#object, this.#ref, { field: place, direction, index }),
      action,
      tier,
      precedence: precedence({ tier, action, priority, place: index }),
      peers: isEnforceable ? peers : action === 'allow' ? [] : 'any',
      ports: isEnforceable ? ports : 'any',
      ...this.#audit,
    }
  }

  /** Undefined when not all of them can be enforced. */
  #peers(path: Path, { action, peers, ports }: RuleContent): Peer[] | undefined {
    const hasNames = ports?.flat().some(({ ports: match }) => match !== 'any' && 'name' in match) ?? false
    let isEnforceable = true
    const read = peers.flatMap((peer, i): Peer[] => {
      const at = [...path, i]
      if (peer.networks && hasNames)
        this.#findings.error(at, 'addresses have no named ports: write a rule of its own for them')
      if (peer.networks) return this.#networks([...at, 'networks'], peer.networks)
      if (peer.namespaces || peer.pods) return [{ kind: 'selector', selector: podSelector(peer) }]
      if (peer.domainNames) return this.#domainNames([...at, 'domainNames'], action, peer.domainNames)
      isEnforceable = false
      this.#tellUnenforced(at, action)
      return []
    })
    return isEnforceable ? read : undefined
  }

  #networks(path: Path, networks: NonNullable<PeerContent['networks']>): Peer[] {
    return networks.map(({ text, hadHostBits }, i) => {
      if (hadHostBits) this.#findings.warn([...path, i], hostBitsWarning(text))
      return { kind: 'cidr', cidr: text, except: [], covers: 'everything' }
    })
  }

  /** Here `*.` stands for any labels, at least one. */
  #domainNames(path: Path, action: RuleContent['action'], names: readonly string[]): Peer[] {
    if (ACTIONS[action] !== 'allow') this.#findings.error(path, 'can only be accepted, not denied or passed')
    return names.map(name => namePeer(name.replace(/^\*\./, '**.')))
  }

  /** Undefined when not all of them can be enforced. */
  #ports(path: Path, { action, ports }: RuleContent): Rule['ports'] | undefined {
    if (!ports) return 'any'
    let isEnforceable = true
    for (const [i, matches] of ports.entries())
      if (matches.length === 0) {
        isEnforceable = false
        this.#tellUnenforced([...path, i], action)
      }
    return isEnforceable ? ports.flat() : undefined
  }

  /** An item without any field is an error; one whose field is not enforced, or not known, fails closed. */
  #tellUnenforced(path: Path, action: RuleContent['action']): void {
    const [name] = fieldNames(this.#object.content, path)
    const isKnown = name !== undefined && Object.hasOwn(WAITING, name)
    if (name === undefined) this.#findings.error(path, 'is empty; it must say what it matches')
    else
      this.#findings.unenforce(
        [...path, name],
        isKnown ? WAITING[name as keyof typeof WAITING] : 'this field is not known here',
        closedEffect(ACTIONS[action]),
      )
  }
}

/** Known fields that wait for what is not known here yet. */
const WAITING = {
  nodes: 'labels of nodes are not known yet',
} as const

function podSelector({ namespaces, pods }: SubjectContent): Selector {
  const namespaceSelector = pods?.namespaceSelector ?? namespaces ?? {}
  return selector([...namespaceRequirements(namespaceSelector), ...podRequirements(pods?.podSelector ?? {})])
}

const TRANSPORTS = ['tcp', 'udp', 'sctp'] as const

function portsOf(content: ProtocolContent): PortMatch[] {
  const named = content.destinationNamedPort
  if (named !== undefined)
    return [PROTOCOLS.TCP, PROTOCOLS.UDP, PROTOCOLS.SCTP].map(protocol => ({ protocol, ports: { name: named } }))
  return TRANSPORTS.flatMap(transport => {
    const port = content[transport]?.destinationPort
    if (!port) return []
    const first = port.range?.start ?? port.number ?? 0
    const protocol = PROTOCOLS[transport.toUpperCase() as Uppercase<typeof transport>]
    return [{ protocol, ports: { first, last: port.range?.end ?? first } }]
  })
}

function oldPortsOf({ portNumber, portRange, namedPort }: PortContent): PortMatch[] {
  if (namedPort !== undefined) return portsOf({ destinationNamedPort: namedPort })
  if (portRange)
    return [{ protocol: PROTOCOLS[portRange.protocol], ports: { first: portRange.start, last: portRange.end } }]
  if (!portNumber) return []
  return [{ protocol: PROTOCOLS[portNumber.protocol], ports: { first: portNumber.port, last: portNumber.port } }]
}

/** Names of the fields that are written at a place, known or not. */
function fieldNames(content: unknown, path: Path): string[] {
  let value = content
  for (const part of path) value = (value as Readonly<Record<string | number, unknown>> | null | undefined)?.[part]
  return typeof value === 'object' && value !== null ? Object.keys(value) : []
}
