// A cluster as manifests describe it, without an agent: who stands at which address,
// which identity that has, and whether one end may open a connection to another. It
// takes the way that an agent takes, from labels through identities and the repository
// to map entries and the look-up of the kernel, and knows no shorter one.

import { formatIp, type IpAddress } from '../../ip/index.ts'
import {
  addressLabels,
  EMPTY_LABELS,
  type LabelSet,
  LocalIdentityAllocator,
  type NamedPort,
  namedPortTexts,
  nameLabel,
  podLabels,
  reservedIdentities,
  reservedLabels,
  withLabels,
} from '../../labels/index.ts'
import { type ConnectionVerdict, type Party, verdict } from '../engine/evaluate.ts'
import { PolicyRepository } from '../engine/repository.ts'
import type { ResolvedPolicy } from '../engine/subject.ts'
import type { CidrGroup } from '../model/cidr-group.ts'
import type { EnforcementMode } from '../model/enforcement.ts'
import type { Visibility } from '../model/l7.ts'
import { NameSelectors } from '../model/name-selector.ts'
import type { Policy } from '../model/rule.ts'
import type { PolicyService } from '../model/service.ts'

/** A pod as far as policies can tell pods apart. */
export type ClusterPod = {
  readonly namespace: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly serviceAccount: string
  readonly namedPorts: readonly NamedPort[]
  /** The first one is its primary address. */
  readonly addresses: readonly IpAddress[]
  /** Uses the network of its node, has its identity, and no policy applies to it. */
  readonly hostNetwork: boolean
  /** What its annotations want seen of what is said; absent: nothing. */
  readonly visibility?: readonly Visibility[] | undefined
  /** Name of its node; empty for the one node of a cluster that names none. */
  readonly node: string
}

/** A node: policies see its addresses. */
export type ClusterNode = { readonly name: string; readonly addresses: readonly IpAddress[] }

/** All that a cluster is made of. */
export type ClusterContent = {
  readonly pods: readonly ClusterPod[]
  readonly nodes: readonly ClusterNode[]
  /** Labels by namespace. A namespace that is not here has none but its name. */
  readonly namespaceLabels: ReadonlyMap<string, Readonly<Record<string, string>>>
  /** At their pods what is denied is recorded and passes. */
  readonly auditedNamespaces?: ReadonlySet<string>
  readonly policies: readonly Policy[]
  readonly cidrGroups?: readonly CidrGroup[]
  /** Those that policies may name; what they are besides is not needed. */
  readonly services?: readonly PolicyService[]
  /** Names that were answered with addresses outside the cluster. */
  readonly learntNames?: readonly LearntName[]
  /** Who is isolated where no policy says so. `default` when it is left out. */
  readonly enforcement?: EnforcementMode
}

/** A name of DNS, canonical, with an address that it was answered with. */
export type LearntName = { readonly name: string; readonly address: IpAddress }

/** One end of a connection: who stands there, and at which address. `names`: selectors of names of which it has one. */
export type End =
  | { readonly kind: 'pod'; readonly pod: ClusterPod; readonly address: IpAddress }
  | { readonly kind: 'node'; readonly node: string; readonly address: IpAddress }
  | { readonly kind: 'world'; readonly address: IpAddress; readonly names?: readonly string[] | undefined }

/** A cluster with its policies resolved: who has which identity, and whether one end may open a connection to another. */
export class Cluster {
  readonly content: ClusterContent
  /** For the rules behind a verdict. */
  readonly repository: PolicyRepository
  readonly #identities = new LocalIdentityAllocator({ now: () => 0 })
  readonly #ends = new Map<string, End>()
  readonly #endsOf = new Map<ClusterPod, readonly End[]>()
  readonly #numbers = new Map<string, number>()
  readonly #numbersByContent = new Map<string, number>()
  readonly #learntNames: ReadonlyMap<string, readonly LearntName[]>
  readonly #baseLabels = new Map<ClusterPod, LabelSet>()
  readonly #baseLabelsByContent = new Map<string, LabelSet>()

  /** @throws IdentityRangeExhaustedError when the pods have more kinds of labels than there are identities */
  constructor(content: ClusterContent) {
    this.content = content
    this.#learntNames = Map.groupBy(content.learntNames ?? [], ({ address }) => addressKey(address))
    this.repository = new PolicyRepository(content.enforcement ? { enforcement: content.enforcement } : {})
    for (const group of content.cidrGroups ?? []) this.repository.setCidrGroup(group)
    for (const service of content.services ?? []) this.repository.setService(service)
    for (const policy of content.policies) this.repository.setPolicy(policy)
    for (const { number, labels } of reservedIdentities()) this.repository.setIdentity(number, labels)
    for (const node of content.nodes)
      for (const address of node.addresses) this.#settle({ kind: 'node', node: node.name, address })
    for (const pod of content.pods) {
      const ends = pod.addresses.map((address): End => {
        return pod.hostNetwork ? { kind: 'node', node: pod.node, address } : { kind: 'pod', pod, address }
      })
      this.#endsOf.set(pod, ends)
      for (const end of ends) this.#settle(end)
    }
  }

  /** Who stands at an address: a pod, a node, or the world. */
  endAt(address: IpAddress): End {
    const known = this.#ends.get(addressKey(address))
    if (known) return known
    const names = this.#namesAt(address)
    return { kind: 'world', address, ...(names.length > 0 && { names }) }
  }

  /** A pod at its first address, or its first of a family; undefined when it has none. The same object every time. */
  endOf(pod: ClusterPod, family?: 4 | 6): End | undefined {
    return this.#endsOf.get(pod)?.find(({ address }) => family === undefined || address.family === family)
  }

  /** Whether `from` may open a connection to a port of `to`, and what decides it on either side. For ICMP the port is the type. */
  verdict(from: End, to: End, protocol: number, port: number): ConnectionVerdict {
    // A new address of the world may bring a new identity, so both are settled before either policy is resolved.
    for (const [end, other] of [
      [from, to],
      [to, from],
    ] as const)
      this.#identityOf(end, nodeOf(other))
    return verdict(this.party(from, to), this.party(to, from), protocol, port)
  }

  /** An end as the policy of the other one sees it; without another, as another node does. */
  party(end: End, other?: End): Party {
    const identity = this.#identityOf(end, other && nodeOf(other))
    const policy = end.kind === 'pod' ? this.#policyOf(end.pod) : undefined
    return { identity, policy, isOwnNode: other !== undefined && isOwnNode(end, other) }
  }

  /** Labels of what stands at an address, as the policy of the other end sees them. */
  addressLabels(end: End, other?: End): LabelSet {
    return this.#identities.lookup(this.#identityOf(end, other && nodeOf(other))) ?? EMPTY_LABELS
  }

  /** Labels of a pod, without those of its addresses: what the subjects of policies select by. */
  podLabels(pod: ClusterPod): LabelSet {
    return this.#baseLabelsOf(pod)
  }

  /** Selectors that select a name of an address. */
  #namesAt(address: IpAddress): string[] {
    const own = this.#learntNames.get(addressKey(address)) ?? []
    const selectors = new NameSelectors(own.length > 0 ? this.repository.references().nameSelectors : [])
    return [...new Set(own.flatMap(({ name }) => selectors.selecting(name)))].sort()
  }

  #policyOf(pod: ClusterPod): ResolvedPolicy {
    const { namedPorts, visibility } = pod
    const subject = { labels: this.#baseLabelsOf(pod), namedPorts, ...(visibility && { visibility }) }
    const isAudited = this.content.auditedNamespaces?.has(pod.namespace)
    return this.repository.resolve(isAudited ? { ...subject, audit: true } : subject)
  }

  #settle(end: End): void {
    this.#ends.set(addressKey(end.address), end)
    if (end.kind === 'pod') this.#identityOf(end, undefined)
    if (end.kind === 'node') for (const viewer of [end.node, undefined]) this.#identityOf(end, viewer)
  }

  /** Number of what stands at an address, as the node of the other end knows it: a node is `host` to itself alone. */
  #identityOf(end: End, viewer: string | undefined): number {
    const isHost = end.kind === 'node' && end.node === viewer
    const names = namesOf(end)
    const key = `${isHost ? 'host ' : ''}${addressKey(end.address)} ${names.join(' ')}`
    const known = this.#numbers.get(key)
    if (known !== undefined) return known
    const number = this.#allocate(this.#baseOf(end, isHost), end)
    this.#numbers.set(key, number)
    return number
  }

  /** One for all ends that nothing tells apart. */
  #allocate(base: LabelSet, end: End): number {
    const references = this.repository.references()
    const ports = end.kind === 'pod' ? end.pod.namedPorts : []
    const cidrs = references.prefixes.covering(end.address).map(({ prefix }) => prefix.text)
    const names = namesOf(end)
    const key = [base.key, cidrs.join(), names.join(' '), ...namedPortTexts(ports)].join('\n')
    const known = this.#numbersByContent.get(key)
    if (known !== undefined) return known
    const labels = withLabels(addressLabels(base, end.address, references, ports), names.map(nameLabel))
    const number = this.#identities.allocate(labels)
    this.repository.setIdentity(number, labels)
    this.#numbersByContent.set(key, number)
    return number
  }

  #baseOf(end: End, isHost: boolean): LabelSet {
    if (end.kind === 'pod') return this.#baseLabelsOf(end.pod)
    if (end.kind === 'node') return reservedLabels(isHost ? 'host' : 'remote-node')
    return reservedLabels(end.address.family === 4 ? 'world-ipv4' : 'world-ipv6')
  }

  #baseLabelsOf(pod: ClusterPod): LabelSet {
    const known = this.#baseLabels.get(pod)
    if (known) return known
    const { namespace, labels, serviceAccount } = pod
    const key = JSON.stringify([namespace, serviceAccount, labels])
    const base = this.#baseLabelsByContent.get(key) ?? this.#makeBaseLabels(pod)
    this.#baseLabelsByContent.set(key, base)
    this.#baseLabels.set(pod, base)
    return base
  }

  #makeBaseLabels({ namespace, labels, serviceAccount }: ClusterPod): LabelSet {
    const namespaceLabels = this.content.namespaceLabels.get(namespace) ?? {}
    return podLabels({ namespace, namespaceLabels, labels, serviceAccount }, this.repository.references().labelKeys)
  }
}

const namesOf = (end: End): readonly string[] => (end.kind === 'world' && end.names) || []

/** Whether an end is the node that the other one runs on. */
export function isOwnNode(end: End, other: End): boolean {
  return end.kind === 'node' && end.node === nodeOf(other)
}

/** Name of the node that an end is on; undefined for the world. */
function nodeOf(end: End): string | undefined {
  if (end.kind === 'pod') return end.pod.node
  return end.kind === 'node' ? end.node : undefined
}

const addressKey = ({ bytes }: IpAddress): string => formatIp(bytes)
