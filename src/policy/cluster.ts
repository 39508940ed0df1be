// A cluster as manifests describe it, without an agent: who stands at which address,
// which identity that has, and whether one end may open a connection to another. It
// takes the way that an agent takes, from labels through identities and the repository
// to map entries and the look-up of the kernel, and knows no shorter one.

import type { IpAddress } from '../ip/index.ts'
import {
  addressLabels,
  type LabelSet,
  LocalIdentityAllocator,
  type NamedPort,
  podLabels,
  reservedIdentities,
  reservedLabels,
} from '../labels/index.ts'
import { type ConnectionVerdict, type Party, verdict } from './evaluate.ts'
import { PolicyRepository, type ResolvedPolicy } from './repository.ts'
import type { Policy } from './rule.ts'

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
  /** Name of its node; empty for the one node of a cluster that names none. */
  readonly node: string
}

export type ClusterNode = { readonly name: string; readonly addresses: readonly IpAddress[] }

export type ClusterContent = {
  readonly pods: readonly ClusterPod[]
  readonly nodes: readonly ClusterNode[]
  /** Labels by namespace. A namespace that is not here has none but its name. */
  readonly namespaceLabels: ReadonlyMap<string, Readonly<Record<string, string>>>
  readonly policies: readonly Policy[]
}

/** One end of a connection: who stands there, and at which address. */
export type End =
  | { readonly kind: 'pod'; readonly pod: ClusterPod; readonly address: IpAddress }
  | { readonly kind: 'node'; readonly node: string; readonly address: IpAddress }
  | { readonly kind: 'world'; readonly address: IpAddress }

export class Cluster {
  readonly content: ClusterContent
  /** For the rules behind a verdict. */
  readonly repository = new PolicyRepository()
  readonly #identities = new LocalIdentityAllocator({ now: () => 0 })
  readonly #ends = new Map<string, End>()
  readonly #numbers = new Map<string, number>()
  readonly #baseLabels = new Map<ClusterPod, LabelSet>()

  /** @throws IdentityRangeExhaustedError when the pods have more kinds of labels than there are identities */
  constructor(content: ClusterContent) {
    this.content = content
    for (const policy of content.policies) this.repository.setPolicy(policy)
    for (const { number, labels } of reservedIdentities()) this.repository.setIdentity(number, labels)
    for (const node of content.nodes)
      for (const address of node.addresses) this.#settle({ kind: 'node', node: node.name, address })
    for (const pod of content.pods)
      for (const address of pod.addresses)
        this.#settle(pod.hostNetwork ? { kind: 'node', node: pod.node, address } : { kind: 'pod', pod, address })
  }

  /** Who stands at an address: a pod, a node, or the world. */
  endAt(address: IpAddress): End {
    return this.#ends.get(addressKey(address)) ?? { kind: 'world', address }
  }

  /** A pod at its first address, or its first of a family; undefined when it has none. */
  endOf(pod: ClusterPod, family?: 4 | 6): End | undefined {
    const address = pod.addresses.find(({ family: of }) => family === undefined || of === family)
    if (!address) return undefined
    return pod.hostNetwork ? { kind: 'node', node: pod.node, address } : { kind: 'pod', pod, address }
  }

  /** Whether `from` may open a connection to a port of `to`, and what decides it on either side. For ICMP the port is the type. */
  verdict(from: End, to: End, protocol: number, port: number): ConnectionVerdict {
    const [sender, receiver] = this.parties(from, to)
    return verdict(sender, receiver, protocol, port)
  }

  /** Both ends as the policies of the other see them. */
  parties(from: End, to: End): readonly [Party, Party] {
    // A new address of the world may bring a new identity, so both are settled before either policy is resolved.
    const identities = [this.#identityOf(from, nodeOf(to)), this.#identityOf(to, nodeOf(from))] as const
    const isOwnNode = from.kind === 'node' && from.node === nodeOf(to)
    return [
      { identity: identities[0], policy: this.#policyOf(from), isOwnNode },
      { identity: identities[1], policy: this.#policyOf(to) },
    ]
  }

  #policyOf(end: End): ResolvedPolicy | undefined {
    if (end.kind !== 'pod') return undefined
    return this.repository.resolve({ labels: this.#baseLabelsOf(end.pod), namedPorts: end.pod.namedPorts })
  }

  #settle(end: End): void {
    this.#ends.set(addressKey(end.address), end)
    if (end.kind === 'pod') this.#identityOf(end, undefined)
    if (end.kind === 'node') for (const viewer of [end.node, undefined]) this.#identityOf(end, viewer)
  }

  /** Number of what stands at an address, as the node of the other end knows it: a node is `host` to itself alone. */
  #identityOf(end: End, viewer: string | undefined): number {
    const isHost = end.kind === 'node' && end.node === viewer
    const key = `${isHost ? 'host ' : ''}${addressKey(end.address)}`
    const known = this.#numbers.get(key)
    if (known !== undefined) return known
    const ports = end.kind === 'pod' ? end.pod.namedPorts : []
    const labels = addressLabels(this.#baseOf(end, isHost), end.address, this.repository.references(), ports)
    const number = this.#identities.allocate(labels)
    this.repository.setIdentity(number, labels)
    this.#numbers.set(key, number)
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
    const namespaceLabels = this.content.namespaceLabels.get(namespace) ?? {}
    const base = podLabels(
      { namespace, namespaceLabels, labels, serviceAccount },
      this.repository.references().labelKeys,
    )
    this.#baseLabels.set(pod, base)
    return base
  }
}

/** Name of the node that an end is on; undefined for the world. */
function nodeOf(end: End): string | undefined {
  if (end.kind === 'pod') return end.pod.node
  return end.kind === 'node' ? end.node : undefined
}

const addressKey = ({ bytes }: IpAddress): string => bytes.join('.')
