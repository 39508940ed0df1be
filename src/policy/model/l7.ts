// What may be said on a connection that addresses and ports allow: requests of HTTP and
// Kafka, questions of DNS, names of servers in TLS. Rules of one set are alternatives.
// Who judges by them is told nothing but the set: it holds all that a verdict needs.

import type { Audit, Direction, RuleKey } from './rule.ts'

/** Whose language is spoken on the connection. */
export type L7Parser = 'http' | 'tls' | 'dns' | 'kafka'

/** Where a rule of a set stands: the rule of the policy, and the field in it, such as `rules.http[1]`. */
export type L7Source = { readonly rule: RuleKey; readonly field: string }

/** Lines, counted from 1, of the places of a rule's `L7Source`s, by their fields. No part of a rule set: text that moves changes no set. */
export type L7Lines = Readonly<Record<string, number>>

/** Names a Secret; its namespace is filled in. */
export type SecretReference = { readonly namespace: string; readonly name: string }

/** What a header must be, and what is done about a request where it is not. Names of headers are in lower case. */
export type HeaderMatch = {
  readonly name: string
  /** Undefined and without a secret: the header need only be there. */
  readonly value?: string | undefined
  readonly secret?: SecretReference | undefined
  /** `deny`: the rule does not match. The others let it match: `log` it, or `add`, `delete`, `replace` the header. */
  readonly mismatch: 'deny' | 'log' | 'add' | 'delete' | 'replace'
}

/** All that is given must match; regular expressions match the whole of their subject. Nothing given: every request. */
export type HttpRule = L7Source & {
  readonly method?: string | undefined
  /** Against path and query. */
  readonly path?: string | undefined
  /** Against the host without its port. */
  readonly host?: string | undefined
  readonly headers: readonly HeaderMatch[]
}

/** In lower case, with the last dot. In a pattern `*` stands for any characters but a dot, `*.` alone for every name, `**.` at the beginning for any depth. */
export type DnsRule = L7Source & ({ readonly name: string } | { readonly pattern: string })

/** All that is given must match. Nothing given: every request. */
export type KafkaRule = L7Source & {
  /** Numbers of Kafka's protocol. */
  readonly apiKeys?: readonly number[] | undefined
  readonly apiVersion?: number | undefined
  readonly clientId?: string | undefined
  readonly topic?: string | undefined
}

/** As a DNS pattern, without the last dot. */
export type ServerNameRule = L7Source & { readonly serverName: string }

/** Where TLS ends or begins at the proxy: keys of the Secret that hold what is needed, in PEM. */
export type TlsContext = {
  readonly secret: SecretReference
  readonly certificate: string
  readonly privateKey: string
  readonly trustedCa: string
  /** The rule itself names `trustedCa`, so nothing else can stand in for it. Without, it counts where the Secret has it. */
  readonly needsTrustedCa?: true
}

/** Where a proxy ends or begins TLS: towards the client, towards the server. */
export const TLS_ENDS = ['terminating', 'originating'] as const
/** `terminating`: TLS of the client ends at the proxy. `originating`: TLS to the server begins there. */
export type TlsEnd = (typeof TLS_ENDS)[number]

/**
 * The rules of one connection in one direction. An empty list allows nothing. `audit`: they are only tried out, so what
 * none of them allows passes, and is recorded.
 */
export type L7Rules = Audit & LanguageRules
type LanguageRules =
  | {
      readonly parser: 'http'
      readonly rules: readonly HttpRule[]
      /** Empty: TLS does not end at the proxy, or every name will do. */
      readonly serverNames: readonly ServerNameRule[]
      readonly terminating?: TlsContext | undefined
      readonly originating?: TlsContext | undefined
    }
  | { readonly parser: 'tls'; readonly rules: readonly ServerNameRule[] }
  | { readonly parser: 'dns'; readonly rules: readonly DnsRule[] }
  | { readonly parser: 'kafka'; readonly rules: readonly KafkaRule[] }

/** Rules with a name of their content: equal exactly where the rules and their sources are, in every process. */
export type KeyedL7Rules = { readonly key: string; readonly rules: L7Rules }

/**
 * A port of a subject on which what is said is to be seen. A connection that is allowed there without rules for what is
 * said goes through a proxy that allows everything. `port` is that of the destination.
 */
export type Visibility = {
  readonly direction: Direction
  readonly protocol: number
  readonly port: number
  readonly parser: L7Parser
}

/**
 * A set with its number. What a number stands for never changes, and no number is given again while a connection may
 * still be judged by it: so a set is there before the first connection needs it, and connections change sets, not sets
 * their content.
 */
export type L7RuleSet = { readonly number: number; readonly rules: L7Rules }
