// Policies whose peers refer to objects of their own, with what these come to: found out
// once for each policy, and made anew only when it comes to something else.

import type { Origin, Peer, Policy, PolicyRef } from '../model/rule.ts'

/** A rule that refers to what is not there: an allow then matches nobody, and so does a deny. */
export type UnknownReference = {
  readonly policy: PolicyRef
  /** The rule's field, such as `ingress[0]`. */
  readonly path: string
  readonly origin: Origin
  readonly kind: 'CIDR group' | 'service'
  /** Its name, or the selector that none meets. */
  readonly name: string
}

/** For people: what is wrong with the rule. */
export function unknownReferenceText({ kind, name }: UnknownReference): string {
  return `refers to ${kind} ${name}, which is not there; it stands for ${kind === 'service' ? 'nobody' : 'no address'}`
}

type Expansion = { readonly content: string; readonly policy: Policy }

/** The peers of one kind in policies, and the policies without them. */
export class Expansions<Referring extends Peer> {
  readonly #isReferring: (peer: Peer) => peer is Referring
  /** Asked of every policy at every change of one, and most have none. */
  readonly #peers = new WeakMap<Policy, readonly Referring[]>()
  readonly #expansions = new WeakMap<Policy, Expansion>()

  constructor(isReferring: (peer: Peer) => peer is Referring) {
    this.#isReferring = isReferring
  }

  peersOf(policy: Policy): readonly Referring[] {
    const known = this.#peers.get(policy)
    if (known) return known
    const rules = policy.specs.flatMap(spec => spec.rules)
    const found = rules.flatMap(({ peers }) => (peers === 'any' ? [] : peers.filter(this.#isReferring)))
    this.#peers.set(policy, found)
    return found
  }

  /** The same object as long as the peers come to the same, and the policy itself when it has none of them. */
  expand(policy: Policy, resolve: (peer: Referring) => readonly Peer[]): Policy {
    const peers = this.peersOf(policy)
    if (peers.length === 0) return policy
    const resolved = new Map(peers.map(peer => [peer, resolve(peer)]))
    const content = JSON.stringify([...resolved.values()])
    const known = this.#expansions.get(policy)
    if (known?.content === content) return known.policy
    const expanded = this.#without(policy, peer => resolved.get(peer) ?? [])
    this.#expansions.set(policy, { content, policy: expanded })
    return expanded
  }

  /** Where the policy refers to what is not there, each once. */
  unknownIn(
    policy: Policy,
    kind: UnknownReference['kind'],
    unknownName: (peer: Referring) => string | undefined,
  ): UnknownReference[] {
    if (this.peersOf(policy).length === 0) return []
    const unknown = policy.specs.flatMap(({ rules }) =>
      rules.flatMap(({ peers, path, origin }) =>
        (peers === 'any' ? [] : peers.filter(this.#isReferring)).flatMap((peer): UnknownReference[] => {
          const name = unknownName(peer)
          return name === undefined ? [] : [{ policy: policy.ref, path, origin, kind, name }]
        }),
      ),
    )
    return [...new Map(unknown.map(one => [`${one.path}\n${one.name}`, one])).values()]
  }

  #without(policy: Policy, resolved: (peer: Referring) => readonly Peer[]): Policy {
    const expand = (peer: Peer): readonly Peer[] => (this.#isReferring(peer) ? resolved(peer) : [peer])
    const specs = policy.specs.map(spec => ({
      ...spec,
      rules: spec.rules.map(rule => (rule.peers === 'any' ? rule : { ...rule, peers: rule.peers.flatMap(expand) })),
    }))
    return { ...policy, specs }
  }
}
