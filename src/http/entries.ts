// What HAProxy is told of a rule set: entries of two maps, which it looks up for each
// request. Rules of plain words become keys of a tree, so that ten thousand cost what one
// costs; the others become one text for the judge in Lua. Nothing here depends on other
// sets, and an entry that is missing denies.
//
// `http-rules`, looked up by the longest beginning of `ANSWER:METHOD:PATH#` and then of
// `ANSWER::PATH#`, where ANSWER is the kernel's word for the set: the key of a rule ends
// with `#` when it means the whole path. A method has no colon and a path no `#`, so keys
// mean one thing only. Values: 1 + place of the rule; -2: ask Lua.
//
// `http-programs`: `ANSWER` → number of pieces and their length and sum; `ANSWER:n` →
// piece n, counted from 1, of the text that ./program-text.ts describes. `ANSWER:audit`: the
// set is only tried out.

import type { HttpRule, L7RuleSet } from '../policy/index.ts'
import { type Literal, literalsOf, plainLiteral, rangeSet } from '../regex/index.ts'
import { type FieldPatterns, fieldPatterns, hasSideEffects, type SecretValue } from './compiled-rule.ts'
import { programText } from './program-text.ts'

export type HttpMapName = 'http-rules' | 'http-programs'
export type HttpMapEntry = { readonly map: HttpMapName; readonly key: string; readonly value: string }

/** Added to the number of a set, it is the kernel's answer about a connection (bpf/proxy.bpf.c); alone: no rules. */
export const PROXY_ANSWER = 0x5800_0000
/** In place of it, in an answer that stands for both directions: it is the opener's egress that has rules. */
export const EGRESS_ANSWER = 0x6000_0000

/** In place of the place of a rule: none allows it, and that is only recorded. */
export const AUDITED = 1_000_000_000

const ASK_LUA = '-2'
/** Keys for one rule, and for one set: what would need more is for Lua. */
const MAX_KEYS_OF_RULE = 256
const MAX_KEYS_OF_SET = 20_000
/** HAProxy reads commands into a buffer of 16 KiB. */
const PIECE_LENGTH = 8_000
const MAX_TEXT_LENGTH = 4_000_000

const METHOD_CHARACTERS = rangeSet(0x21, 0x7e)
const PATH_CHARACTERS = rangeSet(0x21, 0x22) | rangeSet(0x24, 0x7e)

export type HttpEntries = {
  /** To be added in this order, so that nothing is asked for before it is there, and removed in the other. */
  readonly entries: readonly HttpMapEntry[]
  /** Why part of the rules allows nothing. */
  readonly problem?: string
}

export function haproxyEntries(set: L7RuleSet, secretValue: SecretValue = () => undefined): HttpEntries {
  if (set.rules.parser !== 'http') return { entries: [] }
  const { entries, ...problem } = entriesOf(set.number, set.rules, secretValue)
  const tried: HttpMapEntry = { map: 'http-programs', key: `${PROXY_ANSWER + set.number}:audit`, value: '1' }
  return { entries: set.rules.audit ? [tried, ...entries] : entries, ...problem }
}

type HttpRules = Extract<L7RuleSet['rules'], { parser: 'http' }>

function entriesOf(number: number, set: HttpRules, secretValue: SecretValue): HttpEntries {
  const answer = String(PROXY_ANSWER + number)
  const keys = new Map<string, string>()
  const forLua: number[] = []
  const every = set.rules.some(hasSideEffects)
  for (const [index, rule] of set.rules.entries()) {
    const found = every ? undefined : keysOf(rule)
    if (!found || keys.size + found.length > MAX_KEYS_OF_SET) forLua.push(index)
    else for (const key of found) if (!keys.has(key)) keys.set(key, String(index + 1))
  }
  const ruleEntries = [...keys].map(
    ([key, value]): HttpMapEntry => ({ map: 'http-rules', key: `${answer}:${key}`, value }),
  )
  if (forLua.length === 0) return { entries: ruleEntries }
  const text = programText(set.rules, forLua, secretValue)
  if (text === undefined || text.length > MAX_TEXT_LENGTH)
    return { entries: ruleEntries, problem: `regular expressions of ${forLua.length} rules are too large together` }
  const ask: HttpMapEntry = { map: 'http-rules', key: `${answer}:`, value: ASK_LUA }
  return { entries: [...programEntries(answer, text), ...ruleEntries, ask] }
}

/** Keys without the answer; undefined when there are none that say it all. */
function keysOf(rule: HttpRule): readonly string[] | undefined {
  return rule.host !== undefined || rule.headers.length > 0 ? undefined : (plainKeyOf(rule) ?? readKeysOf(rule))
}

/** Of the many rules that are one method and one path, without reading them as expressions. */
function plainKeyOf({ method, path }: HttpRule): readonly string[] | undefined {
  const at = path ? plainLiteral(path) : ANY_PATH
  if (!at || (method && !PLAIN_METHOD.test(method))) return undefined
  return [`${method ?? ''}:${at.text}${at.open ? '' : '#'}`]
}

const ANY_PATH: Literal = { text: '', open: true }
const PLAIN_METHOD = /^[A-Za-z]{1,32}$/

function readKeysOf(rule: HttpRule): readonly string[] | undefined {
  const patterns = fieldPatterns(rule)
  const methods = methodsOf(patterns)
  const paths = patterns.path ? literalsOf(patterns.path, PATH_CHARACTERS, MAX_KEYS_OF_RULE) : [ANY_PATH]
  if (!methods || !paths || methods.length * paths.length > MAX_KEYS_OF_RULE) return undefined
  return methods.flatMap(method => paths.map(({ text, open }) => `${method}:${text}${open ? '' : '#'}`))
}

/** An empty one: any method. */
function methodsOf({ method }: FieldPatterns): readonly string[] | undefined {
  if (!method) return ['']
  const literals = literalsOf(method, METHOD_CHARACTERS, MAX_KEYS_OF_RULE)
  if (literals?.some(isAnything)) return ['']
  // No request is without a method, so the empty one stands for nothing but any.
  return literals?.some(({ open }) => open)
    ? undefined
    : literals?.map(({ text }) => text).filter(text => isToken(text))
}

const isAnything = ({ text, open }: Literal): boolean => open && text === ''
const isToken = (text: string): boolean => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(text)

function programEntries(answer: string, text: string): HttpMapEntry[] {
  const pieces = Array.from({ length: Math.ceil(text.length / PIECE_LENGTH) }, (_, index) =>
    text.slice(index * PIECE_LENGTH, (index + 1) * PIECE_LENGTH),
  )
  return [
    ...pieces.map((value, index): HttpMapEntry => ({ map: 'http-programs', key: `${answer}:${index + 1}`, value })),
    { map: 'http-programs', key: answer, value: `${pieces.length}:${text.length}:${checksum(text)}` },
  ]
}

/** FNV-1a, 32 bits: tells a text from the one before, when a secret has changed. */
function checksum(text: string): number {
  let sum = 0x811c9dc5
  for (let index = 0; index < text.length; index++) sum = Math.imul(sum ^ text.charCodeAt(index), 0x01000193) >>> 0
  return sum
}
