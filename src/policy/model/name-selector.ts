// Names of DNS as rules of peers select them: a name, or a pattern of names. The text of
// a selector is its own canonical form, and the key of the label `fqdn:SELECTOR` that an
// address has when a name that it selects was answered with that address.

import { has, selector } from '../../labels/index.ts'
import type { Peer } from './rule.ts'

/** Lower case, without the last dot: `api.example.com`, `*.example.com`, `**.example.com`, `*`. Of a name the same. */
export function canonicalName(text: string): string {
  return text.toLowerCase().replace(/\.$/, '')
}

/** Who stands at the addresses of the names that a selector selects: always somebody outside the cluster. */
export function namePeer(text: string): Peer {
  return { kind: 'selector', selector: selector([has('fqdn', canonicalName(text)), has('reserved', 'world')]) }
}

/** A selector for people. */
export const nameWords = (text: string): string => (text.includes('*') ? `names matching ${text}` : text)

const EVERY_NAME = '*'
/** At the beginning: one label or more before the rest. */
const ANY_DEPTH = '**.'

/**
 * Whether a selector selects a name; both canonical. `*` stands for any characters of names but a dot, `*` alone for every
 * name, `**.` at the beginning, or `**` alone, for any labels, at least one. Takes time in proportion to both lengths.
 */
export function selectsName(nameSelector: string, name: string): boolean {
  if (nameSelector === EVERY_NAME || nameSelector === name) return true
  if (!nameSelector.includes('*')) return false
  const isDeep = nameSelector === '**' || nameSelector.startsWith(ANY_DEPTH)
  const rest = isDeep ? nameSelector.slice(ANY_DEPTH.length) : nameSelector
  const patterns = rest === '' ? [] : rest.split('.')
  const labels = name.split('.')
  const surplus = labels.length - patterns.length
  if (isDeep ? surplus < 1 : surplus !== 0) return false
  return (
    labels.slice(0, surplus).every(label => LABEL.test(label)) &&
    patterns.every((pattern, i) => matchesLabel(pattern, labels[surplus + i] ?? ''))
  )
}

const LABEL = /^[-a-z0-9_]+$/

/** One label: each star takes as little as it can, and more where what follows it does not match. */
function matchesLabel(pattern: string, label: string): boolean {
  if (!pattern.includes('*')) return pattern === label
  if (!LABEL.test(label)) return false
  let [at, star, taken] = [0, -1, 0]
  for (let i = 0; i < label.length; ) {
    if (pattern[at] === '*') {
      star = at++
      taken = i
    } else if (pattern[at] === label[i]) {
      at++
      i++
    } else if (star >= 0) {
      at = star + 1
      i = ++taken
    } else return false
  }
  while (pattern[at] === '*') at++
  return at === pattern.length
}

/** Selectors that are asked again and again which of them select a name. */
export class NameSelectors {
  readonly #patterns: readonly string[]
  readonly #names: ReadonlySet<string>

  /** @param selectors canonical */
  constructor(selectors: Iterable<string>) {
    const all = [...selectors]
    this.#names = new Set(all.filter(text => !text.includes('*')))
    this.#patterns = all.filter(text => text.includes('*'))
  }

  /** Those that select a name, canonical. */
  selecting(name: string): string[] {
    const patterns = this.#patterns.filter(pattern => selectsName(pattern, name))
    return this.#names.has(name) ? [name, ...patterns] : patterns
  }
}
