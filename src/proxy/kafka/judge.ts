// What may be asked on a connection now: the kernel says by which rule sets, the
// supervisor has said what is in them. Who is not known, and a set that is not there,
// allow nothing.

import { type KafkaVerdict, matchKafka } from '../../kafka/index.ts'
import type { KafkaRule, L7RuleSet } from '../../policy/index.ts'
import type { RuleSetChange, RuleSetFailure } from '../child.ts'
import type { KnownFlow } from '../known-flows.ts'

type Subject = Parameters<typeof matchKafka>[1]

/** What one direction's rules say; absent: it has none. */
export type Judged = {
  readonly flow: KnownFlow | undefined
  readonly allowed: boolean
  readonly egress?: KafkaVerdict
  readonly ingress?: KafkaVerdict
  /** For people: why it is denied, where it is not for what the rules say. */
  readonly reason?: string
}

const NOTHING: KafkaVerdict = { allowed: false, topics: [{}] }

export class KafkaRuleSets {
  readonly #sets = new Map<number, readonly KafkaRule[]>()

  apply({ whole, add, remove }: RuleSetChange): readonly RuleSetFailure[] {
    if (whole) this.#sets.clear()
    for (const number of remove) this.#sets.delete(number)
    // Sets of other proxies come too, and are not ours to judge.
    for (const set of add) if (isKafka(set)) this.#sets.set(set.number, set.rules.rules)
    return []
  }

  get size(): number {
    return this.#sets.size
  }

  judge(flow: KnownFlow | undefined, subject: Subject): Judged {
    if (!flow) return { flow, allowed: false, reason: 'the kernel does not know the connection' }
    const [egress, ingress] = flow.sets.map(number => this.#verdict(number, subject))
    const missing = flow.sets.find(number => number !== 0 && !this.#sets.has(number))
    return {
      flow,
      allowed: (egress?.allowed ?? true) && (ingress?.allowed ?? true),
      ...(egress && { egress }),
      ...(ingress && { ingress }),
      ...(missing !== undefined && { reason: `rule set ${missing} is not known here` }),
    }
  }

  #verdict(number: number, subject: Subject): KafkaVerdict | undefined {
    if (number === 0) return undefined
    const rules = this.#sets.get(number)
    return rules ? matchKafka(rules, subject) : NOTHING
  }
}

type KafkaSet = L7RuleSet & { readonly rules: { readonly parser: 'kafka' } }
const isKafka = (set: L7RuleSet): set is KafkaSet => set.rules.parser === 'kafka'

/** Everything may be said: it is passed on without being understood. */
export const isUnrestricted = (flow: KnownFlow | undefined): boolean =>
  flow !== undefined && flow.sets.every(number => number === 0)
