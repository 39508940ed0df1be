// Whether a question may be asked: the kernel knows by which rule sets its connection is
// judged, the sets say which names they allow. What is not known is not allowed.

import { firstMatch, indexNames, type NameIndex } from '../../dns/index.ts'
import type { L7Event, L7Judgement } from '../../tables/index.ts'
import type { RuleSetChange, RuleSetFailure } from '../child.ts'
import type { Connection, KnownFlow, KnownFlows } from '../known-flows.ts'

export type Judgement = Pick<L7Event, 'egress' | 'ingress' | 'deniedBy' | 'reason'> & {
  /** Also where rules that are only tried out deny it: then `deniedBy` says whose. */
  readonly isAllowed: boolean
  readonly identities: readonly [client: number, server: number]
  /** Number; 0: none. */
  readonly service: number
}

const UNKNOWN: Judgement = {
  isAllowed: false,
  identities: [0, 0],
  service: 0,
  egress: { set: 0, policyRule: 0 },
  ingress: { set: 0, policyRule: 0 },
  reason: 'the datapath knows no such connection',
}

export class Judge {
  readonly #flows: Pick<KnownFlows, 'find'>
  #sets = new Map<number, NameIndex>()
  /** Numbers of those that are only tried out. */
  #tried = new Set<number>()

  constructor(flows: Pick<KnownFlows, 'find'>) {
    this.#flows = flows
  }

  /** In force when it returns. */
  apply({ whole, add, remove }: RuleSetChange): RuleSetFailure[] {
    if (whole) {
      this.#sets = new Map()
      this.#tried = new Set()
    }
    for (const number of remove) {
      this.#sets.delete(number)
      this.#tried.delete(number)
    }
    const failures: RuleSetFailure[] = []
    for (const { number, rules } of add)
      if (rules.parser === 'dns') {
        this.#sets.set(number, indexNames(rules.rules))
        if (rules.audit) this.#tried.add(number)
      } else failures.push({ number, error: `its rules are for ${rules.parser}` })
    return failures
  }

  /** @param name undefined for a question that no rule can speak about */
  judge(connection: Connection, name: string | undefined): Judgement {
    const flow = this.#flows.find(connection)
    if (!flow) return UNKNOWN
    const { identities, service } = flow
    const egress = this.#byRules(flow, 0, name)
    const ingress = this.#byRules(flow, 1, name)
    const sides = [['egress', egress] as const, ['ingress', ingress] as const].filter(([, side]) => denies(side))
    const [deniedBy] = sides.find(([, { set }]) => !this.#tried.has(set)) ?? []
    if (deniedBy === undefined) {
      const audited = sides[0] && { deniedBy: sides[0][0] }
      return { isAllowed: true, identities, service, egress, ingress, ...audited }
    }
    const { set } = deniedBy === 'egress' ? egress : ingress
    const reason = this.#sets.has(set) ? {} : { reason: `rule set ${set} is not known here` }
    return { isAllowed: false, identities, service, egress, ingress, deniedBy, ...reason }
  }

  #byRules({ sets, rules }: KnownFlow, side: 0 | 1, name: string | undefined): L7Judgement {
    const set = sets[side]
    const index = set === 0 || name === undefined ? undefined : this.#sets.get(set)
    const rule = index && name !== undefined ? firstMatch(index, name) : undefined
    return { set, policyRule: rules[side], ...(rule !== undefined && { rule }) }
  }
}

const denies = ({ set, rule }: L7Judgement): boolean => set !== 0 && rule === undefined
