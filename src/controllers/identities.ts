// Who stands at every address: pods, this node, the world, the prefixes that policies
// name, and who was answered for a name. Says which labels each has; numbers for them
// and the content of the ipcache follow in identity-holder.ts. What it says depends on
// the intent tables and the policies' references alone, never on their order.

import { type Cidr, cidr, parseIp } from '../ip/index.ts'
import { addressLabels, type LabelSet, reservedLabels } from '../labels/index.ts'
import type { References } from '../policy/index.ts'
import { type Endpoint, type Node, objectKey, type Pod } from '../tables/index.ts'
import { LearntLabels, worldLabels } from './learnt-labels.ts'
import type { PodLabels } from './pod-labels.ts'

/** Who claims an address, with the labels that it would have. */
export type Claim = {
  readonly prefix: string
  readonly labels: LabelSet
  readonly owner: string
  /** `name`: nobody of the cluster, and a name was answered with it. */
  readonly kind: 'pod' | 'node' | 'prefix' | 'name'
  readonly isHost: boolean
  /** Container id of the endpoint that uses the address. */
  readonly endpoint: string | undefined
}

/** Two owners of one address. The first has it. */
export type AddressConflict = { readonly prefix: string; readonly owner: string; readonly other: string }

export type AddressPlan = {
  readonly claims: ReadonlyMap<string, Claim>
  readonly conflicts: readonly AddressConflict[]
  /** Labels that an address may have at any moment: their identities are to be in force before. */
  readonly usual: readonly LabelSet[]
}

/** An endpoint with what its pod declares, or last declared where the pod is gone and its container still runs. */
export type PodEndpoint = { readonly endpoint: Endpoint; readonly pod: Pod }

export type AddressFacts = {
  readonly pods: readonly Pod[]
  readonly endpoints: readonly PodEndpoint[]
  readonly nodes: readonly Node[]
  /** Name and addresses, canonical, of the node that this agent runs on. */
  readonly ownNode: { readonly name: string; readonly addresses: readonly string[] }
  /** The same object as long as the labels are the same. */
  readonly namespaceLabels: (namespace: string) => Readonly<Record<string, string>>
  /** Whether denials at the pods of a namespace are only recorded. */
  readonly isAudited: (namespace: string) => boolean
  /** Names that were answered with each address; canonical. */
  readonly learnt: ReadonlyMap<string, readonly string[]>
}

/** Decides who has each address: who really uses one beats who only declares it. Depends on facts and references alone. */
export function planAddresses(
  facts: AddressFacts,
  references: References,
  podLabels: PodLabels,
  learntLabels = new LearntLabels(),
): AddressPlan {
  const claims = new Map<string, Claim>()
  const conflicts: AddressConflict[] = []
  const claim = (next: Claim): void => {
    const first = claims.get(next.prefix)
    if (!first) claims.set(next.prefix, next)
    else if (first.owner !== next.owner || first.endpoint !== next.endpoint)
      conflicts.push({ prefix: next.prefix, owner: first.owner, other: next.owner })
  }
  const claimAddress = (text: string, base: LabelSet, owner: string, isHost = false): void => {
    const address = parseIp(text)
    if (!address) return
    const labels = addressLabels(base, address, references)
    claim({ prefix: hostPrefix(text), labels, owner, kind: 'node', isHost, endpoint: undefined })
  }

  for (const address of facts.ownNode.addresses)
    claimAddress(address, reservedLabels('host'), `node ${facts.ownNode.name}`, true)
  for (const { name, addresses } of facts.nodes)
    if (name !== facts.ownNode.name)
      for (const address of addresses) claimAddress(address, reservedLabels('remote-node'), `node ${name}`)
  for (const { pod, addresses, endpoint } of podAddresses(facts))
    for (const address of addresses) {
      const identity = podLabels.address(address, pod, facts.namespaceLabels(pod.namespace), references)
      if (identity) claim({ ...identity, owner: `pod ${objectKey(pod)}`, kind: 'pod', isHost: false, endpoint })
    }

  const claimPrefix = (prefix: Cidr, owner: string): void => claim(prefixClaim(prefix, owner, references))
  for (const prefix of WORLD) claimPrefix(prefix, 'world')
  for (const [address, names] of facts.learnt) {
    const found = learntClaim(address, names, references, learntLabels)
    if (found && !claims.has(found.prefix)) claims.set(found.prefix, found)
  }
  for (const { prefix } of references.prefixes) if (!claims.has(prefix.text)) claimPrefix(prefix, 'policy')
  return { claims, conflicts, usual: learntLabels.usual(references) }
}

const WORLD = [cidr('0.0.0.0/0'), cidr('::/0')]

const prefixClaim = (prefix: Cidr, owner: string, references: References): Claim => ({
  prefix: prefix.text,
  labels: worldLabels(prefix, references),
  owner,
  kind: 'prefix',
  isHost: false,
  endpoint: undefined,
})

/** Of an address that names were answered with and nobody of the cluster has; undefined where no policy wants one of them. */
function learntClaim(
  address: string,
  names: readonly string[],
  references: References,
  learntLabels: LearntLabels,
): Claim | undefined {
  const labels = learntLabels.of(address, names, references)
  if (!labels) return undefined
  const owner = `name ${names.toSorted()[0]}`
  return { prefix: hostPrefix(address), labels, owner, kind: 'name', isHost: false, endpoint: undefined }
}

/** Of an address that nobody of the cluster has, as in a plan; undefined where a wider prefix is enough. */
export function outsideClaim(
  address: string,
  names: readonly string[],
  references: References,
  learntLabels: LearntLabels,
): Claim | undefined {
  const prefix = cidr(hostPrefix(address))
  const named = learntClaim(address, names, references, learntLabels)
  return named ?? (references.prefixes.get(prefix) ? prefixClaim(prefix, 'policy', references) : undefined)
}

/** The prefix that holds one address, given as canonical text. */
export const hostPrefix = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`

type PodAddresses = {
  readonly pod: Pod
  readonly addresses: readonly string[]
  readonly endpoint: string | undefined
}

function podAddresses(facts: AddressFacts): PodAddresses[] {
  const used = facts.endpoints
    .toSorted((a, b) => a.endpoint.id - b.endpoint.id)
    .map(({ pod, endpoint }) => ({ pod, addresses: endpoint.addresses, endpoint: endpoint.containerId }))
  const local = new Set(used.map(({ pod }) => objectKey(pod)))
  const declared = facts.pods
    .filter(pod => !pod.hostNetwork && !local.has(objectKey(pod)))
    .toSorted((a, b) => (objectKey(a) < objectKey(b) ? -1 : 1))
  return [...used, ...declared.map(pod => ({ pod, addresses: pod.addresses, endpoint: undefined }))]
}
