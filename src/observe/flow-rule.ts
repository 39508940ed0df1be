// What the number of a rule in an event stands for.

import { placeText } from '../policy/index.ts'
import type { NumberedRule, Tables } from '../tables/index.ts'
import type { FlowRule } from './flow.ts'

export type NamedRule = FlowRule & Pick<NumberedRule, 'log' | 'said'>

/** Undefined for 0, where no rule decided. */
export function ruleOf(number: number, { rules }: Tables): NamedRule | undefined {
  if (number === 0) return undefined
  return rules.get(String(number)) ?? { number, text: `rule ${number}` }
}

/** Of a rule or of a field in it, with the line of that. */
export function ruleText({ text, said }: Pick<NumberedRule, 'text' | 'said'>, field: string | undefined): string {
  const line = field === undefined ? undefined : said?.lines[field]
  return said && line !== undefined ? `${said.name}${placeText({ file: said.file, line })}` : text
}

export const shownRule = (rule: NamedRule): FlowRule => ({
  number: rule.number,
  text: ruleText(rule, rule.field),
  ...(rule.field && { field: rule.field }),
})

/** What rules have to say, each text once. */
export const logsOf = (rules: readonly (NamedRule | undefined)[]): string[] => [
  ...new Set(rules.flatMap(rule => (rule?.log === undefined ? [] : [rule.log]))),
]
