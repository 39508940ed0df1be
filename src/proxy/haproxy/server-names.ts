// What HAProxy is told of a set of names of servers: entries of one map, which
// ./server-name.lua looks up. A name costs one entry, and judging by ten thousand what
// judging by one costs; patterns cost it for those of the same ending.
//
// Keys begin with the kernel's word for the set; then, each with 1 + place of its rule:
//   =NAME.   the name; and `!`, a client that names none
//   *        every name
//   ?        of rules for HTTP inside of TLS: names are limited
//   &        AUDITED for every name that no other key is for: the set is only tried out
//   ~END.#n  pattern n, counted from 1, of those whose last labels are END (`~.#n`: that end in a label with a star):
//            PLACE:DEEP:LABELS, where DEEP is 1 when a label or more may come before, and LABELS are those before END,
//            the last one first, with commas

import { indexNames } from '../../dns/index.ts'
import { AUDITED, PROXY_ANSWER } from '../../http/index.ts'
import type { L7RuleSet, ServerNameRule } from '../../policy/index.ts'
// Not by the face of the area, which is all of the policy engine: a supervisor is to be small.
import { VISIBILITY } from '../../policy/model/rule.ts'
import type { HaproxyMapEntry } from './options.ts'

/** A missing entry allows nothing. */
export function serverNameEntries({ number, rules: set }: L7RuleSet): readonly HaproxyMapEntry[] {
  const names = namesOf(set)
  if (names.length === 0) return []
  const answer = String(PROXY_ANSWER + number)
  const entries: HaproxyMapEntry[] = []
  const add = (key: string, value: string | number): void => {
    entries.push({ map: 'server-names', key: `${answer}${key}`, value: String(value) })
  }
  const { exact, every, bySuffix } = indexNames(names.map(({ serverName }) => ({ pattern: serverName })))
  for (const [name, [first = 0]] of exact) add(`=${name}`, first + 1)
  if (every[0] !== undefined) add('*', every[0] + 1)
  for (const [suffix, patterns] of bySuffix)
    for (const [place, { index, labels, deep }] of patterns.entries()) {
      const text = labels.map(pieces => pieces.join('*')).join(',')
      add(`~${suffix}#${place + 1}`, `${index + 1}:${deep ? 1 : 0}:${text}`)
    }
  // Who only wants to see connections wants none of them cut.
  const seen = names.findIndex(({ rule }) => rule === VISIBILITY)
  if (seen >= 0) add('!', seen + 1)
  if (set.parser === 'http') add('?', 1)
  if (set.audit) add('&', AUDITED)
  return entries
}

const namesOf = (set: L7RuleSet['rules']): readonly ServerNameRule[] => {
  if (set.parser === 'http') return set.serverNames
  return set.parser === 'tls' ? set.rules : []
}
