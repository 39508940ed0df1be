// What the number of a rule in an event stands for.

import type { NumberedRule, Tables } from '../tables/index.ts'
import type { FlowRule } from './flow.ts'

export type NamedRule = FlowRule & Pick<NumberedRule, 'log'>

/** Undefined for 0, where no rule decided. */
export function ruleOf(number: number, { rules }: Tables): NamedRule | undefined {
  if (number === 0) return undefined
  return rules.get(String(number)) ?? { number, text: `rule ${number}` }
}

export const shownRule = ({ number, text, field }: NamedRule): FlowRule => ({ number, text, ...(field && { field }) })

/** What rules have to say, each text once. */
export const logsOf = (rules: readonly (NamedRule | undefined)[]): string[] => [
  ...new Set(rules.flatMap(rule => (rule?.log === undefined ? [] : [rule.log]))),
]
