// What policies name and identities therefore have to tell apart: prefixes, named
// ports of egress rules, label keys, names of DNS. Counted, so that the last policy that named a
// thing takes it away.

import { type Cidr, cidr, PrefixTrie } from '../../ip/index.ts'
import { namedPortKey, type Selector } from '../../labels/index.ts'
import { isResolved, type Policy, peerSelector } from '../model/rule.ts'

/** A live view; `revision` grows with every change of the others. */
export type References = {
  readonly revision: number
  /** Prefixes of all blocks and their exceptions; the values are use counts. */
  readonly prefixes: PrefixTrie<number>
  /** `NAME/PROTOCOL` of the named ports in egress rules. */
  readonly egressNamedPorts: ReadonlySet<string>
  /** Keys of pod labels that selectors ask for: these make identities even where they have a value per pod. */
  readonly labelKeys: ReadonlySet<string>
  /** Selectors of DNS names, canonical (see name-selector.ts). */
  readonly nameSelectors: ReadonlySet<string>
}

/** What a changing set of policies refers to, counted as policies come and go. */
export class ReferenceCounts implements References {
  revision = 0
  readonly prefixes = new PrefixTrie<number>()
  readonly egressNamedPorts = new Set<string>()
  readonly labelKeys = new Set<string>()
  readonly nameSelectors = new Set<string>()
  readonly #uses = new Map<Set<string>, Map<string, number>>([
    [this.egressNamedPorts, new Map()],
    [this.labelKeys, new Map()],
    [this.nameSelectors, new Map()],
  ])

  add(policy: Policy): void {
    this.#count(policy, 1)
  }

  remove(policy: Policy): void {
    this.#count(policy, -1)
  }

  #count(policy: Policy, step: 1 | -1): void {
    for (const spec of policy.specs) {
      this.#countSelector(spec.subject, step)
      for (const { direction, peers, ports } of spec.rules) {
        for (const peer of peers === 'any' ? [] : peers.filter(isResolved))
          this.#countSelector(peerSelector(peer), step)
        if (direction === 'egress' && ports !== 'any')
          for (const { protocol, ports: match } of ports)
            if (match !== 'any' && 'name' in match)
              this.#countName(this.egressNamedPorts, namedPortKey({ name: match.name, protocol }), step)
      }
    }
  }

  #countSelector(selector: Selector, step: 1 | -1): void {
    for (const { source, key } of selector.requirements)
      if (source === 'cidr') this.#countPrefix(cidr(key), step)
      else if (source === 'fqdn') this.#countName(this.nameSelectors, key, step)
      else if (source === 'k8s' || source === 'pod' || source === 'any') this.#countName(this.labelKeys, key, step)
  }

  #countPrefix(prefix: Cidr, step: 1 | -1): void {
    const before = this.prefixes.get(prefix) ?? 0
    if (before + step > 0) this.prefixes.set(prefix, before + step)
    else this.prefixes.delete(prefix)
    if (before === 0 || before + step === 0) this.revision++
  }

  #countName(names: Set<string>, name: string, step: 1 | -1): void {
    const uses = this.#uses.get(names) ?? new Map<string, number>()
    const before = uses.get(name) ?? 0
    uses.set(name, before + step)
    if (before === 0) names.add(name)
    else if (before + step === 0) names.delete(name)
    if (before + step === 0) uses.delete(name)
    if (before === 0 || before + step === 0) this.revision++
  }
}
