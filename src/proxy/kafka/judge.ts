// What may be asked on a connection now: the kernel says by which rule sets, the
// supervisor has said what is in them. Who is not known, and a set that is not there,
// allow nothing.

import { type KafkaVerdict, matchKafka } from '../../kafka/index.ts'
import type { KafkaRule, L7RuleSet } from '../../policy/index.ts'
import type { RuleSetChange, RuleSetFailure } from '../child.ts'
import type { KnownFlow } from '../known-flows.ts'

type Subject = Parameters<typeof matchKafka>[1]

/** `audited`: rules that are only tried out allow not all of it; what they deny has no rule. */
export type DirectionVerdict = KafkaVerdict & { readonly audited?: true }

/** What one direction's rules say; absent: it has none. */
export type Judged = {
  readonly flow: KnownFlow | undefined
  readonly allowed: boolean
  readonly egress?: DirectionVerdict
  readonly ingress?: DirectionVerdict
  /** For people: why it is denied, where it is not for what the rules say. */
  readonly reason?: string
}

const NOTHING: KafkaVerdict = { allowed: false, topics: [{}] }

export class KafkaRuleSets {
  readonly #sets = new Map<number, readonly KafkaRule[]>()
  /** Numbers of those that are only tried out. */
  readonly #tried = new Set<number>()
  /** And of those that a rule without any condition is in too: they are there to see, not to deny. */
  readonly #open = new Set<number>()

  apply({ whole, add, remove }: RuleSetChange): readonly RuleSetFailure[] {
    for (const number of whole ? [...this.#sets.keys()] : remove) {
      this.#sets.delete(number)
      this.#open.delete(number)
      this.#tried.delete(number)
    }
    // Sets of other proxies come too, and are not ours to judge.
    for (const set of add.filter(isKafka)) {
      this.#sets.set(set.number, set.rules.rules)
      if (set.rules.audit) this.#tried.add(set.number)
      if (set.rules.audit || set.rules.rules.some(allowsEverything)) this.#open.add(set.number)
    }
    return []
  }

  get size(): number {
    return this.#sets.size
  }

  /** Everything may be said, also what is not understood. */
  isUnrestricted(flow: KnownFlow | undefined): boolean {
    return flow?.sets.every(number => number === 0 || this.#open.has(number)) ?? false
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

  #verdict(number: number, subject: Subject): DirectionVerdict | undefined {
    if (number === 0) return undefined
    const rules = this.#sets.get(number)
    const verdict = rules ? matchKafka(rules, subject) : NOTHING
    return verdict.allowed || !this.#tried.has(number) ? verdict : { ...verdict, allowed: true, audited: true }
  }
}

type KafkaSet = L7RuleSet & { readonly rules: { readonly parser: 'kafka' } }
const isKafka = (set: L7RuleSet): set is KafkaSet => set.rules.parser === 'kafka'

const allowsEverything = ({ apiKeys, apiVersion, clientId, topic }: KafkaRule): boolean =>
  [apiKeys, apiVersion, clientId, topic].every(condition => condition === undefined)
