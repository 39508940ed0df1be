// Verdicts for many connections of a cluster that does not change meanwhile. Ends with
// equal identity and policy are alike, so each pair of kinds of ends is judged once a
// port.

import {
  areLimiting,
  type ConnectionVerdict,
  type Judgement,
  type Party,
  rulesOf,
  verdict,
} from '../engine/evaluate.ts'
import { policyKey } from '../model/rule.ts'
import { type Cluster, type End, isOwnNode } from './cluster.ts'

/**
 * `judged`: allowed as far as API-level rules allow what is said. `audited`: a policy that is tried out would deny it; it
 * is recorded and passes.
 */
export type Outcome = 'allowed' | 'judged' | 'denied' | 'audited'

/** Whether a connection may be opened, whatever is said on it then. */
export const isOpened = (outcome: Outcome): boolean => outcome === 'allowed' || outcome === 'judged'

/** What becomes of a connection. */
export function outcomeOf({ verdict, egress, ingress }: ConnectionVerdict): Outcome {
  if (verdict === 'denied') return 'denied'
  if (egress?.audit || ingress?.audit) return 'audited'
  return isLimited(egress) || isLimited(ingress) ? 'judged' : 'allowed'
}

/** What would become of it if one end's policies were asked alone. */
export function outcomeOfSide(judgement: Judgement): Outcome {
  if (judgement.audit) return 'audited'
  return isLimited(judgement) ? 'judged' : judgement.verdict
}

function isLimited(judgement: Judgement | undefined): boolean {
  const rules = rulesOf(judgement)
  return rules !== undefined && areLimiting(rules)
}

export class Judge {
  readonly #cluster: Cluster
  readonly #kinds = new Map<string, number>()
  readonly #kindOf = new Map<End, number>()
  readonly #pairs = new Map<number, Map<number, ConnectionVerdict>>()

  /** `ends`: all that will be asked for. Settled first, since an address that is new may change what policies come to. */
  constructor(cluster: Cluster, ends: Iterable<End>) {
    this.#cluster = cluster
    for (const end of ends) {
      cluster.party(end)
      if (end.kind === 'node') cluster.party(end, end)
    }
  }

  /** Whether `from` may open a connection to a port of `to`; for ICMP the port is the type. */
  between(from: End, to: End): (protocol: number, port: number) => ConnectionVerdict {
    const verdicts = this.#verdictsOf(this.pairKind(from, to))
    let parties: readonly [Party, Party] | undefined
    return (protocol, port) => {
      const portKey = protocol * 65536 + port
      const known = verdicts.get(portKey)
      if (known) return known
      parties ??= [this.#cluster.party(from, to), this.#cluster.party(to, from)]
      const made = verdict(...parties, protocol, port)
      verdicts.set(portKey, made)
      return made
    }
  }

  /** Equal for pairs of ends that get the same verdicts. */
  pairKind(from: End, to: End): number {
    const ownNode = from.kind === 'node' || to.kind === 'node' ? ownNodeOf(from, to) : 0
    return (this.kind(from) * MOST_KINDS + this.kind(to)) * 3 + ownNode
  }

  /** Equal for ends that are alike to every policy. */
  kind(end: End): number {
    const known = this.#kindOf.get(end)
    if (known !== undefined) return known
    const { identity, policy } = this.#cluster.party(end)
    // Who isolates is no part of the entries, and yet of the answer.
    const isolatedBy = policy ? [policy.isolatedBy.ingress, policy.isolatedBy.egress] : []
    const key = `${identity} ${policy?.key ?? ''} ${JSON.stringify(isolatedBy.map(refs => refs.map(policyKey)))}`
    const kind = this.#kinds.get(key) ?? this.#kinds.size
    this.#kinds.set(key, kind)
    this.#kindOf.set(end, kind)
    return kind
  }

  #verdictsOf(pair: number): Map<number, ConnectionVerdict> {
    const known = this.#pairs.get(pair)
    if (known) return known
    const made = new Map<number, ConnectionVerdict>()
    this.#pairs.set(pair, made)
    return made
  }
}

/** More than there are identities, and few enough for keys of pairs to stay exact integers. */
const MOST_KINDS = 2 ** 25

const ownNodeOf = (from: End, to: End): number => (isOwnNode(from, to) ? 1 : isOwnNode(to, from) ? 2 : 0)
