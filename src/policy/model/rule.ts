// The one rule model that every policy kind is parsed into: the single place where
// semantics live. A policy object has specs; a spec selects subjects, may isolate
// them, and holds rules. Each rule knows the object, place and line it comes from.

import { has, lacks, type Selector, selector } from '../../labels/index.ts'
import { compareText } from '../../manifests/index.ts'
import type { KeyedL7Rules, L7Lines, L7Rules } from './l7.ts'
import type { ServiceReference } from './service.ts'

/** Which way a rule looks. Seen from the subject: `ingress` is what reaches it. Policies act on connections, replies need no rule. */
export type Direction = 'ingress' | 'egress'
/** Both directions. */
export const DIRECTIONS: readonly Direction[] = ['ingress', 'egress']

/** What a rule does. `pass` ends the search in its tier and goes on in the next. */
export type Action = 'allow' | 'deny' | 'pass'

/**
 * The rank of a policy. Tiers are tried in this order. Where a policy of the normal tier isolates a subject, what that tier does not allow is
 * denied and the baseline tier is not asked; what no tier decides for a subject that nothing isolates is allowed.
 */
export type Tier = 'admin' | 'normal' | 'baseline'

/** Where an object or rule stands. `line` counts from 1; 0 and an empty file when it did not come from a file. */
export type Origin = { readonly file: string; readonly line: number }

/** Names a policy object. `namespace` is empty for cluster-wide kinds. */
export type PolicyRef = {
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly origin: Origin
}

/** `KIND/NAMESPACE/NAME`: what no two policy objects share. */
export function policyKey({ kind, namespace, name }: Omit<PolicyRef, 'origin'>): string {
  return `${kind}/${namespace}/${name}`
}

/** For people: `NetworkPolicy shop/db`, `ClusterNetworkPolicy base`. */
export function policyName({ kind, namespace, name }: Omit<PolicyRef, 'origin'>): string {
  return `${kind} ${namespace === '' ? '' : `${namespace}/`}${name}`
}

/** For people, after a name: ` (shop.yaml:3)`; nothing for what did not come from a file. */
export function placeText({ file, line }: Origin): string {
  return file === '' ? '' : ` (${file}:${line})`
}

/** Names a rule in entries and events: `KIND/NAMESPACE/NAME/PATH`, or one of the two below. Stable while the rule keeps its place. */
export type RuleKey = string

/** Reported where nothing isolates the subject, so that all is allowed. */
export const NOT_ISOLATED: RuleKey = 'not-isolated'

/** Reported where a pass rule led past all rules to the default of an isolated subject. */
export const DEFAULT_DENY: RuleKey = 'default-deny'

/** Reported where nobody can judge by all rules for what is said about one peer and port, so that it is denied. */
export const L7_CONFLICT: RuleKey = 'l7-conflict'

/** Stands as the rule in an API-level rule that nobody wrote: a subject's visibility asks for it. */
export const VISIBILITY: RuleKey = 'visibility'

/** A policy object of any kind, as its front end has read it. */
export type Policy = {
  readonly ref: PolicyRef
  readonly specs: readonly PolicySpec[]
  /** What is valid and not enforced yet. Rules that have it fail closed: what is missing allows nothing, or denies everybody. */
  readonly unenforced?: readonly Unenforced[] | undefined
}

/** A field, such as `spec.egress[0].toFQDNs`, and why it is not enforced. */
export type Unenforced = { readonly path: string; readonly reason: string }

/** What a spec or rule does when its policy is one to try out: what only it denies is recorded as such and passes. */
export type Audit = { readonly audit?: true | undefined }

/** Rules for the subjects that a selector selects. */
export type PolicySpec = Audit & {
  /** Whom the rules protect (ingress) or restrict (egress). */
  readonly subject: Selector
  /** Directions in which a subject is denied what no rule allows. */
  readonly isolates: Readonly<Record<Direction, boolean>>
  readonly rules: readonly Rule[]
}

/** One rule of a spec: an action for some peers and ports, and where it comes from. */
export type Rule = Audit & {
  readonly key: RuleKey
  readonly policy: PolicyRef
  /** The rule's field in the object, such as `ingress[0]`, and its line. */
  readonly path: string
  readonly origin: Origin
  readonly direction: Direction
  /** Place among the object's rules of this direction, from 0. */
  readonly index: number
  readonly action: Action
  readonly tier: Tier
  /** See precedence.ts. */
  readonly precedence: number
  /** The other side. An empty list is nobody. */
  readonly peers: 'any' | readonly Peer[]
  /** At the destination. An empty list is none. */
  readonly ports: 'any' | readonly PortMatch[]
  readonly treatment?: Treatment | undefined
  /** Of a rule that allows: connections are allowed as far as these allow what is said on them. */
  readonly l7?: L7Rules | undefined
  /** Where these stand, in the file of `origin`. */
  readonly l7Lines?: L7Lines | undefined
  /** Text for the flow records of what this rule decides. */
  readonly log?: string | undefined
}

/** One alternative of a rule's peers. */
export type Peer =
  | { readonly kind: 'selector'; readonly selector: Selector }
  /**
   * Addresses inside `cidr` and outside every `except`, all canonical. `covers`: `everything` matches pods and nodes too,
   * as Kubernetes asks; `world` only what is outside the cluster, as the Cilium kinds do.
   */
  | {
      readonly kind: 'cidr'
      readonly cidr: string
      readonly except: readonly string[]
      readonly covers: 'everything' | 'world'
    }
  /** Addresses outside the cluster, in the prefixes of the CIDR groups of this name or with these labels, less `except`. */
  | {
      readonly kind: 'cidr-group'
      readonly group: { readonly name: string } | { readonly selector: Selector }
      readonly except: readonly string[]
    }
  /** Those behind services: the pods that they select, or the addresses of those without a selector. */
  | { readonly kind: 'service'; readonly service: ServiceReference }

/** One alternative of a rule's ports. `protocol` is the IP protocol number, 1 to 255; for ICMP a port is the type. */
export type PortMatch = {
  readonly protocol: number
  readonly ports: 'any' | { readonly first: number; readonly last: number } | { readonly name: string }
}

/** What happens beside the verdict. Two decisions that differ in it are different decisions. */
export type Treatment = {
  /** Of a denial: record it and let the packet pass. Made by the engine, see `Audit`. */
  readonly audit?: true
  readonly authentication?: 'required' | 'disabled'
  /** The API-level rules that judge what is said: those of all rules that allow the connection. */
  readonly l7?: KeyedL7Rules
  /** Of a denial by `L7_CONFLICT`: the rules that cannot be united. */
  readonly conflict?: readonly RuleKey[]
}

/** Peers as the engine has them: groups stand there as their prefixes, services as their backends. */
export type ResolvedPeer = Exclude<Peer, { readonly kind: 'cidr-group' | 'service' }>

/** Whether a peer can be matched as it is: a reference to CIDR groups or services cannot. */
export function isResolved(peer: Peer): peer is ResolvedPeer {
  return peer.kind !== 'cidr-group' && peer.kind !== 'service'
}

/** The selector that a peer stands for. */
export function peerSelector(peer: ResolvedPeer): Selector {
  if (peer.kind === 'selector') return peer.selector
  const excepted = peer.except.map(cidr => lacks('cidr', cidr))
  return selector([has('cidr', peer.cidr), ...excepted, ...(peer.covers === 'world' ? [has('reserved', 'world')] : [])])
}

/**
 * Order of rules: the one that decides and is reported comes first. By precedence, then by object (namespace, name,
 * kind), then by place, so that neither the order of objects nor of their arrival matters.
 */
export function compareRules(a: Rule, b: Rule): number {
  return b.precedence - a.precedence || comparePolicies(a.policy, b.policy) || a.index - b.index
}

/** Order of policies: by namespace, name and kind. */
export function comparePolicies(a: PolicyRef, b: PolicyRef): number {
  return compareText(a.namespace, b.namespace) || compareText(a.name, b.name) || compareText(a.kind, b.kind)
}
