// Rules for what is said, by name, and the names of what some rules unite to.

import type { KeyedL7Rules, L7Rules } from '../../model/l7.ts'
import type { Rule } from '../../model/rule.ts'

const http = (name: string): L7Rules => ({
  parser: 'http',
  rules: [{ rule: 'sample', field: name, method: name.toUpperCase(), headers: [] }],
  serverNames: [],
})

/** Of two languages. */
export const L7_SAMPLES = {
  get: http('get'),
  post: http('post'),
  names: { parser: 'dns', rules: [{ rule: 'sample', field: 'names', pattern: '*.' }] },
} as const satisfies Record<string, L7Rules>

export type L7Sample = keyof typeof L7_SAMPLES

/** What a decision's rules are: `get+post`; with the sign of what is only tried out. */
export function l7Names(l7: KeyedL7Rules | undefined): string | undefined {
  return l7 && namesOf([l7.rules]) + (l7.rules.audit ? TRIED : '')
}

/** Ends the names of rules that are only tried out. */
export const TRIED = '?'

/** What the rules of some policies' rules are together; undefined where they are of different languages. */
export function unitedNames(rules: readonly Rule[]): string | undefined {
  const sets = rules.flatMap(({ l7 }) => l7 ?? [])
  return new Set(sets.map(({ parser }) => parser)).size > 1 ? undefined : namesOf(sets)
}

/** In their order, as it says which of several that match is told. */
const namesOf = (sets: readonly L7Rules[]): string =>
  [...new Set(sets.flatMap(({ rules }) => rules.map(({ field }) => field)))].join('+')
