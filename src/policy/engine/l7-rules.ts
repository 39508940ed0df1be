// Rules for what is said on connections, under a name of their content, and united
// where several rules allow one connection. Rules of different protocols cannot be
// united: nobody could judge by both.

import type {
  HeaderMatch,
  HttpRule,
  KafkaRule,
  KeyedL7Rules,
  L7Parser,
  L7Rules,
  L7Source,
  TlsContext,
  TlsEnd,
} from '../model/l7.ts'
import { type Rule, type RuleKey, VISIBILITY } from '../model/rule.ts'
import { digest } from './sha256.ts'

const keyedRules = new WeakMap<L7Rules, KeyedL7Rules>()

/** The rules with the name of their content, which is worked out once for each object. */
export function keyedL7Rules(rules: L7Rules): KeyedL7Rules {
  const known = keyedRules.get(rules)
  if (known) return known
  const made = Object.freeze({ key: keyOf(contentText(rules)), rules })
  keyedRules.set(rules, made)
  return made
}

/** Rules of different protocols, or that want TLS to end in different ways. */
export type L7Conflict = { readonly conflict: readonly RuleKey[] }

/** Unites the rules of some rules of policies. Those that it united before are the same object. */
export class L7Unions {
  readonly #unions = new Map<string, KeyedL7Rules>()

  /** @param rules at least one, each with rules for what is said, in the order of `compareRules` */
  unite(rules: readonly Rule[]): KeyedL7Rules | L7Conflict {
    const parts = new Map<string, KeyedL7Rules>()
    const languages = new Map<string, RuleKey>()
    for (const { key: rule, l7 } of rules) {
      if (!l7) continue
      const part = keyedL7Rules(l7)
      parts.set(part.key, part)
      const language = languageOf(l7)
      if (!languages.has(language)) languages.set(language, rule)
    }
    if (languages.size > 1) return { conflict: [...languages.values()] }
    const [first, ...more] = parts.values()
    if (!first) throw new Error('no rules for what is said were given to unite')
    return more.length === 0 ? first : this.#union([first, ...more])
  }

  #union(parts: readonly [KeyedL7Rules, ...KeyedL7Rules[]]): KeyedL7Rules {
    const name = parts.map(({ key }) => key).join(' ')
    const known = this.#unions.get(name)
    if (known) return known
    const rules = {
      ...parts[0].rules,
      ...strictestTls(parts.map(part => part.rules)),
      rules: parts.flatMap(part => [...part.rules.rules]),
    } as L7Rules
    const made = Object.freeze({ key: keyOf(name), rules })
    this.#unions.set(name, made)
    return made
  }
}

/** Of contexts that are the same but for what they cannot do without. */
function strictestTls(all: readonly L7Rules[]): Partial<Record<TlsEnd, TlsContext>> {
  const strictest = (end: TlsEnd): TlsContext | undefined => {
    const contexts = all.flatMap(rules => (rules.parser === 'http' && rules[end]) || [])
    return contexts.find(({ needsTrustedCa }) => needsTrustedCa) ?? contexts[0]
  }
  const [terminating, originating] = [strictest('terminating'), strictest('originating')]
  return { ...(terminating && { terminating }), ...(originating && { originating }) }
}

/** Rules of one language can be united. Who asks for different names of servers may mean different requests by them. */
export function languageOf(rules: L7Rules): string {
  if (rules.parser !== 'http') return rules.parser
  const { serverNames, terminating, originating } = rules
  const names = serverNames.map(({ serverName }) => serverName).sort()
  return JSON.stringify([rules.parser, names, terminating && tlsName(terminating), originating && tlsName(originating)])
}

/** Equal where one process can judge by both: TLS ends and begins at it with the same keys of the same Secrets, or not at all. */
export const tlsMeaning = (rules: L7Rules): string =>
  rules.parser === 'http' ? JSON.stringify([tlsParts(rules.terminating), tlsParts(rules.originating)]) : ''

const meanings = new WeakMap<L7Rules, string>()

/** Canonical text of what the rules allow, wherever they stand and in whichever order. */
export function l7Meaning(rules: L7Rules): string {
  const known = meanings.get(rules)
  if (known !== undefined) return known
  const nameless = { ...rules, rules: rules.rules.map(rule => ({ ...rule, ...nowhere })) } as L7Rules
  const [requests = [], ...rest] = contentParts(nameless)
  const made = JSON.stringify([
    languageOf(rules),
    (requests as unknown[]).map(each => JSON.stringify(each)).sort(),
    rest,
    rules.audit ?? false,
  ])
  meanings.set(rules, made)
  return made
}

const triedRules = new WeakMap<KeyedL7Rules, KeyedL7Rules>()

/** The same rules, to be tried out: what they would deny passes for the record. */
export function triedOut(l7: KeyedL7Rules): KeyedL7Rules {
  const known = triedRules.get(l7)
  if (known) return known
  const made = Object.freeze({ key: keyOf(`audit ${l7.key}`), rules: Object.freeze({ ...l7.rules, audit: true }) })
  triedRules.set(l7, made)
  return made
}

/** Who can judge by some rules: requests inside of TLS need another proxy than others. */
export type L7Judge = L7Parser | 'https'

/** Who judges by the rules. One proxy judges for both ends of a connection. */
export const judgeOf = (rules: L7Rules): L7Judge =>
  rules.parser === 'http' && (rules.terminating || rules.originating) ? 'https' : rules.parser

/** Rules of a parser that allow everything, for whoever only wants to see it. */
export function everythingOf(parser: L7Parser): KeyedL7Rules {
  return keyedL7Rules(EVERYTHING[parser])
}

const nowhere: L7Source = { rule: VISIBILITY, field: '' }
const EVERYTHING: Readonly<Record<L7Parser, L7Rules>> = {
  http: { parser: 'http', rules: [{ ...nowhere, headers: [] }], serverNames: [] },
  tls: { parser: 'tls', rules: [{ ...nowhere, serverName: '*' }] },
  dns: { parser: 'dns', rules: [{ ...nowhere, pattern: '*.' }] },
  kafka: { parser: 'kafka', rules: [nowhere] },
}

const KEY_BYTES = 16

function keyOf(text: string): string {
  const bytes = digest(new TextEncoder().encode(text)).slice(0, KEY_BYTES)
  return Array.from(bytes, byte => (byte + 256).toString(16).slice(1)).join('')
}

/** Canonical: the order in which an object got its fields makes no difference. */
function contentText(rules: L7Rules): string {
  return JSON.stringify([rules.parser, ...contentParts(rules)])
}

function contentParts(rules: L7Rules): unknown[] {
  switch (rules.parser) {
    case 'http': {
      const { serverNames, terminating, originating } = rules
      const names = serverNames.map(one => [...source(one), one.serverName])
      return [rules.rules.map(httpParts), names, tlsParts(terminating), tlsParts(originating)]
    }
    case 'tls':
      return [rules.rules.map(one => [...source(one), one.serverName])]
    case 'dns':
      return [rules.rules.map(one => [...source(one), 'name' in one ? ['=', one.name] : ['~', one.pattern]])]
    case 'kafka':
      return [rules.rules.map(kafkaParts)]
  }
}

const source = ({ rule, field }: L7Source): readonly string[] => [rule, field]

function httpParts(rule: HttpRule): unknown[] {
  const { method, path, host, headers } = rule
  return [...source(rule), method ?? null, path ?? null, host ?? null, headers.map(headerParts)]
}

function headerParts({ name, value, secret, mismatch }: HeaderMatch): unknown[] {
  return [name, value ?? null, secret ? [secret.namespace, secret.name] : null, mismatch]
}

function kafkaParts(rule: KafkaRule): unknown[] {
  const { apiKeys, apiVersion, clientId, topic } = rule
  return [...source(rule), apiKeys ?? null, apiVersion ?? null, clientId ?? null, topic ?? null]
}

function tlsParts(context: TlsContext | undefined): unknown {
  return context ? [...tlsName(context), context.needsTrustedCa ?? false] : null
}

/** Contexts with one name are one: a rule may name the keys that another takes for granted. */
function tlsName({ secret, certificate, privateKey, trustedCa }: TlsContext): string[] {
  return [secret.namespace, secret.name, certificate, privateKey, trustedCa]
}
