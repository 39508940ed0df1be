// Who stands at every address: pods, this node, the world and the prefixes that
// policies name. Turns that into identities and into the content of the ipcache.
// What it writes depends on the intent tables and the policies' references alone,
// never on the order in which they came.

import { type Cidr, cidr, parseIp } from '../ip/index.ts'
import {
  addressLabels,
  type IdentityAllocator,
  IdentityRangeExhaustedError,
  type LabelSet,
  reservedLabels,
} from '../labels/index.ts'
import type { References } from '../policy/index.ts'
import {
  type Address,
  type Endpoint,
  type Node,
  objectKey,
  type Pod,
  type Problem,
  type Tables,
} from '../tables/index.ts'
import type { PodLabels } from './pod-labels.ts'

/** Who claims an address, with the labels that it would have. */
type Claim = { readonly prefix: string; readonly labels: LabelSet; readonly owner: string; readonly isHost: boolean }

/** Two owners of one address. The first has it. */
export type AddressConflict = { readonly prefix: string; readonly owner: string; readonly other: string }

export type AddressPlan = {
  readonly claims: ReadonlyMap<string, Claim>
  readonly conflicts: readonly AddressConflict[]
}

export type AddressFacts = {
  readonly pods: readonly Pod[]
  readonly endpoints: readonly Endpoint[]
  readonly nodes: readonly Node[]
  /** Name and addresses of the node that this agent runs on. */
  readonly ownNode: { readonly name: string; readonly addresses: readonly string[] }
  /** The same object as long as the labels are the same. */
  readonly namespaceLabels: (namespace: string) => Readonly<Record<string, string>>
}

/** How a pod stands in a claim, an address and a conflict. */
export const podOwner = (pod: { readonly namespace: string; readonly name: string }): string => `pod ${objectKey(pod)}`

const NO_LABELS: Readonly<Record<string, string>> = {}

/** Decides who has each address. What it says depends on facts and references alone. */
export function planAddresses(facts: AddressFacts, references: References, podLabels: PodLabels): AddressPlan {
  const claims = new Map<string, Claim>()
  const conflicts: AddressConflict[] = []
  const claim = (prefix: string, labels: LabelSet, owner: string, isHost = false): void => {
    const first = claims.get(prefix)
    if (!first) claims.set(prefix, { prefix, labels, owner, isHost })
    else if (first.owner !== owner) conflicts.push({ prefix, owner: first.owner, other: owner })
  }
  const claimAddress = (text: string, base: LabelSet, owner: string, isHost = false) => {
    const address = parseIp(text)
    if (!address) return
    claim(`${text}/${address.family === 4 ? 32 : 128}`, addressLabels(base, address, references), owner, isHost)
  }

  for (const address of facts.ownNode.addresses)
    claimAddress(address, reservedLabels('host'), `node ${facts.ownNode.name}`, true)
  for (const node of facts.nodes)
    if (node.name !== facts.ownNode.name)
      for (const address of node.addresses) claimAddress(address, reservedLabels('remote-node'), `node ${node.name}`)
  for (const { pod, addresses } of podsWithAddresses(facts))
    for (const address of addresses) {
      const identity = podLabels.address(address, pod, facts.namespaceLabels(pod.namespace), references)
      if (identity) claim(identity.prefix, identity.labels, podOwner(pod))
    }

  for (const { prefix, base } of WORLD) claim(prefix.text, addressLabels(base, prefix, references), 'world')
  for (const { prefix } of references.prefixes)
    if (!claims.has(prefix.text)) claim(prefix.text, addressLabels(worldOf(prefix), prefix, references), 'policy')
  return { claims, conflicts }
}

const WORLD = [
  { prefix: cidr('0.0.0.0/0'), base: reservedLabels('world-ipv4') },
  { prefix: cidr('::/0'), base: reservedLabels('world-ipv6') },
] as const

const worldOf = (prefix: Cidr): LabelSet => reservedLabels(prefix.family === 4 ? 'world-ipv4' : 'world-ipv6')

/** Pods with an interface here come first: an address that is really used beats one that is only declared. */
function podsWithAddresses(facts: AddressFacts): { pod: Pod; addresses: readonly string[] }[] {
  const byKey = new Map(facts.pods.map(pod => [objectKey(pod), pod]))
  const local = new Set<string>()
  const result: { pod: Pod; addresses: readonly string[] }[] = []
  for (const endpoint of facts.endpoints.toSorted((a, b) => a.id - b.id)) {
    const key = objectKey({ namespace: endpoint.podNamespace, name: endpoint.podName })
    const pod = byKey.get(key)
    if (!pod) continue
    local.add(key)
    result.push({ pod, addresses: endpoint.addresses })
  }
  const declared = facts.pods.filter(pod => !pod.hostNetwork && !local.has(objectKey(pod)))
  for (const pod of declared.toSorted((a, b) => (objectKey(a) < objectKey(b) ? -1 : 1)))
    result.push({ pod, addresses: pod.addresses })
  return result
}

/** A claim that got no identity. */
export type RefusedClaim = { readonly prefix: string; readonly owner: string; readonly message: string }

/** Holds the numbers of all claimed addresses: taken before they are written down, given back after. */
export class IdentityHolder {
  readonly #allocator: IdentityAllocator
  /** Number by prefix. */
  #held = new Map<string, number>()

  constructor(allocator: IdentityAllocator) {
    this.#allocator = allocator
  }

  /**
   * Numbers for a plan. New ones are allocated before old ones are released, so that a label set that moves from one
   * address to another keeps its number.
   * @returns rows for the tables; claims that no number was left for, whose addresses stay unknown; and `release`, to be
   *   called when the rows are written
   */
  assign(plan: AddressPlan): {
    addresses: Address[]
    identities: Map<number, LabelSet>
    refused: RefusedClaim[]
    release: () => void
  } {
    const before = this.#held
    const held = new Map<string, number>()
    const identities = new Map<number, LabelSet>()
    const addresses: Address[] = []
    const refused: RefusedClaim[] = []
    for (const { prefix, labels, owner, isHost } of plan.claims.values()) {
      const identity = this.#allocate(labels)
      if (typeof identity !== 'number') {
        refused.push({ prefix, owner, message: identity.message })
        continue
      }
      held.set(prefix, identity)
      identities.set(identity, labels)
      addresses.push({ prefix, identity, isHost, owner })
    }
    this.#held = held
    const release = (): void => {
      for (const number of before.values()) this.#allocator.release(number)
    }
    return { addresses, identities, refused, release }
  }

  #allocate(labels: LabelSet): number | IdentityRangeExhaustedError {
    try {
      return this.#allocator.allocate(labels)
    } catch (error) {
      if (error instanceof IdentityRangeExhaustedError) return error
      throw error
    }
  }
}

export function addressFacts(tables: Tables, ownNode: AddressFacts['ownNode']): AddressFacts {
  return {
    pods: tables.pods.all(),
    endpoints: tables.endpoints.all(),
    nodes: tables.nodes.all(),
    ownNode,
    namespaceLabels: name => tables.namespaces.get(name)?.labels ?? NO_LABELS,
  }
}

/** Problems that are about no file stand under this name. */
export const ADDRESSES_FILE = '(addresses)'

/** What people are told of addresses that two claim, and of those that no identity was left for. */
export function addressProblems(conflicts: readonly AddressConflict[], refused: readonly RefusedClaim[]): Problem[] {
  return [...conflicts.map(conflictProblem), ...refused.map(refusedProblem)]
}

const conflictProblem = ({ prefix, owner, other }: AddressConflict): Problem =>
  addressProblem(
    `conflict ${prefix} ${other}`,
    other,
    `address ${prefix} is claimed by ${owner} and by ${other}; ${owner} keeps it`,
  )

const refusedProblem = ({ prefix, owner, message }: RefusedClaim): Problem =>
  addressProblem(
    `refused ${prefix}`,
    owner,
    `address ${prefix} of ${owner} stays unknown, and policies let it do nothing: ${message}`,
  )

function addressProblem(id: string, object: string, message: string): Problem {
  return { id, severity: 'error', object, message, file: ADDRESSES_FILE, line: 0, column: 0 }
}
