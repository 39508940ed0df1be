// Which names rules and selectors mean (docs/policy-semantics.md): exact names are found
// by hash, patterns by the labels that they end in. Matching takes time in proportion to
// the name and to the patterns of equal ending; there is no going back and forth.

import { canonicalName } from './name.ts'
import type { NamePattern } from './teaching.ts'

/** What a `*` may stand for: the letters that names of hosts and services have. */
const PLAIN = /^[-a-z0-9_]*$/

/** A label of a pattern: the pieces between its stars; one piece is the label itself. */
type LabelPattern = readonly string[]

type Pattern = {
  readonly index: number
  /** Before the literal ending, the last one first. */
  readonly labels: readonly LabelPattern[]
  /** Whether one label or more, whatever they are, come before those. */
  readonly deep: boolean
}

/** Patterns ready for matching, each known by its place in the list it was made of. */
export type NameIndex = {
  readonly exact: ReadonlyMap<string, readonly number[]>
  /** Those that mean every name. */
  readonly every: readonly number[]
  /** By their literal ending, `.` for none. */
  readonly bySuffix: ReadonlyMap<string, readonly Pattern[]>
}

export function indexNames(patterns: readonly NamePattern[]): NameIndex {
  const exact = new Map<string, number[]>()
  const every: number[] = []
  const bySuffix = new Map<string, Pattern[]>()
  for (const [index, given] of patterns.entries()) {
    const text = canonicalName('name' in given ? given.name : given.pattern)
    if ('name' in given || !text.includes('*')) append(exact, text, index)
    else if (text === '*.') every.push(index)
    else {
      const { suffix, labels, deep } = parsePattern(text)
      append(bySuffix, suffix, { index, labels, deep })
    }
  }
  return { exact, every, bySuffix }
}

function append<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key)
  if (list) list.push(item)
  else lists.set(key, [item])
}

function parsePattern(text: string): { suffix: string; labels: LabelPattern[]; deep: boolean } {
  const deep = text.startsWith('**.')
  const labels = (deep ? text.slice(3) : text).split('.').slice(0, -1)
  let literal = labels.length
  while (literal > 0 && !labels[literal - 1]?.includes('*')) literal--
  const suffix = labels
    .slice(literal)
    .map(label => `${label}.`)
    .join('')
  const before = labels.slice(0, literal).map(label => label.split(/\*+/))
  return { suffix: suffix || '.', labels: before.reverse(), deep }
}

/** Places of all patterns that mean the name, in ascending order. The name is as `canonicalName` makes it. */
export function allMatches(index: NameIndex, name: string): readonly number[] {
  const found = [...(index.exact.get(name) ?? []), ...index.every]
  if (index.bySuffix.size > 0) visitPatterns(index, name, pattern => found.push(pattern.index))
  return found.length > 1 ? found.sort((a, b) => a - b) : found
}

/** Place of the first pattern that means the name. */
export function firstMatch(index: NameIndex, name: string): number | undefined {
  let first = Math.min(
    index.exact.get(name)?.[0] ?? Number.POSITIVE_INFINITY,
    index.every[0] ?? Number.POSITIVE_INFINITY,
  )
  if (index.bySuffix.size > 0)
    visitPatterns(index, name, pattern => {
      first = Math.min(first, pattern.index)
    })
  return first === Number.POSITIVE_INFINITY ? undefined : first
}

function visitPatterns({ bySuffix }: NameIndex, name: string, visit: (pattern: Pattern) => void): void {
  const labels = name === '.' ? [] : name.slice(0, -1).split('.').reverse()
  // The ending of `count` labels, from the root to the whole name but one label.
  let from = name.length
  for (let count = 0; count < labels.length; count++) {
    if (count > 0) from -= (labels[count - 1]?.length ?? 0) + 1
    const patterns = bySuffix.get(count === 0 ? '.' : name.slice(from))
    for (const pattern of patterns ?? []) if (matches(pattern, labels, count)) visit(pattern)
  }
}

/** @param labels of the name, the last one first; the first `from` are the pattern's ending */
function matches(pattern: Pattern, labels: readonly string[], from: number): boolean {
  const end = from + pattern.labels.length
  if (pattern.deep ? labels.length <= end : labels.length !== end) return false
  for (const [index, pieces] of pattern.labels.entries())
    if (!labelMatches(pieces, labels[from + index] as string)) return false
  for (let index = end; index < labels.length; index++) if (!PLAIN.test(labels[index] as string)) return false
  return true
}

function labelMatches(pieces: LabelPattern, label: string): boolean {
  const first = pieces[0] as string
  if (pieces.length === 1) return label === first
  const last = pieces.at(-1) as string
  if (label.length < first.length + last.length || !label.startsWith(first) || !label.endsWith(last)) return false
  // The leftmost place of each piece leaves the most room for those that follow.
  let at = first.length
  for (const piece of pieces.slice(1, -1)) {
    const found = label.indexOf(piece, at)
    if (found < 0) return false
    at = found + piece.length
  }
  return at <= label.length - last.length && PLAIN.test(label)
}

const indexes = new WeakMap<readonly NamePattern[], NameIndex>()

function indexOf(patterns: readonly NamePattern[]): NameIndex {
  const known = indexes.get(patterns)
  if (known) return known
  const made = indexNames(patterns)
  indexes.set(patterns, made)
  return made
}

/** Place of the rule that allows questions for the name. The list is not to be changed: it is prepared once. */
export function matchDns(rules: readonly NamePattern[], name: string): number | undefined {
  return firstMatch(indexOf(rules), canonicalName(name))
}

/** Places of the selectors that mean the name. The list is not to be changed: it is prepared once. */
export function selectorsOf(name: string, selectors: readonly NamePattern[]): readonly number[] {
  return allMatches(indexOf(selectors), canonicalName(name))
}
