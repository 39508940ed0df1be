// CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy to the rule model. Rules allow
// or deny, deny beats allow, and a spec isolates whom it has rules for unless it says
// otherwise. What is not enforced yet fails closed and is told.

import type { Selector } from '../../../labels/index.ts'
import { type ManifestObject, type Path, type Validation, validate } from '../../../manifests/index.ts'
import { precedence } from '../../model/precedence.ts'
import type { Audit, Direction, Policy, PolicyRef, PolicySpec, Rule } from '../../model/rule.ts'
import { readAuditAnnotation } from '../audit-annotation.ts'
import { closedEffect, Findings } from '../findings.ts'
import { policyRef, ruleProvenance } from '../provenance.ts'
import { type Rank, readRank } from '../rank-annotations.ts'
import { l7Lines, readL7Rules } from './l7-rules.ts'
import type { PeersContent } from './peer-schema.ts'
import { type ReadPeers, readPeers } from './peers.ts'
import {
  type CiliumRuleContent,
  ciliumClusterwideNetworkPolicySchema,
  ciliumNetworkPolicySchema,
  SECTIONS,
} from './policy-schema.ts'
import type { PortRuleContent } from './port-schema.ts'
import { type ContentItem, type PortsContent, type ReadPorts, readPorts } from './ports.ts'
import { NOBODY, subjectSelector } from './selectors.ts'

export const CILIUM_NETWORK_POLICY_KIND = 'CiliumNetworkPolicy'
export const CILIUM_CLUSTERWIDE_NETWORK_POLICY_KIND = 'CiliumClusterwideNetworkPolicy'
export const CILIUM_NETWORK_POLICY_API = 'cilium.io/v2'

/** Reads a CiliumNetworkPolicy of cilium.io/v2. One bad rule refuses the object: what was in force before stays so. */
export function readCiliumNetworkPolicy(object: ManifestObject): Validation<Policy> {
  return readWith(ciliumNetworkPolicySchema, object)
}

/** Reads a CiliumClusterwideNetworkPolicy of cilium.io/v2. */
export function readCiliumClusterwideNetworkPolicy(object: ManifestObject): Validation<Policy> {
  return readWith(ciliumClusterwideNetworkPolicySchema, object)
}

/** The two schemas have one type; only their checks differ. */
function readWith(schema: typeof ciliumNetworkPolicySchema, object: ManifestObject): Validation<Policy> {
  const { value, problems } = validate(schema, object)
  const findings = new Findings(object, problems)
  const rank = findings.take(readRank(object))
  const audit = findings.take(readAuditAnnotation(object))
  if (!value || !rank || audit === undefined) return { problems: findings.problems }
  const reader = new Reader(object, findings, rank, audit ? { audit } : {})
  const bodies = [
    ...(value.spec ? [{ body: value.spec, place: ['spec'] }] : []),
    ...(value.specs ?? []).map((body, i) => ({ body, place: ['specs', i] })),
  ]
  const specs = bodies.flatMap(({ body, place }) => reader.spec(body, place))
  if (findings.hasErrors) return { problems: findings.problems }
  return { value: { ref: reader.ref, specs, unenforced: findings.unenforced }, problems: findings.problems }
}

const NO_EFFECT = 'this spec has no effect'

/** A rule of any section, its fields without their direction. */
type RuleContent = {
  readonly peers: PeersContent
  readonly ports: PortsContent
  readonly authentication?: { readonly mode: string } | undefined
}

type Section = (typeof SECTIONS)[number]
type Place = {
  readonly field: Path
  readonly section: Section
  readonly direction: Direction
  /** Whether the spec denies what no rule of the direction allows. */
  readonly isolates: boolean
  readonly log: string | undefined
}

class Reader {
  readonly ref: PolicyRef
  readonly #object: ManifestObject
  readonly #findings: Findings
  readonly #rank: Rank
  readonly #audit: Audit
  readonly #counts: Record<Direction, number> = { ingress: 0, egress: 0 }

  constructor(object: ManifestObject, findings: Findings, rank: Rank, audit: Audit) {
    this.ref = policyRef(object)
    this.#object = object
    this.#findings = findings
    this.#rank = rank
    this.#audit = audit
  }

  /** None for a spec that is about nodes. */
  spec(body: CiliumRuleContent, place: Path): PolicySpec[] {
    if (!body.endpointSelector) {
      const reason = 'nodes are not subject to policies yet'
      this.#findings.unenforce([...place, 'nodeSelector'], reason, NO_EFFECT)
      return []
    }
    const subject = this.#subject(body.endpointSelector, [...place, 'endpointSelector'])
    const isolates = {
      ingress: this.#isolates(body, place, 'ingress'),
      egress: this.#isolates(body, place, 'egress'),
    }
    const rules = SECTIONS.flatMap(section => {
      const direction = section.startsWith('ingress') ? 'ingress' : 'egress'
      return rulesOf(body, section).flatMap((rule, i) => {
        const field = [...place, section, i]
        return this.#rules(rule, { field, section, direction, isolates: isolates[direction], log: body.log?.value })
      })
    })
    return [{ subject, isolates, rules, ...this.#audit }]
  }

  #subject(content: NonNullable<CiliumRuleContent['endpointSelector']>, path: Path): Selector {
    const { subject, overridden } = subjectSelector(content, this.ref.namespace)
    if (overridden !== undefined)
      this.#findings.warn(
        path,
        `names the namespace ${JSON.stringify(overridden)}, which is passed over: the policy is about pods of its own, ${this.ref.namespace}`,
      )
    if (subject === NOBODY) this.#findings.unenforce(path, 'only pods are subject to policies yet', NO_EFFECT)
    return subject
  }

  /** A spec of the baseline tier isolates nobody: what isolates ends the search before that tier is asked. */
  #isolates(body: CiliumRuleContent, place: Path, direction: Direction): boolean {
    const written = body.enableDefaultDeny[direction]
    const isBaseline = this.#rank.tier === 'baseline'
    if (written && isBaseline)
      this.#findings.error(
        [...place, 'enableDefaultDeny', direction],
        'cannot be true in the baseline tier; write a rule that denies',
      )
    return written ?? (!isBaseline && body[direction].length + body[`${direction}Deny`].length > 0)
  }

  /** One rule, and one more for each item of `toPorts` that judges content too. */
  #rules(content: RuleContent, place: Place): Rule[] {
    const { field, section, direction } = place
    const written = section.endsWith('Deny') ? 'deny' : 'allow'
    const isUnknown = this.#findings.unenforceUnknown(field, closedEffect(written))
    const peers = readPeers(content.peers, { place: field, direction, namespace: this.ref.namespace }, this.#findings)
    const ports = readPorts(content.ports, field, this.#findings)
    const known = written === 'deny' ? this.#denied(peers, ports) : this.#allowed(peers, ports, content, place)
    return (isUnknown ? [closed(written)] : known).map(what => this.#made(what, place))
  }

  #made({ field: own, content, action, ...what }: What, { field, direction, log }: Place): Rule {
    const index = this.#counts[direction]++
    const at = own ?? field
    const provenance = ruleProvenance(this.#object, this.ref, { field: at, direction, index })
    const l7 = content && readL7Rules(content, provenance.key, this.ref.namespace)
    return {
      ...provenance,
      action,
      tier: this.#rank.tier,
      precedence: precedence({ ...this.#rank, action }),
      ...what,
      ...this.#audit,
      ...(l7 && content && { l7, l7Lines: l7Lines(content, place => this.#object.position([...at, ...place]).line) }),
      ...(log && { log }),
    }
  }

  #denied(peers: ReadPeers | undefined, ports: ReadPorts | undefined): What[] {
    for (const { path, reason } of peers?.missing ?? []) this.#findings.unenforce(path, reason, closedEffect('deny'))
    return [{ action: 'deny', peers: isWhole(peers) ? peersOf(peers, ports) : 'any', ports: ports?.ports ?? 'any' }]
  }

  #allowed(
    peers: ReadPeers | undefined,
    ports: ReadPorts | undefined,
    { authentication }: RuleContent,
    { field, isolates }: Place,
  ): What[] {
    const denies = 'what this rule would judge is denied'
    for (const { path, reason } of peers?.missing ?? [])
      this.#findings.unenforce(path, reason, 'this rule allows nothing for it')
    for (const { path, reason } of ports?.missing ?? [])
      this.#findings.unenforce(path, reason, isolates ? 'these ports are not allowed' : denies)
    const isAuthenticated = authentication !== undefined && authentication.mode !== 'disabled'
    if (isAuthenticated)
      this.#findings.unenforce(
        [...field, 'authentication', 'mode'],
        'peers do not authenticate each other yet',
        isolates ? closedEffect('allow') : denies,
      )
    const content = ports?.content ?? []
    // Where nothing isolates, what is left out would pass unjudged.
    const leavesOut = isAuthenticated || (!isolates && !isWhole(peers))
    const judged = [...(ports?.judged ?? []), ...(leavesOut ? content.flatMap(item => item.ports) : [])]
    const denied = isAuthenticated ? (ports ? [...ports.ports, ...judged] : 'any') : judged
    const rules = leavesOut ? [] : content.map((one): What => contentRule(one, field, peersOf(peers, ports)))
    if (!isolates && denied.length > 0) {
      const whom = isWhole(peers) ? peersOf(peers, ports) : 'any'
      return [{ action: 'deny', peers: whom, ports: denied }, ...rules]
    }
    const plain: What = {
      action: 'allow',
      peers: isAuthenticated ? [] : peersOf(peers, ports),
      ports: ports?.ports ?? 'any',
    }
    return rules.length > 0 && plain.ports.length === 0 ? rules : [plain, ...rules]
  }
}

/** A rule of an item that judges content. */
const contentRule = ({ index, item, ports }: ContentItem, field: Path, peers: Rule['peers']): What => ({
  field: [...field, 'toPorts', index],
  action: 'allow',
  peers,
  ports,
  content: item,
})

/** `field` undefined: that of the whole rule. */
type What = Pick<Rule, 'action' | 'peers' | 'ports'> & {
  readonly field?: Path
  readonly content?: PortRuleContent
}

/** A rule of which nobody here knows all that it says. */
const closed = (action: 'allow' | 'deny'): What => ({ action, peers: action === 'allow' ? [] : 'any', ports: 'any' })

/** Whether the peers are all that is meant. */
const isWhole = (peers: ReadPeers | undefined): boolean => (peers?.missing ?? []).length === 0

/** A rule that names no peers means all of them when it names ports, and nobody when it names nothing at all. */
function peersOf(peers: ReadPeers | undefined, ports: ReadPorts | undefined): Rule['peers'] {
  return peers ? peers.peers : ports ? 'any' : []
}

function rulesOf(body: CiliumRuleContent, section: Section): RuleContent[] {
  switch (section) {
    case 'ingress':
      return body.ingress.map(rule => ({ peers: sources(rule), ports: rule, authentication: rule.authentication }))
    case 'ingressDeny':
      return body.ingressDeny.map(rule => ({ peers: sources(rule), ports: portsOnly(rule) }))
    case 'egress':
      return body.egress.map(rule => ({
        peers: { ...destinations(rule), fqdns: rule.toFQDNs },
        ports: rule,
        authentication: rule.authentication,
      }))
    case 'egressDeny':
      return body.egressDeny.map(rule => ({ peers: destinations(rule), ports: portsOnly(rule) }))
  }
}

type IngressFields = CiliumRuleContent['ingressDeny'][number]
type EgressFields = CiliumRuleContent['egressDeny'][number]

const sources = (rule: Omit<IngressFields, 'toPorts' | 'authentication'>): PeersContent => ({
  endpoints: rule.fromEndpoints,
  cidrs: rule.fromCIDR,
  cidrSet: rule.fromCIDRSet,
  entities: rule.fromEntities,
  groups: rule.fromGroups,
  nodes: rule.fromNodes,
})

const destinations = (rule: Omit<EgressFields, 'toPorts' | 'authentication' | 'toFQDNs'>): PeersContent => ({
  endpoints: rule.toEndpoints,
  cidrs: rule.toCIDR,
  cidrSet: rule.toCIDRSet,
  entities: rule.toEntities,
  groups: rule.toGroups,
  nodes: rule.toNodes,
  services: rule.toServices,
})

/** What is left of the ports of a rule that denies: the schema has refused the rest. */
const portsOnly = ({ toPorts, icmps }: Pick<IngressFields, 'toPorts' | 'icmps'>): PortsContent => ({
  toPorts: toPorts?.map(({ ports }) => ({ ports })),
  icmps,
})
