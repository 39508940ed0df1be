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
  RESERVED,
  reservedLabels,
} from '../labels/index.ts'
import type { References } from '../policy/index.ts'
import { type Address, type Endpoint, type Node, objectKey, type Pod, type Problem } from '../tables/index.ts'
import type { PodLabels } from './pod-labels.ts'

/** Who claims an address, with the labels that it would have. */
type Claim = {
  readonly prefix: string
  readonly labels: LabelSet
  readonly owner: string
  readonly isHost: boolean
  /** Container id of the endpoint that uses the address. */
  readonly endpoint: string | undefined
}

/** Two owners of one address. The first has it. */
export type AddressConflict = { readonly prefix: string; readonly owner: string; readonly other: string }

export type AddressPlan = {
  readonly claims: ReadonlyMap<string, Claim>
  readonly conflicts: readonly AddressConflict[]
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
}

/** Decides who has each address: who really uses one beats who only declares it. Depends on facts and references alone. */
export function planAddresses(facts: AddressFacts, references: References, podLabels: PodLabels): AddressPlan {
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
    claim({ prefix: hostPrefix(text), labels, owner, isHost, endpoint: undefined })
  }

  for (const address of facts.ownNode.addresses)
    claimAddress(address, reservedLabels('host'), `node ${facts.ownNode.name}`, true)
  for (const { name, addresses } of facts.nodes)
    if (name !== facts.ownNode.name)
      for (const address of addresses) claimAddress(address, reservedLabels('remote-node'), `node ${name}`)
  for (const { pod, addresses, endpoint } of podAddresses(facts))
    for (const address of addresses) {
      const identity = podLabels.address(address, pod, facts.namespaceLabels(pod.namespace), references)
      if (identity) claim({ ...identity, owner: `pod ${objectKey(pod)}`, isHost: false, endpoint })
    }

  const claimPrefix = (prefix: Cidr, base: LabelSet, owner: string): void =>
    claim({
      prefix: prefix.text,
      labels: addressLabels(base, prefix, references),
      owner,
      isHost: false,
      endpoint: undefined,
    })
  for (const { prefix, base } of WORLD) claimPrefix(prefix, base, 'world')
  for (const { prefix } of references.prefixes)
    if (!claims.has(prefix.text)) claimPrefix(prefix, worldOf(prefix), 'policy')
  return { claims, conflicts }
}

const WORLD = [
  { prefix: cidr('0.0.0.0/0'), base: reservedLabels('world-ipv4') },
  { prefix: cidr('::/0'), base: reservedLabels('world-ipv6') },
] as const

const worldOf = (prefix: Cidr): LabelSet => reservedLabels(prefix.family === 4 ? 'world-ipv4' : 'world-ipv6')

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

/** An address whose labels got no number. It counts as nobody's: only what is allowed to anybody is allowed to it. */
export type Unnumbered = {
  readonly prefix: string
  readonly owner: string
  readonly error: IdentityRangeExhaustedError
}

export type Assignment = {
  readonly addresses: readonly Address[]
  readonly identities: ReadonlyMap<number, LabelSet>
  readonly unnumbered: readonly Unnumbered[]
  /** To be called when the addresses are in force: gives back the numbers that are not used any more. */
  readonly release: () => void
}

/** Holds the numbers of all claimed addresses: taken before they are written down, given back after. */
export class IdentityHolder {
  readonly #allocator: IdentityAllocator
  #held: readonly number[] = []

  constructor(allocator: IdentityAllocator) {
    this.#allocator = allocator
  }

  /**
   * Numbers for a plan. New ones are allocated before old ones are released, so that a label set that moves from one
   * address to another keeps its number.
   */
  assign(plan: AddressPlan): Assignment {
    const before = this.#held
    const held: number[] = []
    const identities = new Map<number, LabelSet>()
    const addresses: Address[] = []
    const unnumbered: Unnumbered[] = []
    for (const { prefix, labels, owner, isHost } of plan.claims.values()) {
      const identity = this.#allocate(labels)
      if (identity instanceof IdentityRangeExhaustedError) unnumbered.push({ prefix, owner, error: identity })
      else {
        held.push(identity)
        identities.set(identity, labels)
      }
      addresses.push({ prefix, identity: typeof identity === 'number' ? identity : RESERVED.unknown, isHost, owner })
    }
    this.#held = held
    const release = (): void => {
      for (const number of before) this.#allocator.release(number)
    }
    return { addresses, identities, unnumbered, release }
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

/** Problems that are about no file stand under this name. */
export const ADDRESSES_FILE = '(addresses)'

/** What people are told of addresses that two claim, and of those that no identity was left for. */
export function addressProblems(conflicts: readonly AddressConflict[], unnumbered: readonly Unnumbered[]): Problem[] {
  return [...conflicts.map(conflictProblem), ...unnumbered.map(unnumberedProblem)]
}

const conflictProblem = ({ prefix, owner, other }: AddressConflict): Problem =>
  addressProblem(
    `conflict ${prefix} ${other}`,
    other,
    `address ${prefix} is claimed by ${owner} and by ${other}; ${owner} keeps it`,
  )

const unnumberedProblem = ({ prefix, owner, error }: Unnumbered): Problem =>
  addressProblem(
    `unnumbered ${prefix}`,
    owner,
    `address ${prefix} of ${owner} counts as nobody's, and only what is allowed to anybody is allowed to it: ${error.message}`,
  )

function addressProblem(id: string, object: string, message: string): Problem {
  return { id, severity: 'error', object, message, file: ADDRESSES_FILE, line: 0, column: 0 }
}
